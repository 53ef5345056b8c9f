"""Which requests, files and addresses do the doors for software let through?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrel.packages import egress_rules
from carrel.packages.egress_rules import (
    EGRESS_STATUS,
    EgressReason,
    EgressRefusal,
    check_port,
    is_public,
    read_proxy_request,
)
from carrel.packages.rules import (
    NAME_LIMIT,
    STATUS,
    TARGET_LIMIT,
    FileAsk,
    IndexAsk,
    IndexFile,
    Policy,
    Reason,
    Refusal,
    canonical_name,
    check_shape,
    hidden_because,
    is_canonical,
    read_path,
)

NOW = datetime(2026, 1, 8, tzinfo=UTC)
FILE = IndexFile(
    name="demo",
    version="1.0",
    filename="demo-1.0-py3-none-any.whl",
    digest="0" * 64,
    url="https://files.example/demo",
    is_wheel=True,
    uploaded_at=NOW - timedelta(days=7),
)


def test_every_reason_has_a_status_and_none_asks_for_a_password():
    assert set(STATUS) == set(Reason)
    assert set(EGRESS_STATUS) == set(EgressReason)
    assert 401 not in {*STATUS.values(), *EGRESS_STATUS.values()}
    assert 407 not in EGRESS_STATUS.values()


@pytest.mark.parametrize(
    ("method", "target", "has_body", "reason"),
    [
        ("POST", "/x", False, Reason.METHOD),
        ("get", "/x", False, Reason.METHOD),
        ("GET", "http://x/", False, Reason.TARGET),
        ("GET", "//x/", False, Reason.TARGET),
        ("GET", "", False, Reason.TARGET),
        ("GET", "/x", True, Reason.BODY),
        ("GET", "/x?", False, Reason.QUERY),
        ("GET", "/x#", False, Reason.QUERY),
        ("GET", "/" + "x" * TARGET_LIMIT, False, Reason.TOO_LONG),
    ],
)
def test_a_request_carries_a_short_path_and_nothing_else(method, target, has_body, reason):
    with pytest.raises(Refusal) as refused:
        check_shape(method, target, has_body=has_body)
    assert refused.value.reason is reason


def test_the_longest_allowed_path_passes():
    check_shape("HEAD", "/" + "x" * (TARGET_LIMIT - 1), has_body=False)


def test_paths_are_read():
    assert read_path("/pypi/simple/demo/") == IndexAsk("pypi", "demo")
    name = "demo-1.0+local-py3-none-any.whl"
    path = f"/pypi/files/{'0' * 64}/{name.replace('+', '%2B')}"
    assert read_path(path) == FileAsk("pypi", "0" * 64, name)


@given(st.text(max_size=NAME_LIMIT + 5))
def test_a_canonical_name_is_its_own_canonical_form(text):
    name = canonical_name(text)
    assert name is None or (is_canonical(name) and canonical_name(name) == name)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Demo", "demo"),
        ("de_-.mo", "de-mo"),
        ("a" * NAME_LIMIT, "a" * NAME_LIMIT),
        ("a" * (NAME_LIMIT + 1), None),
        ("-demo", None),
        ("démo", None),
        ("demo\n", None),
        ("", None),
    ],
)
def test_names_are_made_canonical(name, canonical):
    assert canonical_name(name) == canonical


@pytest.mark.parametrize(
    ("file", "policy", "reason"),
    [
        (FILE, Policy(), None),
        (replace(FILE, is_wheel=False), Policy(), Reason.NOT_A_WHEEL),
        (replace(FILE, is_wheel=False), Policy(wheels_only=False), None),
        (FILE, Policy(timedelta(days=7)), None),
        (FILE, Policy(timedelta(days=8)), Reason.TOO_YOUNG),
        (replace(FILE, uploaded_at=None), Policy(timedelta(days=1)), Reason.TOO_YOUNG),
        (replace(FILE, uploaded_at=None), Policy(), None),
    ],
)
def test_the_policy_hides_what_it_must(file, policy, reason):
    assert hidden_because(file, policy, NOW) is reason


# The egress proxy --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"]
)
def test_public_addresses_are_public(address):
    assert is_public(address)


@given(
    st.one_of(
        st.ip_addresses(network="10.0.0.0/8"),
        st.ip_addresses(network="127.0.0.0/8"),
        st.ip_addresses(network="169.254.0.0/16"),
        st.ip_addresses(network="100.64.0.0/10"),
        st.ip_addresses(network="192.0.0.0/24"),
        st.ip_addresses(network="198.18.0.0/15"),
        st.ip_addresses(network="224.0.0.0/3"),
        st.ip_addresses(network="0.0.0.0/8"),
    ),
    st.sampled_from(["{}", "::ffff:{}", "::{}", "64:ff9b::{}"]),
)
def test_no_private_address_is_public_in_any_dress(address, dress):
    assert not is_public(dress.format(address))


@given(
    st.one_of(
        st.ip_addresses(network="fc00::/7"),
        st.ip_addresses(network="fe80::/10"),
        st.ip_addresses(network="fec0::/10"),
        st.ip_addresses(network="ff00::/8"),
        st.ip_addresses(network="2002:7f00::/24"),
        st.ip_addresses(network="2002:a00::/24"),
        st.ip_addresses(network="64:ff9b:1::/48"),
    )
)
def test_no_private_ipv6_address_is_public(address):
    assert not is_public(str(address))


def test_a_zone_does_not_make_an_address_public():
    assert not is_public("fe80::1%eth0")


def test_an_allowed_entry_is_the_exact_host_and_port():
    ask = read_proxy_request(b"CONNECT Mirror.example:8080 HTTP/1.1\r\n\r\n")
    assert (ask.host, ask.port, ask.head) == ("mirror.example", 8080, None)
    check_port(ask, frozenset({"mirror.example:8080"}))
    for entry in ("mirror.example:8081", "mirror.example", "example:8080"):
        with pytest.raises(EgressRefusal):
            check_port(ask, frozenset({entry}))


def test_a_forwarded_get_is_rebuilt():
    ask = read_proxy_request(
        b"GET http://example.org:80/a?b HTTP/1.1\r\nHost: other\r\nConnection: keep-alive\r\n"
        b"Content-Length: 5\r\nAccept: */*\r\n\r\n"
    )
    assert ask.head == (
        b"GET /a?b HTTP/1.1\r\nHost: example.org:80\r\nConnection: close\r\nAccept: */*\r\n\r\n"
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(head):
    try:
        ask = read_proxy_request(head)
    except EgressRefusal:
        return
    assert 0 < ask.port < 65536
    assert ask.host


def test_egress_ports_are_the_webs():
    assert frozenset({80, 443}) == egress_rules.EGRESS_PORTS
