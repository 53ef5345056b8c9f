"""Can anything leave a workspace through the package gateway, or wrong bytes come in?"""

import hashlib
import os
import re
import string
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from carrel.packages.rules import MISSES_PER_DAY, NAME_LIMIT, is_canonical
from tests.packages_world import FakeFile, Space, World, gateway, make_world, wheel

SECRET = "patient-4711"
OWN_HEADERS = {"Host", "User-Agent", "Accept", "Accept-Encoding", "If-None-Match"}


@pytest.fixture
def world(tmp_path):
    with make_world(tmp_path) as made:
        yield made


@pytest.fixture
def attacked(world: World):
    """A gateway with one workspace that has read the page of `demo`."""
    world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        world.index.received.clear()
        yield world


def head(first: str, *headers: str, body: str = "") -> bytes:
    lines = [first, "Host: gateway", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


SHAPES = {
    "CONNECT": (head("CONNECT example.org:443 HTTP/1.1"), {400, 405}),
    "metadata by absolute URI": (
        head("GET http://169.254.169.254/latest/meta-data/ HTTP/1.1"),
        {400},
    ),
    "own page by absolute URI": (head("GET http://x/pypi/simple/demo/ HTTP/1.1"), {400}),
    "authority in the path": (head("GET //example.org/pypi/simple/demo/ HTTP/1.1"), {400}),
    "asterisk": (head("OPTIONS * HTTP/1.1"), {405}),
    "GET asterisk": (head("GET * HTTP/1.1"), {400}),
    "upload": (
        head("POST /pypi/legacy/ HTTP/1.1", f"Content-Length: {len(SECRET)}", body=SECRET),
        {405},
    ),
    "npm publish": (
        head("PUT /npm/demo HTTP/1.1", f"Content-Length: {len(SECRET)}", body=SECRET),
        {405},
    ),
    "GET with a body": (
        head("GET /pypi/simple/demo/ HTTP/1.1", f"Content-Length: {len(SECRET)}", body=SECRET),
        {400},
    ),
    "GET with a chunked body": (
        head(
            "GET /pypi/simple/demo/ HTTP/1.1",
            "Transfer-Encoding: chunked",
            body="3\r\nabc\r\n0\r\n\r\n",
        ),
        {400},
    ),
    "both lengths": (
        head(
            "GET /pypi/simple/demo/ HTTP/1.1",
            "Transfer-Encoding: chunked",
            "Content-Length: 3",
            body="0\r\n\r\n",
        ),
        {400},
    ),
    "query": (head(f"GET /pypi/simple/demo/?{SECRET} HTTP/1.1"), {400}),
    "empty query": (head("GET /pypi/simple/demo/? HTTP/1.1"), {400}),
    "fragment": (head(f"GET /pypi/simple/demo/#{SECRET} HTTP/1.1"), {400}),
    "long path": (head(f"GET /pypi/simple/{'a' * 2000}/ HTTP/1.1"), {400}),
    "long name": (head(f"GET /pypi/simple/{'a' * (NAME_LIMIT + 1)}/ HTTP/1.1"), {404}),
    "capital name": (head("GET /pypi/simple/Demo/ HTTP/1.1"), {404}),
    "underscore name": (head("GET /pypi/simple/de_mo/ HTTP/1.1"), {404}),
    "dots": (head("GET /pypi/simple/../ HTTP/1.1"), {404}),
    "encoded dots": (head("GET /pypi/simple/%2e%2e%2f%2e%2e/ HTTP/1.1"), {404}),
    "encoded twice": (head("GET /pypi/simple/%2564emo/ HTTP/1.1"), {404}),
    "zero byte": (head("GET /pypi/simple/demo%00/ HTTP/1.1"), {404}),
    "line break": (head("GET /pypi/simple/demo%0d%0aX:y/ HTTP/1.1"), {404}),
    "other ecosystem": (head("GET /other/simple/demo/ HTTP/1.1"), {404}),
    "every name": (head("GET /pypi/simple/ HTTP/1.1"), {404}),
    "search": (head("GET /search HTTP/1.1"), {404}),
    "file by guessed digest": (
        head(f"GET /pypi/files/{'0' * 64}/demo-1.0-py3-none-any.whl HTTP/1.1"),
        {404},
    ),
    "unpublished metadata": (
        head(f"GET /pypi/files/{'0' * 64}/demo-1.0-py3-none-any.whl.metadata HTTP/1.1"),
        {404},
    ),
    "path in a file name": (
        head(f"GET /pypi/files/{'0' * 64}/..%2F..%2Fetc%2Fpasswd HTTP/1.1"),
        {404},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_of_another_shape_is_refused_and_goes_nowhere(attacked, shape):
    request, expected = SHAPES[shape]
    answer = attacked.raw(request)
    status = int(answer.split(b" ", 2)[1])
    assert status in expected, answer
    assert b"401" not in answer.split(b"\r\n")[0]
    assert attacked.index.received == []
    assert SECRET.encode() not in answer


def test_the_control_request_of_the_right_shape_is_answered(attacked):
    answer = attacked.raw(head("GET /pypi/simple/demo/ HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_websocket_upgrade_stays_plain_http(attacked):
    answer = attacked.raw(
        b"GET /pypi/simple/demo/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n"
    )
    assert b"101" not in answer.split(b"\r\n")[0]
    assert attacked.index.received == []


def test_a_smuggled_second_request_is_no_way_around(attacked):
    inner = "GET /pypi/simple/smuggled/ HTTP/1.1\r\nHost: x\r\n\r\n"
    attacked.raw(
        head(
            "GET /pypi/simple/demo/ HTTP/1.1",
            f"Content-Length: {len(inner)}",
            "Transfer-Encoding: identity",
            body=inner,
        )
    )
    assert attacked.index.received == []


def test_nothing_of_the_client_reaches_upstream(world):
    file = world.index.add_wheel("demo", payload=os.urandom(1000))
    headers = {
        "User-Agent": SECRET,
        "Cookie": f"a={SECRET}",
        "Authorization": f"Basic {SECRET}",
        "Accept": f"text/html, application/{SECRET}",
        "Accept-Language": SECRET,
        "If-None-Match": f'"{SECRET}"',
        "Range": "bytes=17-4711",
        "Referer": f"http://{SECRET}/",
        "X-Exfil": SECRET,
        "X-Forwarded-For": "10.4.7.11",
        "Host": f"{SECRET}.example",
    }
    with gateway(world):
        world.open_workspace(Space("w1"))
        assert world.get("/pypi/simple/demo/", **headers).status == 200
        world.get(world.file_path(file), **headers)
    assert len(world.index.received) == 2
    for received in world.index.received:
        assert set(received.headers) <= OWN_HEADERS
        assert SECRET not in repr(received)
        assert received.body == b""


@pytest.mark.parametrize("size", [10, 2_000_000])
@pytest.mark.parametrize("has_size", [True, False])
def test_a_tampered_file_is_never_delivered_whole_and_never_kept(world, size, has_size):
    name, honest = wheel("demo", payload=os.urandom(size))
    position = len(honest) // 2
    tampered = honest[:position] + bytes([honest[position] ^ 1]) + honest[position + 1 :]
    digest = hashlib.sha256(honest).hexdigest()
    world.index.add("demo", FakeFile(name, tampered, published_digest=digest, has_size=has_size))
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        request = head(f"GET /pypi/files/{digest}/{name} HTTP/1.1")
        answer = world.raw(request)
        body = answer.partition(b"\r\n\r\n")[2]
        status = int(answer.split(b" ", 2)[1])
        assert (status == 502) if size == 10 else (len(body) < len(honest))
        assert tampered not in answer
        assert [path for path in (world.home / "packages/cas").rglob("*") if path.is_file()] == []
        assert list((world.home / "packages/filling").iterdir()) == []
        [event] = world.events("package.refused")
        assert event.subject == "file_tampered"
        world.index.add("demo", FakeFile(name, honest, has_size=has_size))
        assert world.raw(request).endswith(honest)


@pytest.mark.parametrize("change", [b"", b"more"])
def test_a_file_of_another_length_is_refused(world, change):
    name, honest = wheel("demo")
    file = world.index.add("demo", FakeFile(name, honest))
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        path = world.file_path(file)
        world.index.projects["demo"] = [
            replace(file, content=honest + change if change else honest[:-1])
        ]
        assert world.get(path).status == 502


def test_an_unknown_name_reaches_upstream_once(world):
    for _ in range(2):  # also after a restart
        with gateway(world):
            if not world.spaces.open:
                world.open_workspace(Space("w1"))
            for _ in range(3):
                answer = world.get("/pypi/simple/no-such-thing/")
                assert answer.status == 404
                assert "no-such-thing" in answer.reason
    assert world.index.paths == ["/simple/no-such-thing/"]
    [event] = world.events("package.name_unknown")
    assert event.subject == "pypi/no-such-thing"
    with gateway(world):
        world.clock.advance(86_401)
        world.index.add_wheel("no-such-thing")
        assert world.get("/pypi/simple/no-such-thing/").status == 200


def test_covert_names_are_bounded_even_at_once(world):
    world.index.add_wheel("demo")
    world.index.add_wheel("late")
    with gateway(world), ThreadPoolExecutor(16) as senders:
        world.open_workspace(Space("w1"))
        world.open_workspace(Space("w2"))
        world.publish("demo")
        names = [f"{SECRET}-{number}" for number in range(MISSES_PER_DAY + 30)]
        answers = list(senders.map(lambda name: world.get(f"/pypi/simple/{name}/"), names))
        sent = [path for path in world.index.paths if SECRET in path]
        assert len(sent) == MISSES_PER_DAY
        assert [answer.status for answer in answers].count(403) == 30
        assert world.get("/pypi/simple/late/").status == 403  # a real name would leak as well
        assert world.publish("demo").status == 200
        assert world.get("/pypi/simple/late/", workspace="w2").status == 200
        assert world.get("/pypi/simple/late/").status == 200  # now the TRE knows it
    assert any(
        event.subject == "too_many_unknown_names" for event in world.events("package.refused")
    )


def test_many_refusals_are_few_events(attacked):
    for _ in range(40):
        attacked.get("/pypi/simple/Capital/")
    assert len(attacked.events("package.refused")) == 1
    attacked.clock.advance(601)
    attacked.get("/pypi/simple/Capital/")
    counts = [event.detail["count"] for event in attacked.events("package.refused")]
    assert sorted(counts) == [1, 40]


def test_one_workspace_cannot_use_up_the_connections_of_another(world):
    world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.open_workspace(Space("w2"))
        held = [world.runtime.dial("w1", 81) for _ in range(200)]
        try:
            assert world.publish("demo", workspace="w2").status == 200
            assert held[-1].recv(1) == b""  # closed at once
        finally:
            for connected in held:
                connected.close()


# Property: whatever a workspace sends, upstream sees only what held pages and names allow --------

names = st.one_of(
    st.sampled_from(["demo", "demo-two", "Demo", "de_mo", "..", "%64emo", "a" * 65, SECRET]),
    st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12),
    st.text(string.ascii_lowercase + string.digits + "-._%/", min_size=1, max_size=70),
)
digests = st.one_of(st.just("KNOWN"), st.text("0123456789abcdef", min_size=64, max_size=64))
filenames = st.one_of(
    st.sampled_from(["demo-1.0-py3-none-any.whl", "demo-1.0-py3-none-any.whl.metadata"]),
    st.text(string.printable.strip() + "%", max_size=40),
)
paths = st.one_of(
    st.builds("/pypi/simple/{}/".format, names),
    st.builds("/pypi/files/{}/{}".format, digests, filenames),
    st.builds("http://{}/pypi/simple/demo/".format, names),
    st.text(string.printable.strip(), max_size=60).map(lambda text: f"/{text}"),
)
extras = st.sampled_from(["", "", "", "?x=1", "#f", "//", "%20"])
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "CONNECT", "get"])


def test_upstream_sees_only_what_held_pages_and_names_allow(attacked):
    world = attacked
    file = world.index.projects["demo"][0]
    published = {f"/packages/{file.filename}"}
    seen = set()

    @settings(
        max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(method=methods, path=paths, extra=extras, body=st.sampled_from(["", "", SECRET]))
    @example(method="GET", path="/pypi/simple/unheard-of/", extra="", body="")
    @example(method="GET", path=f"/pypi/files/KNOWN/{file.filename}", extra="", body="")
    def send(method: str, path: str, extra: str, body: str) -> None:
        target = path.replace("KNOWN", file.digest) + extra
        world.index.received.clear()
        world.clock.advance(86_401)
        world.raw(
            head(
                f"{method} {target} HTTP/1.1",
                f"Content-Length: {len(body)}",
                f"X-Exfil: {SECRET}",
                body=body,
            )
        )
        seen.update(world.index.paths)
        for received in world.index.received:
            asked = re.fullmatch("/simple/([^/]+)/", received.path)
            if asked is None:
                assert received.path in published
            else:
                assert is_canonical(asked[1])
                assert not body
            assert received.method == "GET"
            assert set(received.headers) <= OWN_HEADERS
            assert received.body == b""

    send()
    assert {"/simple/unheard-of/", *published} <= seen  # the property is about something
