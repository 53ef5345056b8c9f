"""May this workspace have this page or file, and where does it come from?"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from carrel.core.clock import monotonic
from carrel.packages.indexes import Held, Indexes
from carrel.packages.ports import Adapter, Page, Upstream
from carrel.packages.records import Records
from carrel.packages.rules import (
    MISSES_PER_DAY,
    FileAsk,
    IndexAsk,
    IndexFile,
    Policy,
    Reason,
    Refusal,
    check_project,
    hidden_because,
    hidden_refusal,
    not_published,
)
from carrel.packages.store import Follower, Store

METADATA = ".metadata"
AWAY_SECONDS = 5.0
"""After upstream failed, a workspace's cold requests are refused at once for so long."""


@dataclass(frozen=True, slots=True)
class Ecosystem:
    """An adapter with the pages held of its index."""

    adapter: Adapter
    indexes: Indexes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file for a workspace: in the store, or on its way into it."""

    size_bytes: int | None
    path: Path | None = None
    follower: Follower | None = None
    """To be closed by who delivers it."""


@dataclass
class _Asking:
    """One workspace's names on their way upstream."""

    pending: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    away_until: float = 0.0


class Packages:
    """The package gateway's use cases. Used from one event loop.

    Every method raises `Refusal` with the sentence for the person, or `Unavailable` if the
    database is away: what cannot be recorded does not happen.
    """

    def __init__(
        self,
        ecosystems: Mapping[str, Ecosystem],
        upstream: Upstream,
        store: Store,
        records: Records,
        policy: Policy,
    ) -> None:
        self._ecosystems = ecosystems
        self._upstream = upstream
        self._store = store
        self._records = records
        self._policy = policy
        self._asking: dict[str, _Asking] = defaultdict(_Asking)

    async def page(self, workspace_id: str, ask: IndexAsk, accept: str) -> Page:
        """Return the page of a project's visible files in the client's format."""
        ecosystem = self._find_ecosystem(ask.ecosystem)
        held = await ecosystem.indexes.find(ask.name)
        if held is None:
            held = await self._fetch_unknown(workspace_id, ecosystem, ask.name)
        elif not ecosystem.indexes.is_fresh(held):
            held = await _refresh(ecosystem, ask.name, held)
        format_ = ecosystem.adapter.content_type(accept)
        return ecosystem.indexes.render(held, self._policy, format_)

    async def file(self, workspace_id: str, ask: FileAsk) -> Delivery:
        """Return a file that the gateway published, from the store or from upstream."""
        ecosystem = self._find_ecosystem(ask.ecosystem)
        wanted = ask.filename.removesuffix(METADATA)
        file = await self._find_file(ecosystem, ask.digest, wanted)
        if wanted != ask.filename:
            if file.metadata_digest is None:
                raise not_published()
            return self._deliver(file.metadata_digest, None, _metadata_url(file.url))
        if not self._records.has_downloaded(workspace_id, file.digest):
            await asyncio.to_thread(self._records.add_download, workspace_id, ask.ecosystem, file)
        return self._deliver(file.digest, file.size_bytes, file.url)

    async def size(self, ask: FileAsk) -> int | None:
        """Return the length of a published file without fetching it (HEAD); None if unknown."""
        file = await self._find_file(
            self._find_ecosystem(ask.ecosystem), ask.digest, ask.filename.removesuffix(METADATA)
        )
        return file.size_bytes if file.filename == ask.filename else None

    def _find_ecosystem(self, name: str) -> Ecosystem:
        if (ecosystem := self._ecosystems.get(name)) is None:
            offered = ", ".join(sorted(self._ecosystems))
            raise Refusal(Reason.NO_SUCH_PATH, f"The gateway offers packages of: {offered}.")
        return ecosystem

    async def _find_file(self, ecosystem: Ecosystem, digest: str, filename: str) -> IndexFile:
        for name in ecosystem.adapter.file_projects(filename):
            held = await ecosystem.indexes.find(name)
            if held is not None and (file := held.index.find(digest, filename)) is not None:
                check_project(held.index)
                if hidden := hidden_because(file, self._policy, ecosystem.indexes.now()):
                    raise hidden_refusal(file, hidden, self._policy)
                return file
        raise not_published()

    def _deliver(self, digest: str, size_bytes: int | None, url: str) -> Delivery:
        if (path := self._store.find(digest)) is not None:
            return Delivery(path.stat().st_size, path=path)
        follower = self._store.fill(digest, size_bytes, lambda: self._upstream.open_file(url))
        return Delivery(size_bytes, follower=follower)

    async def _fetch_unknown(self, workspace_id: str, ecosystem: Ecosystem, name: str) -> Held:
        """Ask upstream for a name that the gateway does not hold: it may be a message."""
        kind = ecosystem.adapter.ecosystem
        if await asyncio.to_thread(self._records.is_missed, kind, name):
            raise _unknown(name)
        asking = self._asking[workspace_id]
        await self._take_turn(workspace_id, asking)
        try:
            return await ecosystem.indexes.fetch(name, None)
        except Refusal as refusal:
            if refusal.reason is Reason.UPSTREAM_AWAY:
                asking.away_until = monotonic() + AWAY_SECONDS
                raise
            await asyncio.to_thread(self._records.add_miss, workspace_id, kind, name)
            raise (_unknown(name) if refusal.reason is Reason.UNKNOWN else refusal) from refusal
        finally:
            async with asking.changed:
                asking.pending -= 1
                asking.changed.notify_all()

    async def _take_turn(self, workspace_id: str, asking: _Asking) -> None:
        """Wait until one more name may leave: were all under way unknown, none is too many."""
        if monotonic() < asking.away_until:
            raise Refusal(
                Reason.UPSTREAM_AWAY, "The package index outside is away; try again in a moment."
            )
        async with asking.changed:
            while True:
                misses = await asyncio.to_thread(self._records.count_misses, workspace_id)
                if misses >= MISSES_PER_DAY:
                    raise Refusal(
                        Reason.TOO_MANY_UNKNOWN,
                        f"This workspace asked for {misses} unknown package names in 24 hours; "
                        "until tomorrow only packages that the TRE already knows are served.",
                    )
                if misses + asking.pending < MISSES_PER_DAY:
                    asking.pending += 1
                    return
                await asking.changed.wait()


async def _refresh(ecosystem: Ecosystem, name: str, held: Held) -> Held:
    """Return a fresh page, or the stale one if upstream is away."""
    try:
        return await ecosystem.indexes.fetch(name, held)
    except Refusal as refusal:
        if refusal.reason is not Reason.UPSTREAM_AWAY:
            raise
        ecosystem.indexes.postpone(held)
        return held


def _unknown(name: str) -> Refusal:
    return Refusal(Reason.UNKNOWN, f"The package index knows no package {name}; check the name.")


def _metadata_url(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=parts.path + METADATA).geturl()
