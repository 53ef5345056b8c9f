"""Who follows which operation? One look at the database for every follower of a process.

A thread looks a few times a second, as long as anybody follows: one query tells the revision of
every operation that is followed, and the access epoch. Followers whose operation has changed, or
who may have lost access, are woken; they read what they may still see by themselves.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import func, select

from carrel.core.clock import monotonic
from carrel.core.database import Database
from carrel.core.errors import TooManyRequests, Unavailable
from carrel.people.access import access_epoch
from carrel.workspaces.tables import operations

log = structlog.get_logger()

LOOK_SECONDS = 0.2
MOST_STREAMS = 8
"""Of one account, in one process."""

Mark = tuple[int, ...]


@dataclass(eq=False, slots=True)
class Follower:
    """Somebody who waits for changes: of one operation, or of all an account has running."""

    account_id: str
    operation_id: str | None
    loop: asyncio.AbstractEventLoop
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    seen: Mark | None = None

    async def wait(self, seconds: float) -> bool:
        """Wait until something may have changed, at most so long; says whether it has."""
        try:
            await asyncio.wait_for(self.changed.wait(), seconds)
        except TimeoutError:
            return False
        self.changed.clear()
        return True


class Streams:
    """Everybody in this process who follows operations."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: set[Follower] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._away = threading.Event()

    @contextmanager
    def following(self, account_id: str, operation_id: str | None = None) -> Iterator[Follower]:
        """Follow an operation, or with None all of an account; use in a running event loop.

        Raises `TooManyRequests` if the account follows too many already.
        """
        follower = Follower(account_id, operation_id, asyncio.get_running_loop())
        with self._lock:
            if Counter(each.account_id for each in self._followers)[account_id] >= MOST_STREAMS:
                raise TooManyRequests(
                    f"Your account follows {MOST_STREAMS} operations here already. Close one of "
                    "the pages or programs that do, then try again.",
                    retry_after_seconds=5,
                )
            self._followers.add(follower)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="streams", daemon=True)
                self._thread.start()
        try:
            yield follower
        finally:
            with self._lock:
                self._followers.discard(follower)

    def close(self) -> None:
        """Let every follower go and end the thread, so that the database may be closed."""
        with self._lock:
            self._followers.clear()
            thread = self._thread
        if thread is not None:
            self._away.set()
            thread.join()
            self._away.clear()

    # In the thread ----------------------------------------------------------------------------

    def _look(self) -> None:
        while True:
            began = monotonic()
            with self._lock:
                followers = list(self._followers)
                if not followers:
                    self._thread = None
                    return
            try:
                self._wake(followers)
            except Unavailable as error:
                log.warning("database_away", detail=error.log_detail)
            self._away.wait(max(0.0, LOOK_SECONDS - (monotonic() - began)))

    def _wake(self, followers: list[Follower]) -> None:
        by_operation, by_account, epoch = self._marks(followers)
        for follower in followers:
            if follower.operation_id is not None:
                mark: Mark = (epoch, by_operation.get(follower.operation_id, 0))
            else:
                mark = (epoch, *by_account.get(follower.account_id, ()))
            if mark != follower.seen:
                follower.seen = mark
                try:
                    follower.loop.call_soon_threadsafe(follower.changed.set)
                except RuntimeError:  # its loop was closed while we looked
                    continue

    def _marks(
        self, followers: list[Follower]
    ) -> tuple[dict[str, int], dict[str, tuple[int, int, int]], int]:
        ids = {each.operation_id for each in followers if each.operation_id is not None}
        accounts = {each.account_id for each in followers if each.operation_id is None}
        revision = func.coalesce(operations.c.revision, 0)
        one = select(operations.c.id, revision).where(operations.c.id.in_(ids))
        mine = (
            select(
                operations.c.user_id,
                func.count(),
                func.sum(revision),
                func.coalesce(func.max(operations.c.number), 0),
            )
            .where(operations.c.user_id.in_(accounts), ~operations.c.is_final)
            .group_by(operations.c.user_id)
        )
        with self._database.read() as connection:
            by_operation = {row[0]: int(row[1]) for row in connection.execute(one)} if ids else {}
            rows = connection.execute(mine) if accounts else ()
            by_account = {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in rows}
            return by_operation, by_account, access_epoch(connection)
