"""Does the egress proxy lead to the open internet, and to nowhere else?"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from carrel.core.audit import Audit
from carrel.packages.egress import EgressProxy, is_of_this_host
from carrel.packages.records import Records, traffic
from carrel.packages.tables import egress_log
from carrel.workspaces.rules import PROXY_PORT
from tests.packages_world import Space, gateway, make_world, read_all, running, wait_until


@pytest.fixture
def world(tmp_path):
    with make_world(tmp_path) as made:
        yield made


@pytest.fixture
def outside(world) -> str:
    """host:port of the world's own web server."""
    return world.index.base.split("/")[2]


def rows(world) -> list:
    with world.database.read() as connection:
        return list(connection.execute(select(egress_log).order_by(egress_log.c.at)))


def outcomes(world) -> list[tuple[str, int, str]]:
    return [(row.host, row.port, row.outcome) for row in rows(world)]


@contextmanager
def proxied(world, outside: str) -> Iterator[None]:
    with gateway(world, egress_allow_private=[outside]):
        world.open_workspace(Space("w1", egress_proxy=True))
        yield


def ask(world, request: str) -> bytes:
    return world.raw(request.encode(), inside=PROXY_PORT)


def test_a_plain_get_goes_out_and_is_logged(world, outside):
    world.index.add_wheel("demo")
    with proxied(world, outside):
        answer = ask(
            world,
            f"GET http://{outside}/simple/demo/?a=1 HTTP/1.1\r\nHost: liar.example\r\n"
            "Proxy-Authorization: Basic c2VjcmV0\r\nX-Mine: yes\r\n\r\n",
        )
    assert answer.startswith(b"HTTP/1.1 200 ")
    [received] = world.index.received
    assert received.path == "/simple/demo/?a=1"
    assert received.headers["Host"] == outside
    assert received.headers["X-Mine"] == "yes"
    assert "Proxy-Authorization" not in received.headers
    [row] = rows(world)
    assert (row.workspace_id, row.host, row.outcome) == ("w1", "127.0.0.1", "closed")
    assert row.received_bytes == len(answer)
    with world.database.read() as connection:
        assert traffic(connection)["w1"].received_bytes == len(answer)


def test_a_second_request_on_the_same_connection_is_not_forwarded(world, outside):
    first = f"GET http://{outside}/simple/one/ HTTP/1.1\r\n\r\n"
    second = f"GET http://{outside}/simple/two/ HTTP/1.1\r\n\r\n"
    with proxied(world, outside):
        ask(world, first + second)
    assert world.index.paths == ["/simple/one/"]


def test_a_tunnel_carries_both_ways_and_is_counted(world, outside):
    world.index.add_wheel("demo")
    inner = f"GET /simple/demo/ HTTP/1.1\r\nHost: {outside}\r\nConnection: close\r\n\r\n"
    with proxied(world, outside), world.runtime.dial("w1", PROXY_PORT) as connected:
        connected.sendall(f"CONNECT {outside} HTTP/1.1\r\n\r\n".encode())
        assert connected.recv(100) == b"HTTP/1.1 200 Connected\r\n\r\n"
        assert outcomes(world) == [("127.0.0.1", int(outside.split(":")[1]), "open")]
        connected.sendall(inner.encode())
        connected.settimeout(10)
        answer = read_all(connected)
        connected.close()
        wait_until(lambda: rows(world)[0].outcome == "closed")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert (rows(world)[0].sent_bytes, rows(world)[0].received_bytes) == (len(inner), len(answer))


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "localhost",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
    ],
)
@pytest.mark.parametrize("form", ["CONNECT {}:80 HTTP/1.1", "GET http://{}/ HTTP/1.1"])
def test_addresses_inside_are_refused_and_logged(world, outside, host, form):
    with proxied(world, outside):
        answer = ask(world, form.format(host) + "\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 "), answer
    assert outcomes(world) == [(host.strip("[]"), 80, "private_address")]
    [event] = world.events("egress.refused")
    assert event.subject == "private_address"


