"""Which projects' pages does the gateway hold, and are they fresh?

A page is kept as upstream sent it, in one file per project: a JSON line, then the body.
"""

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import structlog

from carrel.core.clock import Clock
from carrel.core.ids import new_id
from carrel.packages.ports import Adapter, IndexReply, Page, Upstream
from carrel.packages.rules import (
    Index,
    Policy,
    Reason,
    Refusal,
    check_project,
    hidden_because,
)

MAX_AGE = timedelta(hours=1)
STALE_PAUSE = timedelta(minutes=1)
HELD_IN_MEMORY = 64
log = structlog.get_logger()


@dataclass(slots=True)
class Held:
    """A project's page as the gateway holds it."""

    index: Index
    reply: IndexReply
    fetched_at: datetime
    pages: dict[str, Page]
    """What was rendered from it, by content type."""


class Indexes:
    """The pages of one ecosystem: memory over disk over upstream. Used from one event loop."""

    def __init__(self, adapter: Adapter, upstream: Upstream, folder: Path, clock: Clock) -> None:
        self._adapter = adapter
        self._upstream = upstream
        self._folder = folder / adapter.ecosystem
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock = clock
        self._memory: OrderedDict[str, Held] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Held]] = {}

    async def find(self, name: str) -> Held | None:
        """Return the page held of a canonical name, however old; asks nobody."""
        if (held := self._memory.get(name)) is not None:
            self._memory.move_to_end(name)
            return held
        held = await asyncio.to_thread(self._load, name)
        return self._remember(name, held) if held else None

    def is_fresh(self, held: Held) -> bool:
        """Whether a page is young enough to serve without asking upstream."""
        return self._clock.now() - held.fetched_at < MAX_AGE

    async def fetch(self, name: str, held: Held | None) -> Held:
        """Ask upstream, once for all who ask at the same time. Raises `Refusal`."""
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.create_task(self._fetch(name, held))
            self._under_way[name] = task
            task.add_done_callback(lambda _: self._under_way.pop(name, None))
        return await asyncio.shield(task)

    def now(self) -> datetime:
        """Return the moment by which the policy judges ages."""
        return self._clock.now()

    def postpone(self, held: Held) -> None:
        """Serve a stale page for another minute: upstream is away."""
        held.fetched_at = self._clock.now() - MAX_AGE + STALE_PAUSE

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def render(self, held: Held, policy: Policy, content_type: str) -> Page:
        """Return the page of what the policy shows; made once per freshness and format."""
        check_project(held.index)
        if (page := held.pages.get(content_type)) is None:
            now = self._clock.now()
            visible = [
                file for file in held.index.files if hidden_because(file, policy, now) is None
            ]
            page = self._adapter.render_index(held.index.name, visible, content_type)
            held.pages[content_type] = page
        return page

    async def _fetch(self, name: str, held: Held | None) -> Held:
        try:
            reply = await self._upstream.fetch_index(
                self._adapter.index_url(name),
                accept=self._adapter.accept,
                etag=held.reply.etag if held else "",
            )
        except Refusal as refusal:
            if refusal.reason is Reason.UNKNOWN:
                self._forget(name)
            raise
        if reply.is_unchanged and held is not None:
            new = replace(held, fetched_at=self._clock.now(), pages={})
        else:
            index = await asyncio.to_thread(self._adapter.parse_index, name, reply)
            new = Held(index, reply, self._clock.now(), {})
        try:
            await asyncio.to_thread(self._save, name, new)
        except OSError as error:
            log.warning("packages.index_not_kept", name=name, error=str(error))
        return self._remember(name, new)

    def _remember(self, name: str, held: Held) -> Held:
        self._memory[name] = held
        self._memory.move_to_end(name)
        while len(self._memory) > HELD_IN_MEMORY:
            self._memory.popitem(last=False)
        return held

    def _forget(self, name: str) -> None:
        self._memory.pop(name, None)
        (self._folder / name).unlink(missing_ok=True)

    def _load(self, name: str) -> Held | None:
        try:
            line, _, body = (self._folder / name).read_bytes().partition(b"\n")
            kept = orjson.loads(line)
            reply = IndexReply(kept["url"], body, kept["content_type"], kept["etag"])
            index = self._adapter.parse_index(name, reply)
            return Held(index, reply, datetime.fromisoformat(kept["fetched_at"]), {})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, Refusal) as error:
            log.warning("packages.index_unreadable", name=name, error=str(error))
            return None

    def _save(self, name: str, held: Held) -> None:
        line = orjson.dumps(
            {
                "url": held.reply.url,
                "content_type": held.reply.content_type,
                "etag": held.reply.etag,
                "fetched_at": held.fetched_at,
            }
        )
        partial = self._folder / f".{new_id()}"
        try:
            with partial.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(line + b"\n" + held.reply.body)
            partial.replace(self._folder / name)
        finally:
            partial.unlink(missing_ok=True)
