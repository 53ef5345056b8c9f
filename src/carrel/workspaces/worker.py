"""Who takes the steps? One worker per process: claims work, keeps its leases, looks around."""

import os
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import text

from carrel.core.clock import monotonic
from carrel.core.database import Database
from carrel.core.errors import CarrelError, Unavailable
from carrel.core.ids import new_id
from carrel.core.queue import LeaseLost, Queue, WorkItem
from carrel.workspaces.meters import Meters
from carrel.workspaces.operations import Boundary, Engine, no_boundary
from carrel.workspaces.reconciler import Reconciler
from carrel.workspaces.service import Workspaces
from carrel.workspaces.service.base import LOST_ACCESS, OPERATION

log = structlog.get_logger()

Taker = Callable[[WorkItem, Queue], None]
"""Takes one item of its kind; must complete or postpone it through `queue.fenced`."""

GLANCE_SECONDS = 0.02
"""How often the worker looks whether anybody wrote to the database (SQLite: microseconds)."""
POLL_SECONDS = 0.2
"""How often it asks for work in any case."""
FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 0.5, 5.0
LAST_DELAY_SECONDS = 60.0
"""Between two tries of work that fails by a bug, at the most."""
EXPIRE_SECONDS = 0.5
"""Pause between two looks for steps that hang."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the worker does what it does besides taking steps."""

    slots: int
    reconcile_seconds: float
    meter_seconds: float
    lease_seconds: float


Chore = tuple[float, Callable[[], object]]
"""What else to do, and the seconds between two times."""


