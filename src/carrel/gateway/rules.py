"""What may pass between a browser and a tool, and in which form?

Numbers in comments are those of the red-team list in docs/security/threat-model.md.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from carrel.core.errors import InvalidRequest, OutsideFailure

COOKIE: Final = "__Host-carrel-gateway"
TICKET_SECONDS: Final = 30
LONGEST_TARGET: Final = 8000
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TARGET = re.compile(rf"/ws/({_ID})/({_ID})(?:(/[^?]*)(\?.*)?)?", re.DOTALL)
_PLAIN = re.compile(r"/(?!/)[!$-;=?-\[\]_a-z~]*")
"""Visible ASCII without quotes, brackets of markup, backslash and `#`."""

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for. The tool's address is never a part of it (19)."""

    workspace_id: str
    resource_id: str
    path: str
    """Below the tool's own prefix, still percent-encoded; "" if not even the slash was given."""
    query: str
    """With its `?`, or empty."""

    @property
    def prefix(self) -> str:
        """The tool's own part of the address space, ending in `/`."""
        return tool_prefix(self.workspace_id, self.resource_id)


def tool_prefix(workspace_id: str, resource_id: str) -> str:
    """Return the path below which one tool lives, ending in `/`."""
    return f"/ws/{workspace_id}/{resource_id}/"


def parse_target(raw: str) -> Target | None:
    """Return what a request target asks for, None if it is no tool's address.

    Raises `InvalidRequest` for a target that two parsers might read differently (12, 19).
    """
    check_target(raw)
    match = _TARGET.fullmatch(raw)
    if match is None:
        return None
    workspace_id, resource_id, path, query = match.groups()
    if path and ("%" in path or "." in path):
        check_segments(path)
    return Target(workspace_id, resource_id, path or "", query or "")


def check_target(raw: str) -> None:
    """Raise `InvalidRequest` unless the target is a plain path: no other host, no odd bytes."""
    if len(raw) > LONGEST_TARGET or not _PLAIN.fullmatch(raw):
        raise InvalidRequest("This address cannot be used. Open the tool from the portal again.")


def check_segments(path: str) -> None:
    """Raise `InvalidRequest` for `.` and `..`, however written, and for a NUL."""
    decoded = unquote(path)
    segments = decoded.replace("\\", "/").split("/")
    if ".." in segments or "." in segments or "\0" in decoded:
        raise InvalidRequest("An address with . or .. segments cannot be used.")


# Request headers -------------------------------------------------------------------------------

