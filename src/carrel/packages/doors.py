"""Is a listener held open inside every open workspace, and in no other?

A launcher that was restarted, a namespace that was made anew, a workspace that is not there
yet: whatever is missing is tried again at the next round.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from carrel.core.clock import monotonic
from carrel.core.errors import CarrelError, Conflict
from carrel.packages.ports import OpenWorkspace
from carrel.packages.records import Records
from carrel.runtime.ports import Doors
from carrel.workspaces.rules import PACKAGE_PORT, PROXY_PORT

CHECK_SECONDS = 15.0
"""How often each listener is dialled from inside, to see that it is in the living namespace."""
OPEN_AT_ONCE = 4
T = TypeVar("T")
Key = tuple[str, int]
"""Workspace id and port."""
log = structlog.get_logger()


class Door(Protocol):
    """Something that serves on a listening socket inside a workspace."""

    async def close(self) -> None:
        """Stop listening and cut every connection."""


Opener = Callable[[str, socket.socket], Awaitable[Door]]
"""Serves a workspace on a socket that is its own from then on."""


@dataclass
class _Held:
    door: Door
    checked_at: float


class HeldDoors:
    """The listeners of this process. Used from one event loop; sockets are opened in threads."""

    def __init__(
        self,
        doors: Doors,
        records: Records,
        openers: Mapping[int, Opener],
        *,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._check_seconds = check_seconds
        self._doors = doors
        self._records = records
        self._openers = openers
        self._held: dict[Key, _Held] = {}
        self._failing: dict[Key, str] = {}
        self._threads = ThreadPoolExecutor(OPEN_AT_ONCE, thread_name_prefix="doors")

    def held(self) -> frozenset[Key]:
        """Return what is held open now."""
        return frozenset(self._held)

    async def converge(self, spaces: Sequence[OpenWorkspace]) -> None:
        """Close what is not wanted any more, open what is missing; never raises for one door."""
        wanted = _wanted(spaces)
        await self._close(self._held.keys() - wanted)
        missing = wanted - self._held.keys()
        lost = await self._find_lost()
        await asyncio.gather(*map(self._open, sorted(missing | lost)))
        self._failing = {key: why for key, why in self._failing.items() if key in wanted}

    async def close(self) -> None:
        """Close everything."""
        await self._close(set(self._held))
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _close(self, keys: set[Key]) -> None:
        held = [self._held.pop(key) for key in keys]
        await asyncio.gather(*(each.door.close() for each in held))

    async def _open(self, key: Key) -> None:
        """Open a door; a door held so far stays until the new one stands."""
        workspace_id, port = key
        try:
            listener = await self._in_thread(self._doors.listen, workspace_id, port)
        except CarrelError as error:
            if key not in self._held:
                await self._report(key, error)
            return
        old = self._held.get(key)
        self._held[key] = _Held(await self._openers[port](workspace_id, listener), monotonic())
        self._failing.pop(key, None)
        log.info("packages.door_opened", workspace=workspace_id, port=port)
        if old is not None:
            await old.door.close()

    async def _report(self, key: Key, error: CarrelError) -> None:
        """Log a door that cannot be opened once per cause; a taken port is an alarm."""
        if self._failing.get(key) == str(error):
            return
        self._failing[key] = str(error)
        log.warning("packages.door_closed", workspace=key[0], port=key[1], error=str(error))
        if isinstance(error, Conflict):
            try:
                await asyncio.to_thread(
                    self._records.add_refusal, key[0], "package.port_taken", str(key[1])
                )
            except CarrelError as failure:
                log.warning("packages.unrecorded", error=str(failure))

    async def _find_lost(self) -> set[Key]:
        """Return the listeners that cannot be reached from inside.

        Either their namespace is another now, and the port in it is free; or it is only the
        launcher that does not answer, and then `listen` fails as well and nothing is lost.
        """
        now = monotonic()
        due = [
            key for key, held in self._held.items() if now - held.checked_at >= self._check_seconds
        ]
        reached = await asyncio.gather(*map(self._is_reached, due))
        for key in due:
            self._held[key].checked_at = now
        return {key for key, good in zip(due, reached, strict=True) if not good}

    async def _is_reached(self, key: Key) -> bool:
        try:
            probe = await self._in_thread(self._doors.dial, *key)
        except CarrelError as error:
            log.warning("packages.door_lost", workspace=key[0], port=key[1], error=str(error))
            return False
        probe.close()
        return True

    async def _in_thread(self, call: Callable[[str, int], T], workspace_id: str, port: int) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, workspace_id, port)


def _wanted(spaces: Sequence[OpenWorkspace]) -> set[Key]:
    packages = {(space.id, PACKAGE_PORT) for space in spaces if space.package_gateway}
    return packages | {(space.id, PROXY_PORT) for space in spaces if space.egress_proxy}
