"""What is the same for every request from one session to one tool?"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from carrel.core.settings import Settings
from carrel.gateway.access import Grant
from carrel.gateway.counters import Counter, Counters
from carrel.gateway.rules import Closed, Header, Target, security_headers
from carrel.gateway.upstream import Address
from carrel.gateway.volumes import Volume, Volumes

SHARED = "*"
REMEMBERED = 10_000


@dataclass(eq=False, slots=True)
class Passage:
    """A grant, with all that follows from it worked out once."""

    grant: Grant
    address: Address
    """From the template and the database, never from the request (19)."""
    added_inside: Sequence[Header]
    added_outside: Sequence[Header]
    counter: Counter
    volume: Volume
    is_restricted: bool
    is_program: bool
    """Whether an API token proves who asks, and no cookie."""
    strip: bool
    host: str

    def count_out(self, size_bytes: int, *, is_code: bool = False) -> None:
        """Count what goes to the browser; the tool's own code is nobody's data."""
        self.counter.bytes_out += size_bytes
        if self.is_restricted and not is_code:
            self.volume.add(size_bytes)

    def path(self, target: Target) -> str:
        """Return what to ask the tool for, still encoded as the browser sent it."""
        return target.path if self.strip else target.prefix + target.path[1:]


class Origins:
    """Which origin each workspace's pages have, from the settings alone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hosts: dict[str, str] = {}
        self.are_own = "{workspace}" in settings.gateway_host

    def of(self, workspace_id: str) -> str:
        """Return the origin as a browser writes it."""
        return self._settings.gateway_url(workspace_id).removesuffix(":443")

    def host_of(self, workspace_id: str) -> str:
        """Return the `Host` header of that origin."""
        host = self._hosts.get(workspace_id)
        if host is None:
            if len(self._hosts) >= REMEMBERED:
                self._hosts.clear()
            host = self._hosts[workspace_id] = urlsplit(self.of(workspace_id)).netloc
        return host

    def scope_of(self, workspace_id: str) -> str:
        """Return where a cookie counts: one workspace, or all that share the origin."""
        return workspace_id if self.are_own else SHARED


class Passages:
    """The passages in use."""

    def __init__(self, origins: Origins, counters: Counters, volumes: Volumes) -> None:
        self._origins = origins
        self._counters = counters
        self._volumes = volumes
        self._known: dict[str, Passage] = {}

    def of(self, grant: Grant) -> Passage:
        """Return the passage of a grant."""
        known = self._known.get(grant.key)
        if known is None or known.grant is not grant:
            self._forget_ended()
            known = self._known[grant.key] = self._make(grant)
        return known

    def _forget_ended(self) -> None:
        for key in [key for key, passage in self._known.items() if passage.grant.is_revoked]:
            del self._known[key]

    def _make(self, grant: Grant) -> Passage:
        endpoint = grant.endpoint
        workspace_id, resource_id = grant.workspace_id, grant.resource_id
        host = self._origins.host_of(workspace_id)
        closed = Closed(
            downloads=not endpoint.downloads_allowed,
            clipboard=not endpoint.clipboard_allowed,
            own_origin=self._origins.are_own,
        )
        strip = endpoint.prefix_style == "strip"
        inside: list[Header] = [
            ("Authorization", f"token {endpoint.token}"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", host),
        ]
        if strip:
            prefix = f"/ws/{workspace_id}/{resource_id}"
            inside.append(("X-Forwarded-Prefix", prefix))
        return Passage(
            grant=grant,
            address=Address(workspace_id, resource_id, endpoint.port, endpoint.uid),
            added_inside=tuple(inside),
            added_outside=(
                *security_headers(self._origins.of(workspace_id), workspace_id, closed),
                ("Server", "Carrel"),
            ),
            counter=self._counters.of(workspace_id, resource_id),
            volume=self._volumes.of(grant.actor, workspace_id, resource_id),
            is_restricted=closed.downloads,
            is_program=grant.credential.kind == "bearer",
            strip=strip,
            host=host,
        )