_HOP_BY_HOP = frozenset(
    {
        "connection",
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
_NOT_INSIDE = _HOP_BY_HOP | {
    "authorization",  # the caller's proof is for Carrel alone
    "cookie",  # filtered by name below
    "expect",
    "forwarded",
    "http2-settings",
    "remote-user",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "via",
    "x-csrf-token",
    "x-real-ip",
    "x-remote-user",
    "x-request-id",
}
_NOT_INSIDE_PREFIXES = ("x-forwarded-", "x-webauth-", "x-carrel-", "x-remote-", "x-auth-")


def inside_headers(given: Iterable[Header]) -> list[Header]:
    """Return the headers that may go to a tool: no proof, no hop, no claim of who asks (20)."""
    named = connection_named(given)
    kept: list[Header] = []
    for name, value in given:
        lower = name.lower()
        if lower in _NOT_INSIDE:
            if lower == "cookie" and (cookies := inside_cookies(value)):
                kept.append((name, cookies))
        elif not (lower in named or "_" in lower or lower.startswith(_NOT_INSIDE_PREFIXES)):
            kept.append((name, value))
    return kept


def connection_named(given: Iterable[Header]) -> frozenset[str]:
    """Return the headers that `Connection` declares to be for this hop only (RFC 9110 7.6.1)."""
    listed = [value for name, value in given if name.lower() == "connection"]
    if not listed or listed == ["keep-alive"]:
        return frozenset()
    names = {part.strip().lower() for value in listed for part in value.split(",")}
    return frozenset(names - {"content-length", "host", "content-type"})


def inside_cookies(header: str) -> str:
    """Return the `Cookie` header without Carrel's own cookies."""
    if "carrel" not in header.lower():
        return header
    pairs = (pair.strip() for pair in header.split(";"))
    return "; ".join(pair for pair in pairs if pair and not _is_carrels(pair.partition("=")[0]))


def find_cookie(header: str, wanted: str) -> str | None:
    """Return the value of one cookie; None if it is not there or there twice."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    values = [value for name, _, value in pairs if name == wanted]
    return values[0] if len(values) == 1 else None


def _is_carrels(name: str) -> bool:
    lower = name.strip().lower()
    return lower.startswith(("__host-carrel", "__secure-carrel", "carrel-"))


# Response headers ------------------------------------------------------------------------------

_OUTSIDE = frozenset(
    {
        "accept-ranges",
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "pragma",
        "retry-after",
        "vary",
        "x-jupyter-lab-version",
        "x-request-id",
    }
)
"""Everything else that a tool says stays inside: no CSP, CORS, reporting or refresh of its own."""


def outside_headers(given: Iterable[Header], prefix: str) -> list[Header]:
    """Return the headers of a tool's answer that may reach the browser, cookies confined."""
    kept: list[Header] = []
    for name, value in given:
        lower = name.lower()
        if lower in _OUTSIDE:
            kept.append((name, value))
        elif lower == "set-cookie" and (cookie := confined_cookie(value, prefix)):
            kept.append((name, cookie))
    return kept


def confined_cookie(header: str, prefix: str) -> str | None:
    """Return a tool's `Set-Cookie` bound to its own path and this host; None if it may not be set.

    Domain is dropped (20), Path forced, Secure set; `__Host-` and Carrel's names are refused.
    """
    pair, *attributes = (part.strip() for part in header.split(";"))
    name = pair.partition("=")[0].strip()
    if not name or "=" not in pair or name.lower().startswith("__host-") or _is_carrels(name):
        return None
    kept = [pair, f"Path={prefix}", "Secure"]
    for attribute in attributes:
        key, _, value = attribute.partition("=")
        match key.strip().lower():
            case "expires" | "max-age" | "httponly":
                kept.append(attribute)
            case "samesite" if value.strip().lower() in ("lax", "strict"):
                kept.append(attribute)
    return "; ".join(kept)


def confined_location(value: str, target: Target, host: str, *, strip: bool) -> str:
    """Return where a tool's redirect leads, as a path below the tool's own prefix.

    Raises `OutsideFailure` if it leads anywhere else (20).
    """
    try:
        parts = urlsplit(value)
    except ValueError as error:
        raise _astray() from error
    own_hosts = {host.lower(), "127.0.0.1", "localhost"}
    names = {parts.netloc.lower(), (parts.hostname or "").lower()}
    is_foreign = bool(parts.scheme or parts.netloc) and (
        parts.scheme not in ("http", "https", "") or own_hosts.isdisjoint(names)
    )
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if strip and path.startswith("/"):
        path = target.prefix + path.removeprefix("/")
    if not path.startswith("/"):
        base = target.prefix.rstrip("/") + (target.path or "/")
        path = base.rpartition("/")[0] + "/" + path if path else base
    if is_foreign or not _is_below(path, target.prefix):
        raise _astray()
    return path + (f"#{parts.fragment}" if parts.fragment else "")


def _astray() -> OutsideFailure:
    return OutsideFailure(
        "The tool sent your browser to another place, and Carrel does not follow it there. "
        "Open the tool from the portal again."
    )


def _is_below(path: str, prefix: str) -> bool:
    try:
        check_target(path)
        check_segments(path.partition("?")[0])
    except InvalidRequest:
        return False
    return path.startswith(prefix)


# What the browser is told ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Closed:
    """What is closed for the pages of one tool."""

    downloads: bool
    clipboard: bool
    own_origin: bool
    """Whether no other workspace shares the origin."""


def security_headers(origin: str, workspace_id: str, closed: Closed) -> Sequence[Header]:
    """Return the headers set on every answer of a tool, whatever it said itself (23).

    No header can stop a page from sending its whole window elsewhere (a link, `location=`) or from
    naming a STUN server of WebRTC: browsers offer none. A managed browser's policy can.
    """
    scope = f"{origin}/ws/{workspace_id}/"
    sockets = "ws" + scope.removeprefix("http")
    policy = [
        f"default-src {scope} 'unsafe-inline' 'unsafe-eval' data: blob:",
        f"connect-src {scope} {sockets} data: blob:",
        f"form-action {scope}",
        f"base-uri {scope}",
        "frame-ancestors 'self'",
        "object-src 'none'",
    ]
    if closed.downloads or not closed.own_origin:
        # No windows: a page of one workspace must not get hold of a page of another one.
        allowed = "allow-scripts allow-same-origin allow-forms allow-modals"
        policy.append(f"sandbox {allowed}" + ("" if closed.downloads else " allow-downloads"))
    features = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
    if closed.clipboard:
        features += ", clipboard-read=(), clipboard-write=()"
    return (
        ("Content-Security-Policy", "; ".join(policy)),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-DNS-Prefetch-Control", "off"),
        ("Permissions-Policy", features),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Strict-Transport-Security", "max-age=31536000"),
    )


def is_from_elsewhere(method: str, *, origin: str | None, site: str, mode: str, own: str) -> bool:
    """Whether a browser says that another origin's page sent this request (21).

    `site` and `mode` are the Fetch Metadata headers, "" if absent. Links from the portal are
    navigations and may come from elsewhere; everything else may not.
    """
    if origin is not None and origin != own:
        return True
    if site in ("", "same-origin", "none"):
        return False
    return not (mode == "navigate" and method in ("GET", "HEAD"))
