"""Do the gateway's rules read addresses, headers and cookies as they must?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrel.core.errors import Denied, InvalidRequest, OutsideFailure
from carrel.gateway import downloads, rules
from carrel.gateway.rules import COOKIE, Closed, Target
from carrel.gateway.upstream import Question

W = "0d7c1f9a-6f3e-4a49-8f70-2d2f0a9b7c11"
R = "5f0c5a0e-3f2b-4b6a-9a5e-0b8f3a1c2d4e"
PREFIX = f"/ws/{W}/{R}/"
TARGET = Target(W, R, "/lab/x", "")


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        (PREFIX, "/", ""),
        (PREFIX[:-1], "", ""),
        (PREFIX + "lab?x=1&y", "/lab", "?x=1&y"),
        (PREFIX + "a%2Fb//c", "/a%2Fb//c", ""),
        (PREFIX + "x?next=//evil.example", "/x", "?next=//evil.example"),
        (PREFIX + "a..b/...", "/a..b/...", ""),
    ],
)
def test_a_tools_address_is_read_and_kept_as_it_is(raw, path, query):
    target = rules.parse_target(raw)
    assert (target.workspace_id, target.resource_id) == (W, R)
    assert (target.path, target.query) == (path, query)
    assert target.prefix == PREFIX


@pytest.mark.parametrize(
    "raw", ["/", "/ws/", f"/ws/{W}/", f"/ws/{W.upper()}/{R}/", f"/wsx/{W}/{R}/", f"/ws/{W}/{R}x/"]
)
def test_other_addresses_are_no_tools(raw):
    assert rules.parse_target(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "x",
        "//h/x",
        "http://h/x",
        "*",
        PREFIX + "#",
        PREFIX + " ",
        PREFIX + "\\",
        PREFIX + "\n",
        PREFIX + "..",
        PREFIX + "../x",
        PREFIX + "%2E./x",
        PREFIX + "a/%2e%2E%2fb",
        PREFIX + "%5c..%5c",
        PREFIX + "%00",
        PREFIX + "é",
        PREFIX + "x" * 9000,
    ],
)
def test_ambiguous_addresses_are_refused(raw):
    with pytest.raises(InvalidRequest):
        rules.parse_target(raw)


@given(st.text(max_size=60))
def test_whatever_is_accepted_starts_with_the_tools_own_prefix(tail):
    raw = PREFIX + tail
    try:
        target = rules.parse_target(raw)
    except InvalidRequest:
        return
    if target is not None:
        assert target.prefix + target.path[1:] + target.query == raw
        assert ".." not in target.path.split("/")


def test_headers_for_this_hop_only_stay_here():
    given_headers = [
        ("Connection", "close, X-Hop, Content-Length, Host"),
        ("X-Hop", "1"),
        ("Host", "h"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("Accept", "*/*"),
    ]
    kept = [name for name, _ in rules.inside_headers(given_headers)]
    assert kept == ["Host", "Content-Length", "Accept"]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("a=1; b=2", "a=1; b=2"),
        (f"a=1; {COOKIE}=x; b=2", "a=1; b=2"),
        (f"{COOKIE}=x", ""),
        ("__HOST-CARREL=x;a=1", "a=1"),
        ("__Secure-carrel-2=x; mycarrel=1", "mycarrel=1"),
        ("x=carrel", "x=carrel"),
    ],
)
def test_carrels_cookies_stay_here(header, kept):
    assert rules.inside_cookies(header) == kept


@pytest.mark.parametrize(
    ("header", "value"),
    [("a=1; b=2", "1"), ("b=2", None), ("a=1; a=2", None), ("xa=1", None), ("", None), ("a", "")],
)
def test_a_cookie_counts_only_if_it_is_there_once(header, value):
    assert rules.find_cookie(header, "a") == value


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        ("a=1", f"a=1; Path={PREFIX}; Secure"),
        ("a=1; path=/; domain=.x; max-age=5", f"a=1; Path={PREFIX}; Secure; max-age=5"),
        ("a=1; SameSite=None; Partitioned", f"a=1; Path={PREFIX}; Secure"),
        (
            "a=1; SameSite=Strict; HttpOnly",
            f"a=1; Path={PREFIX}; Secure; SameSite=Strict; HttpOnly",
        ),
        (f"{COOKIE}=1", None),
        ("__host-x=1", None),
        ("=1", None),
        ("novalue", None),
        ("", None),
    ],
)
def test_a_tools_cookies_are_confined_to_it(cookie, kept):
    assert rules.confined_cookie(cookie, PREFIX) == kept


@pytest.mark.parametrize(
    ("location", "strip", "leads"),
    [
        ("tree", False, PREFIX + "lab/tree"),
        ("?a=1", False, PREFIX + "lab/?a=1"),
        ("/login?next=%2F", True, PREFIX + "login?next=%2F"),
        ("http://localhost:20000/login", True, PREFIX + "login"),
        (PREFIX + "lab", False, PREFIX + "lab"),
    ],
)
def test_redirects_below_the_tool_are_followed(location, strip, leads):
    assert rules.confined_location(location, TARGET, "h:8444", strip=strip) == leads


@pytest.mark.parametrize(
    "location", ["https://evil.example/", "//evil", "ftp://h:8444/", "/login", "data:x"]
)
def test_redirects_to_elsewhere_are_not(location):
    with pytest.raises(OutsideFailure):
        rules.confined_location(location, TARGET, "h:8444", strip=False)


@pytest.mark.parametrize("downloads_closed", [True, False])
@pytest.mark.parametrize("own_origin", [True, False])
def test_pages_get_windows_only_where_nothing_is_closed_and_nobody_shares(
    downloads_closed, own_origin
):
    closed = Closed(downloads=downloads_closed, clipboard=False, own_origin=own_origin)
    policy = dict(rules.security_headers("https://h", W, closed))["Content-Security-Policy"]
    assert ("sandbox" in policy) is (downloads_closed or not own_origin)
    assert "allow-popups" not in policy
    if "sandbox" in policy:
        assert ("allow-downloads" in policy) is not downloads_closed
    assert f"connect-src https://h/ws/{W}/ wss://h/ws/{W}/ " in policy


@pytest.mark.parametrize(
    ("method", "origin", "site", "mode", "elsewhere"),
    [
        ("GET", None, "", "", False),
        ("GET", None, "same-origin", "cors", False),
        ("GET", None, "cross-site", "navigate", False),
        ("POST", None, "cross-site", "navigate", True),
        ("GET", None, "cross-site", "no-cors", True),
        ("GET", None, "same-site", "websocket", True),
        ("POST", "https://own", "same-origin", "cors", False),
        ("POST", "https://evil", "", "", True),
        ("GET", "none", "", "", True),
    ],
)
def test_requests_of_other_origins_are_known(method, origin, site, mode, elsewhere):
    found = rules.is_from_elsewhere(method, origin=origin, site=site, mode=mode, own="https://own")
    assert found is elsewhere


def test_a_line_break_never_reaches_a_tool():
    for headers in ([("X-A", "1\r\nX-B: 2")], [("X-A\n", "1")], [("X-A", "1\r")]):
        with pytest.raises(InvalidRequest):
            Question("GET", "/", headers).head()
    assert Question("GET", "/", [("A", "1")]).head() == b"GET / HTTP/1.1\r\nA: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("/files/x", True),
        ("/files", True),
        ("/filesystem", False),
        ("/lab/tree/files/x", False),
        ("/api/kernels", False),
    ],
)
def test_only_the_closed_routes_are_closed(path, closed):
    if closed:
        with pytest.raises(Denied):
            downloads.check_download("GET", path, "")
    else:
        assert downloads.check_download("GET", path, "?a=1") == "?a=1"


def test_only_the_tools_own_code_may_be_cached():
    assert downloads.may_be_cached("/static/lab/main.js")
    assert not downloads.may_be_cached("/api/contents/x")