class Worker:
    """Takes work of every kind it has a taker for, until told to stop.

    A worker that is killed loses nothing: its leases run out and others go on. When the
    database is away it waits and goes on by itself.
    """

    def __init__(
        self,
        workspaces: Workspaces,
        meters: Meters,
        *,
        takers: Mapping[str, Taker] | None = None,
        chores: Sequence[Chore] = (),
        on_boundary: Boundary = no_boundary,
    ) -> None:
        settings = workspaces.settings
        self._chores = chores
        self.pace = Pace(
            settings.worker_slots,
            settings.reconcile_seconds,
            settings.meter_seconds,
            settings.lease_seconds,
        )
        self.name = f"{socket.gethostname()}:{os.getpid()}:{new_id()[:8]}"
        self._room = workspaces
        self._queue = workspaces.queue
        self._database = workspaces.database
        self._engine = Engine(workspaces, meters, on_boundary=on_boundary)
        self._meters = meters
        self._reconciler = Reconciler(workspaces)
        self._takers: Mapping[str, Taker] = {
            OPERATION: self._engine.take,
            LOST_ACCESS: self._reconciler.take_lost_access,
            **(takers or {}),
        }
        self._attempts = settings.work_attempts
        self._held: dict[str, WorkItem] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()

    def wake(self) -> None:
        """Say that something was put on the queue: looked at within 50 ms."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish the steps in hand and return."""
        log.info("worker_started", worker=self.name, slots=self.pace.slots)
        threads = [
            threading.Thread(target=self._every, args=(stop, *each), daemon=True)
            for each in (
                (self.pace.lease_seconds / 4, self._renew_leases),
                (self.pace.reconcile_seconds, self._reconciler.reconcile),
                (self.pace.meter_seconds, self._meters.sample_all),
                (EXPIRE_SECONDS, self._engine.expire),
                *self._chores,
            )
        ]
        for thread in threads:
            thread.start()
        with ThreadPoolExecutor(self.pace.slots, thread_name_prefix="step") as pool:
            self._claim_until(stop, pool)
        for thread in threads:
            thread.join()
        log.info("worker_stopped", worker=self.name)

    def run_until_idle(self) -> int:
        """Take every item that is due, in this thread; returns how many (for tests and tools)."""
        count = 0
        while (item := self._claim()) is not None:
            self._take(item)
            count += 1
        return count

    # ------------------------------------------------------------------------------------------

    def _claim_until(self, stop: threading.Event, pool: ThreadPoolExecutor) -> None:
        free = threading.Semaphore(self.pace.slots)
        with closing(_Bell(self._database)) as bell:
            while not stop.is_set():
                if not free.acquire(timeout=POLL_SECONDS):
                    continue
                item = self._claim_patiently(stop)
                if item is None:
                    free.release()
                    self._rest(stop, bell)
                    continue
                pool.submit(self._take, item).add_done_callback(lambda _: free.release())

    def _claim_patiently(self, stop: threading.Event) -> WorkItem | None:
        backoff = FIRST_BACKOFF_SECONDS
        while not stop.is_set():
            try:
                return self._claim()
            except Unavailable as error:
                log.warning("database_away", detail=error.log_detail, wait_seconds=backoff)
                stop.wait(backoff)
                backoff = min(LAST_BACKOFF_SECONDS, backoff * 2)
        return None

    def _claim(self) -> WorkItem | None:
        item = self._queue.claim(self.name, frozenset(self._takers))
        if item is not None:
            with self._lock:
                self._held[item.id] = item
        return item

    def _rest(self, stop: threading.Event, bell: "_Bell") -> None:
        """Wait until somebody wrote to the database, or the time to ask anyway has come."""
        until = monotonic() + POLL_SECONDS
        while not stop.is_set() and not self._wake.is_set() and monotonic() < until:
            if bell.has_rung():
                return
            self._wake.wait(GLANCE_SECONDS)
        self._wake.clear()

    def _take(self, item: WorkItem) -> None:
        try:
            if item.failures >= self._attempts:  # counted by whoever claimed it: they died
                self._park(item, f"Its worker ended {item.failures} times in a row while at it.")
                return
            self._takers[item.kind](item, self._queue)
        except LeaseLost:
            log.warning("lease_lost", item=item.id, kind=item.kind)
        except Unavailable as error:
            log.warning("work_interrupted", item=item.id, detail=error.log_detail)
            self._give_back(item)
        except Exception as error:  # the top of the worker: one item must not take others down
            log.exception("work_failed", item=item.id, kind=item.kind)
            self._count_failure(item, _place_of(error))
        finally:
            with self._lock:
                # A thread that hung may end while another one has claimed the item anew.
                if self._held.get(item.id) is item:
                    del self._held[item.id]

    def _count_failure(self, item: WorkItem, error: str) -> None:
        if item.failures + 1 >= self._attempts:
            self._park(item, error)
        else:
            self._give_back(item, has_failed=True)

    def _give_back(self, item: WorkItem, *, has_failed: bool = False) -> None:
        """Let the item be tried again soon; if even that fails, its lease runs out."""
        tries = item.failures + 1 if has_failed else item.attempts
        delay = min(LAST_DELAY_SECONDS, 0.5 * 2 ** min(tries, 10))
        try:
            with self._queue.fenced(item) as connection:
                self._queue.postpone(connection, item, delay_seconds=delay, has_failed=has_failed)
        except CarrelError as error:
            log.warning("give_back_failed", item=item.id, detail=str(error))

    def _park(self, item: WorkItem, error: str) -> None:
        """Put the item aside for a person to look at, and say so where its work is watched."""
        try:
            with self._queue.fenced(item) as connection:
                self._room.park(connection, item, error)
            log.error("dead_letter", item=item.id, kind=item.kind, detail=error)
        except CarrelError as refused:
            log.warning("park_failed", item=item.id, detail=str(refused))

    def _renew_leases(self) -> None:
        with self._lock:
            held = list(self._held.values())
        for item in held:
            try:
                self._queue.renew(item)
            except LeaseLost:
                log.warning("lease_lost", item=item.id, kind=item.kind)

    def _every(self, stop: threading.Event, seconds: float, chore: Callable[[], object]) -> None:
        while not stop.wait(seconds):
            try:
                chore()
            except CarrelError as error:
                log.warning("chore_failed", chore=chore.__name__, detail=str(error))
            except Exception:  # the top of a loop: the next round may go better
                log.exception("chore_failed", chore=chore.__name__)


def _place_of(error: Exception) -> str:
    """Return what failed, and where; not the error's own words, which may quote a secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
    return f"{type(error).__name__} ({where}). The log of the worker has the rest."


class _Bell:
    """Notices writes to an SQLite database by other connections, for a few microseconds each."""

    def __init__(self, database: Database) -> None:
        self._connection = database.engine.connect() if database.is_sqlite else None
        self._seen = -1

    def has_rung(self) -> bool:
        """Whether anything was written since the last look; always False on other databases."""
        if self._connection is None:
            return False
        # The counter tells of other connections' commits, so the connection must stay the same.
        version = int(self._connection.execute(text("PRAGMA data_version")).scalar_one())
        changed, self._seen = version != self._seen, version
        return changed

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
