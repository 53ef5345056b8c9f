"""May this browser use this tool, now? Decided once per change, remembered in between."""

import asyncio
from collections import Counter as Tally
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from carrel.core.actors import Actor
from carrel.core.clock import monotonic
from carrel.core.errors import CarrelError, Denied, NotAuthenticated, NotFound, Unavailable
from carrel.core.ids import fingerprint
from carrel.core.secrets import KeyRing
from carrel.gateway.epochs import BLIND_SECONDS, POLL_SECONDS, Blind, Epochs, blind
from carrel.gateway.ports import Endpoint, Endpoints, Sessions

RECHECK_SECONDS = 20.0
"""Sessions end by time too, which moves no counter."""
FORGET_SECONDS = 600.0
AT_ONCE = 128
"""Requests and websockets of one session at the same time."""
LOOKUPS_AT_ONCE = 4

SIGNED_OUT = "You are not signed in to this workspace. Open the tool from the portal."
NO_TOOL = "There is no such tool, or it is not yours. Open your tools from the portal."


@dataclass(frozen=True, slots=True)
class Credential:
    """With what a request proves who sent it: the gateway's cookie, or an API token."""

    kind: str
    """`cookie` or `bearer`."""
    value: str
    scope: str
    """Of a cookie: the workspace whose origin it was sent to, or `*`."""


@dataclass(eq=False, slots=True)
class Grant:
    """A decision that was made, and what lives by it."""

    key: str
    credential: Credential
    workspace_id: str
    resource_id: str
    actor: Actor
    endpoint: Endpoint
    epoch: int
    checked_at: float
    used_at: float
    is_revoked: bool = False
    closers: set[Callable[[], None]] = field(default_factory=set)
    """Called when access ends, to close what is still open."""

    def revoke(self) -> None:
        """End everything that lives by this grant."""
        self.is_revoked = True
        for close in list(self.closers):
            close()


class Access:
    """Every live decision of this gateway."""

    def __init__(
        self, *, sessions: Sessions, endpoints: Endpoints, epochs: Epochs, keys: KeyRing
    ) -> None:
        self._sessions = sessions
        self._endpoints = endpoints
        self._epochs = epochs
        self._keys = keys
        self._grants: dict[str, Grant] = {}
        self._asking: dict[str, asyncio.Future[Grant]] = {}
        self._busy: Tally[str] = Tally()
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="access")

    # Cookies -------------------------------------------------------------------------------

    def cookie_for(self, session_id: str, scope: str) -> str:
        """Return the gateway's cookie for a session; worth nothing at another origin."""
        return f"{session_id}.{self._keys.sign('gateway', f'{scope}:{session_id}')}"

    def _session_of_cookie(self, credential: Credential) -> str | None:
        session_id, _, signature = credential.value.partition(".")
        message = f"{credential.scope}:{session_id}"
        return session_id if self._keys.is_signed("gateway", message, signature) else None

    # Decisions -----------------------------------------------------------------------------

    async def grant(self, credential: Credential, workspace_id: str, resource_id: str) -> Grant:
        """Return the grant for this tool, decided anew if anybody may have lost access.

        Raises `NotAuthenticated`, `NotFound` (also for a tool of another workspace), or what
        says that the tool does not run.
        """
        key = f"{fingerprint(credential.scope + credential.value)}/{workspace_id}/{resource_id}"
        known = self._grants.get(key)
        now = monotonic()
        if known is not None and self._is_fresh(known, now):
            known.used_at = now
            return known
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._decide(key, credential, workspace_id, resource_id))
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(asking)

    def begin(self, grant: Grant) -> None:
        """Count one more thing going on for the session. Raises `Denied` if it is too much."""
        session = grant.actor.session_id or grant.actor.id
        if self._busy[session] >= AT_ONCE:
            raise Denied("Too many pages of this session are open at once. Close some of them.")
        self._busy[session] += 1

    def end(self, grant: Grant) -> None:
        """Count one thing less."""
        session = grant.actor.session_id or grant.actor.id
        self._busy[session] -= 1
        if self._busy[session] <= 0:
            del self._busy[session]

    async def watch(self) -> None:
        """Until cancelled: close what is open wherever access has ended, within a second."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._epochs.refresh()
            await self.recheck()

    async def recheck(self) -> None:
        """Decide anew for every grant that something lives by and that may have changed."""
        now = monotonic()
        stale = [grant for grant in self._grants.values() if not self._is_fresh(grant, now)]
        for grant in stale:
            if not grant.closers and now - grant.used_at > FORGET_SECONDS:
                self._grants.pop(grant.key, None)
        await asyncio.gather(*(self._recheck_one(grant) for grant in stale if grant.closers))

    def close(self) -> None:
        """End every grant and give back the threads."""
        for grant in list(self._grants.values()):
            grant.revoke()
        self._grants.clear()
        self._threads.shutdown(wait=False)
        self._epochs.close()

    def _answered(self, key: str, done: asyncio.Future[Grant]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever asked may have gone away

    def _is_fresh(self, grant: Grant, now: float) -> bool:
        if grant.is_revoked or now - grant.checked_at > RECHECK_SECONDS:
            return False
        try:
            return grant.epoch == self._epochs.current()
        except Blind:
            return False

    async def _recheck_one(self, grant: Grant) -> None:
        try:
            await self.grant(grant.credential, grant.workspace_id, grant.resource_id)
        except CarrelError:
            self._drop(grant)

    def _drop(self, grant: Grant) -> None:
        self._grants.pop(grant.key, None)
        grant.revoke()

    async def _decide(
        self, key: str, credential: Credential, workspace_id: str, resource_id: str
    ) -> Grant:
        known = self._grants.get(key)
        loop = asyncio.get_running_loop()
        try:
            epoch = self._epochs.current()  # before the look-up: a later change counts as new
            actor, endpoint = await loop.run_in_executor(
                self._threads, self._look_up, credential, workspace_id, resource_id
            )
        except Blind:
            if known and not known.is_revoked and _held_seconds(known) <= BLIND_SECONDS:
                return known
            raise
        except CarrelError:
            if known is not None:
                self._drop(known)
            raise
        if known and known.endpoint == endpoint and known.actor.id == actor.id:
            known.actor, known.epoch = actor, epoch
            known.checked_at = known.used_at = monotonic()
            return known
        if known is not None:
            known.revoke()
        now = monotonic()
        grant = Grant(key, credential, workspace_id, resource_id, actor, endpoint, epoch, now, now)
        self._grants[key] = grant
        return grant

    def _look_up(
        self, credential: Credential, workspace_id: str, resource_id: str
    ) -> tuple[Actor, Endpoint]:
        try:
            actor = self._actor(credential)
        except Unavailable as error:
            raise blind(error.log_detail) from error
        if actor is None:
            raise NotAuthenticated(SIGNED_OUT)
        endpoint = self._endpoints.endpoint_for(actor, resource_id)
        if endpoint.workspace_id != workspace_id:
            raise NotFound(NO_TOOL)
        return actor, endpoint

    def _actor(self, credential: Credential) -> Actor | None:
        if credential.kind == "bearer":
            return self._sessions.actor_for_token(credential.value, kind="api")
        session_id = self._session_of_cookie(credential)
        if session_id is None:
            return None
        # Of whatever kind: the gateway signed it for whoever brought this session's ticket.
        return self._sessions.actor_for_session(session_id)


def _held_seconds(grant: Grant) -> float:
    return monotonic() - grant.checked_at