def test_only_web_ports_lead_outside(world, outside):
    with proxied(world, outside):
        for port in (22, 25, 53, 8080, 5432):
            answer = ask(world, f"CONNECT example.org:{port} HTTP/1.1\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 403 ")
    assert [row.outcome for row in rows(world)] == ["port_refused"] * 5
    counts = [event.detail["count"] for event in world.events("egress.refused")]
    assert counts == [4, 1]  # the first at once, the rest in one sum


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        ("garbage", 400),
        ("GET / HTTP/1.1", 400),
        ("GET ftp://example.org/ HTTP/1.1", 400),
        ("GET https://example.org/ HTTP/1.1", 400),
        ("GET http://user:word@127.0.0.1/ HTTP/1.1", 400),
        ("GET http://exa mple.org/ HTTP/1.1", 400),
        ("CONNECT example.org HTTP/1.1", 400),
        ("CONNECT example.org:99999 HTTP/1.1", 400),
        ("CONNECT user@example.org:443 HTTP/1.1", 400),
        ("CONNECT example.org:443/path HTTP/1.1", 400),
        ("POST http://example.org/ HTTP/1.1", 405),
        ("GET http://example.org/ HTTP/1.1\r\n folded: x", 400),
        ("X" * 20_000, 400),
    ],
)
def test_what_is_no_proxy_request_is_refused(world, outside, request_head, status):
    with proxied(world, outside):
        answer = ask(world, f"{request_head}\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert world.index.received == []


def test_closing_the_workspace_cuts_its_tunnels(world, outside):
    with proxied(world, outside), world.runtime.dial("w1", PROXY_PORT) as connected:
        connected.sendall(f"CONNECT {outside} HTTP/1.1\r\n\r\n".encode())
        connected.recv(100)
        world.spaces.open.clear()
        connected.settimeout(10)
        assert read_all(connected) == b""
        wait_until(lambda: not world.is_reachable("w1", PROXY_PORT))


def test_a_restricted_workspace_has_no_egress_proxy(world):
    with gateway(world):
        world.open_workspace(Space("w1"))
        assert not world.is_reachable("w1", PROXY_PORT)


def test_what_cannot_be_logged_is_not_connected(world, outside):
    with proxied(world, outside):
        with world.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE egress_log RENAME TO away")
        try:
            answer = ask(world, f"GET http://{outside}/simple/demo/ HTTP/1.1\r\n\r\n")
        finally:
            with world.database.write() as connection:
                connection.exec_driver_sql("ALTER TABLE away RENAME TO egress_log")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert world.index.received == []


# Names: what was checked is what is connected to ------------------------------------------------


@contextmanager
def proxy_with(world, resolver: Callable, allowed: str) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    proxy = EgressProxy(
        "w1",
        Records(world.database, Audit(world.clock), world.clock),
        allowed_private=frozenset({allowed}),
        resolver=resolver,
    )

    async def main(stop: asyncio.Event, ready: Callable[[], None]) -> None:
        await proxy.open(listener)
        ready()
        await stop.wait()
        await proxy.close()

    with running(main):
        yield address


def test_the_name_is_resolved_once_and_the_checked_address_is_used(world, outside):
    port = int(outside.split(":")[1])
    asked = []

    def resolver(host: str, at: int) -> list[str]:
        asked.append((host, at))
        return ["127.0.0.1"]  # the machine's own resolver does not know this name

    with (
        proxy_with(world, resolver, f"mirror.test:{port}") as address,
        socket.create_connection(address, timeout=10) as connected,
    ):
        connected.sendall(f"GET http://Mirror.test:{port}/simple/x/ HTTP/1.1\r\n\r\n".encode())
        assert read_all(connected).startswith(b"HTTP/1.1 404 ")
    assert asked == [("mirror.test", port)]
    assert world.index.paths == ["/simple/x/"]


def test_a_rebinding_name_cannot_become_private_after_the_check(world, outside):
    answers = iter([["10.0.0.1"], ["93.184.215.14"]])
    with (
        proxy_with(world, lambda *_: next(answers), outside) as address,
        socket.create_connection(address, timeout=10) as connected,
    ):
        connected.sendall(b"CONNECT rebind.test:443 HTTP/1.1\r\n\r\n")
        assert read_all(connected).startswith(b"HTTP/1.1 403 ")
    assert len(list(answers)) == 1


def test_too_many_connections_are_refused(world, outside):
    with proxy_with(world, lambda *_: [], outside) as address:
        held = [socket.create_connection(address, timeout=10) for _ in range(256)]
        try:
            with socket.create_connection(address, timeout=10) as connected:
                connected.sendall(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n")
                assert read_all(connected).startswith(b"HTTP/1.1 503 ")
        finally:
            for each in held:
                each.close()


def test_this_hosts_own_addresses_are_known():
    assert is_of_this_host("127.0.0.1")
    assert is_of_this_host("::1")
    assert not is_of_this_host("192.0.2.1")
