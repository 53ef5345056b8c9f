"""Where may a program in an unrestricted workspace connect to?"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from carrel.core.errors import Denied

EGRESS_PORTS = frozenset({80, 443})
"""Ports that lead outside."""


class EgressReason(StrEnum):
    """Why the egress proxy made no connection."""

    BAD_REQUEST = "bad_request"
    METHOD = "method_refused"
    PORT = "port_refused"
    ADDRESS = "private_address"
    NO_ADDRESS = "no_such_host"
    UNREACHABLE = "unreachable"
    BUSY = "too_many_connections"
    RECORD_AWAY = "record_away"


EGRESS_STATUS: dict[EgressReason, int] = {
    EgressReason.BAD_REQUEST: 400,
    EgressReason.METHOD: 405,
    EgressReason.PORT: 403,
    EgressReason.ADDRESS: 403,
    EgressReason.NO_ADDRESS: 502,
    EgressReason.UNREACHABLE: 502,
    EgressReason.BUSY: 503,
    EgressReason.RECORD_AWAY: 503,
}


class EgressRefusal(Denied):
    """The egress proxy says no."""

    def __init__(self, reason: EgressReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ProxyAsk:
    """Where a proxy request wants to go."""

    host: str
    port: int
    head: bytes | None
    """What to send first: the rewritten request, or None for a CONNECT tunnel."""


_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45}")
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def read_proxy_request(head: bytes) -> ProxyAsk:
    """Read the head of a proxy request, CONNECT or absolute-form GET. Raises `EgressRefusal`."""
    try:
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError as error:
        raise _unreadable() from error
    if not version.startswith("HTTP/1."):
        raise _unreadable()
    if method == "CONNECT":
        if "/" in target or "?" in target or "#" in target:
            raise _unreadable()
        host, port = _authority(f"//{target}", 0)
        return ProxyAsk(host, port, None)
    if method not in {"GET", "HEAD"}:
        raise EgressRefusal(EgressReason.METHOD, "Plain HTTP is for GET and HEAD; use https.")
    if not target.lower().startswith("http://"):
        raise _unreadable()
    host, port = _authority(target, 80)
    return ProxyAsk(host, port, _origin_form(method, target, lines))


def _unreadable() -> EgressRefusal:
    return EgressRefusal(
        EgressReason.BAD_REQUEST, "This is a proxy: send CONNECT host:port, or GET http://host/."
    )


def _authority(url: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or default_port
    except ValueError as error:
        raise _unreadable() from error
    if not port or "@" in parts.netloc or not _HOST.fullmatch(host):
        raise _unreadable()
    return host.rstrip("."), port


def _origin_form(method: str, url: str, lines: list[str]) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    for line in lines:
        name, colon, _ = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
            raise _unreadable()
        if name.lower() not in _HOP_BY_HOP:
            kept.append(line)
    return ("\r\n".join(kept) + "\r\n\r\n").encode("latin-1")


_CARRIES_IPV4 = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
_CLOSED = (
    ip_network("192.0.0.0/24"),  # holds a cloud's metadata address; older Pythons call it global
    ip_network("168.63.129.16/32"),  # Azure's host agent: metadata behind a public address
    ip_network("64:ff9b:1::/48"),  # NAT64 to local addresses
    ip_network("fec0::/10"),  # site-local, before ULA
)


def is_public(text: str) -> bool:
    """Whether an address belongs to the open internet.

    Private, loopback, link-local, carrier-grade NAT, multicast, reserved and metadata
    addresses do not, nor do IPv6 forms that carry such an IPv4 address.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and (inner := _carried(address)) is not None:
        return is_public(str(inner))
    if any(address in network for network in _CLOSED if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _CARRIES_IPV4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def check_port(ask: ProxyAsk, allowed_private: frozenset[str]) -> None:
    """Raise `EgressRefusal` unless the port is for the web, or the site allows this entry."""
    if ask.port not in EGRESS_PORTS and not is_allowed_private(ask, allowed_private):
        raise EgressRefusal(
            EgressReason.PORT, f"Port {ask.port} is closed: only 80 and 443 lead outside."
        )


def is_allowed_private(ask: ProxyAsk, allowed_private: frozenset[str]) -> bool:
    """Whether the site's setting egress_allow_private names exactly this host and port."""
    return f"{ask.host.lower()}:{ask.port}" in allowed_private
