"""How does one operation move, from a claim to its end or a pause?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from sqlalchemy import Connection

from carrel.core.clock import monotonic
from carrel.core.errors import CarrelError, Unavailable
from carrel.core.queue import LeaseLost, Queue, WorkItem
from carrel.workspaces.meters import Meters
from carrel.workspaces.operations.patience import (
    SAY_SECONDS,
    TREE_PAUSE_SECONDS,
    Boundary,
    TimedOut,
    duration,
    may_retry,
    out_of_time,
    retry_seconds,
)
from carrel.workspaces.operations.way_back import WayBack
from carrel.workspaces.pipelines.changing import NotYet
from carrel.workspaces.rules import Operation, Progress, Resource, Step, status_word
from carrel.workspaces.service import Workspaces
from carrel.workspaces.steps import Cancelled, StepKind, StepWork
from carrel.workspaces.store import (
    active_operations,
    change_operation,
    change_step,
    complete_step,
    find_any_resource,
    find_operation,
    is_being_changed,
    look_ahead,
    set_status,
    start_operation,
)
from carrel.workspaces.store.operations import began
from carrel.workspaces.tables import operations

log = structlog.get_logger()
P = Progress


@dataclass(slots=True)
class Run:
    """An operation in this worker's hands, as the database has it."""

    operation: Operation
    position: int
    """Of the step to take next, or to undo next."""
    is_undoing: bool
    resource: Resource | None = None
    """What the step is about, where it was read already."""

    @property
    def step(self) -> Step:
        """The step to take, or to undo, next."""
        return self.operation.steps[self.position]

    @property
    def may_take_for_ever(self) -> bool:
        """Whether it goes on until it is done: what removes something does."""
        return self.is_undoing or self.operation.action == "uninstall"


class Hands(Protocol):
    """The engine, as a journey needs it."""

    room: Workspaces
    meters: Meters
    steps: Mapping[str, StepKind]
    on_boundary: Boundary

    def hold(self, item: WorkItem, journey: "Journey", run: Run, seconds: float) -> None:
        """Note that a step begins, and how long it may take."""
        ...

    def is_over(self, item: WorkItem) -> bool:
        """Whether the step in hand has taken longer than it may."""
        ...


class Journey:
    """One operation in this worker's hands, from one claim to its end or a pause."""

    def __init__(self, engine: Hands, item: WorkItem, queue: Queue) -> None:
        self._room = engine.room
        self._engine = engine
        self._item = item
        self._queue = queue
        self._back = WayBack(engine.room, item, queue)

    # Beginning --------------------------------------------------------------------------------

    def begin(self) -> Run | None:
        """Return the first step to take; None if the operation has ended, or has to wait."""
        with self._queue.fenced(self._item) as connection:
            operation = find_operation(connection, self._item.payload["operation"])
            if operation is None or operation.is_final:
                self._queue.complete(connection, self._item)
                return None
            resource = find_any_resource(connection, operation.resource_id)
            assert resource is not None, "operations refer to resources by foreign key"
            if operation.progress is P.WAITING and self._is_busy(connection, operation, resource):
                self._queue.postpone(connection, self._item, delay_seconds=TREE_PAUSE_SECONDS)
                return None
            run = self._resume(connection, operation)
        if run is not None:
            self._engine.on_boundary(run.step.name, "begun")
        return run

    def _is_busy(self, connection: Connection, operation: Operation, resource: Resource) -> bool:
        """Whether something is in flight above, at or below the resource that goes first.

        That is what was asked for earlier, and what has begun already.
        """
        goes_first = (operations.c.number < operation.number) | began()
        others = active_operations(resource).where(operations.c.id != operation.id, goes_first)
        if connection.execute(others.limit(1)).first() is not None:
            return True
        return is_being_changed(connection, operation)

    def _resume(self, connection: Connection, operation: Operation) -> Run | None:
        if operation.progress is P.UNDOING:
            return self._undoing(self._back.first(connection, operation))
        position = next(s.position for s in operation.steps if s.progress is not P.DONE)
        run = Run(operation, position, is_undoing=False)
        if operation.was_cancelled:
            return self._turn_back(connection, run, _cancelled(operation))
        if operation.is_over_time(self._room.clock.now()):
            return self._turn_back(connection, run, str(out_of_time(operation)))
        set_status(connection, operation.resource_id, status_word(operation.action, P.RUNNING))
        now = self._room.clock.now()
        start_operation(connection, operation.id, position, now)
        run.operation = replace(operation, started_at=operation.started_at or now)
        return run

    # One step ---------------------------------------------------------------------------------

    def advance(self, run: Run) -> Run | None:
        """Take one step, forwards or back; returns the next one, or None at the end or a pause."""
        kind = self._engine.steps[run.step.name]
        work = self._work(run)
        self._engine.hold(self._item, self, run, self._seconds(kind))
        try:
            message = (kind.undo if run.is_undoing else kind.act)(work)
            if not run.may_take_for_ever:
                self._check_time(kind)
        except LeaseLost:
            raise
        except Unavailable as error:
            return self._try_later(run, str(error))
        except CarrelError as error:
            return self._fail(run, error)
        except Exception as error:  # a bug in a step must not take the worker down
            log.exception("step_failed", step=run.step.name, operation=run.operation.id)
            sentence = "Something unexpected happened; the log has the details. Try again."
            return self._fail(run, CarrelError(sentence, log_detail=repr(error)))
        self._engine.on_boundary(run.step.name, "acted")
        try:
            with self._queue.fenced(self._item) as connection:
                said = (kind.record_undo if run.is_undoing else kind.record)(connection, work)
                following = self._complete_step(connection, run, work, said or message)
        except (LeaseLost, Unavailable):
            raise
        except NotYet as error:
            self._wait_for_turn(run, str(error))
            return None
        except CarrelError as error:
            return self._fail(run, error)
        self._engine.on_boundary(run.step.name, "recorded")
        return following

    def give_up(self, run: Run) -> None:
        """Let a step fail that hangs in another thread; that thread's work counts no more."""
        with self._queue.fenced(self._item) as connection:
            following: Run | None = run
            if not run.may_take_for_ever:
                kind = self._engine.steps[run.step.name]
                following = self._fail_in(connection, run, self._took_too_long(kind))
            if following is not None:
                self._queue.revoke(connection, self._item)

    def _seconds(self, kind: StepKind) -> float:
        return kind.limit_seconds or self._room.settings.step_minutes * 60

    def _check_time(self, kind: StepKind) -> None:
        if self._engine.is_over(self._item):
            raise self._took_too_long(kind)

    def _took_too_long(self, kind: StepKind) -> TimedOut:
        return TimedOut(
            f"This step took longer than {duration(self._seconds(kind))}, which is the most it "
            "may take. Try again when the host has less to do."
        )

    def _work(self, run: Run) -> StepWork:
        resource = run.resource
        if resource is None:
            with self._room.database.read() as connection:
                resource = find_any_resource(connection, run.step.resource_id)
        assert resource is not None, "steps refer to resources that are never erased"
        return StepWork(
            room=self._room,
            meters=self._engine.meters,
            resource=resource,
            operation=run.operation,
            step=run.step,
            is_cancelled=lambda: self._is_cancelled(run.operation.id),
            say=_Voice(self._queue, self._item, run, self._room).say,
        )

    def _is_cancelled(self, operation_id: str) -> bool:
        with self._room.database.read() as connection:
            found = find_operation(connection, operation_id)
        return found is None or found.was_cancelled

    def _complete_step(
        self, connection: Connection, run: Run, work: StepWork, message: str
    ) -> Run | None:
        operation, position = run.operation, run.position
        self._queue.went_well(connection, self._item)
        if run.is_undoing:
            self._back.mark(connection, operation, run.step, P.UNDONE, message)
            for left in work.left:
                operation = self._back.leave(connection, operation, left)
            return self._undoing(self._back.before(connection, operation, position))
        is_last = position + 1 == len(operation.steps)
        following = Run(operation, position + (not is_last), is_undoing=False)
        following.resource, is_cancelled = look_ahead(
            connection, operation.id, following.step.resource_id
        )
        if is_cancelled or (not is_last and operation.is_over_time(self._room.clock.now())):
            self._back.mark(connection, operation, run.step, P.DONE, message)
            again = find_operation(connection, operation.id)
            assert again is not None
            why = _cancelled(again) if is_cancelled else str(out_of_time(operation))
            return self._turn_back(connection, following, why)
        complete_step(connection, operation.id, position, message, self._room.clock.now())
        if is_last:
            self._back.finish(connection, operation, P.DONE, _ending(operation))
            return None
        return following

    # When it does not go well -----------------------------------------------------------------

    def _try_later(self, run: Run, sentence: str) -> Run | None:
        attempts = run.step.attempts + 1
        operation = run.operation
        progress = P.UNDOING if run.is_undoing else P.RUNNING
        if not may_retry(operation.action, progress, attempts):
            return self._fail(run, Unavailable(sentence))
        delay = retry_seconds(attempts)
        with self._queue.fenced(self._item) as connection:
            message = f"{sentence} Trying again in {delay:.0f} s (attempt {attempts + 1})."
            now = self._room.clock.now()
            change_step(
                connection,
                operation.id,
                run.position,
                message=message,
                attempts=attempts,
                updated_at=now,
            )
            if not run.is_undoing:  # whose message says why it is undone
                change_operation(connection, operation.id, message=message, updated_at=now)
            self._queue.postpone(connection, self._item, delay_seconds=delay)
        return None

    def _wait_for_turn(self, run: Run, sentence: str) -> None:
        with self._queue.fenced(self._item) as connection:
            if run.step.message != sentence:
                change_step(connection, run.operation.id, run.position, message=sentence)
            self._queue.postpone(connection, self._item, delay_seconds=TREE_PAUSE_SECONDS)

    def _fail(self, run: Run, error: CarrelError) -> Run | None:
        log.warning(
            "step_refused",
            step=run.step.name,
            operation=run.operation.id,
            code=error.code,
            detail=error.log_detail,
        )
        with self._queue.fenced(self._item) as connection:
            return self._fail_in(connection, run, error)

    def _fail_in(self, connection: Connection, run: Run, error: CarrelError) -> Run | None:
        operation, sentence = run.operation, str(error)
        if run.is_undoing:
            self._back.mark(
                connection, operation, run.step, P.UNDONE, f"Could not be undone: {sentence}"
            )
            left = f"{run.step.title} ({sentence})"
            operation = self._back.leave(connection, operation, left)
            return self._undoing(self._back.before(connection, operation, run.position))
        if isinstance(error, Cancelled):
            sentence = _cancelled(find_operation(connection, operation.id) or operation)
        self._back.mark(connection, operation, run.step, P.FAILED, sentence)
        if operation.is_pipeline:
            failed = f"Multi step pipeline failed on step {run.step.template_step_id}."
            sentence = f"{failed} {sentence}"
        return self._turn_back(connection, run, sentence)

    def _turn_back(self, connection: Connection, run: Run, sentence: str) -> Run | None:
        return self._undoing(self._back.turn(connection, run.operation, sentence))

    def _undoing(self, found: tuple[Operation, int] | None) -> Run | None:
        return Run(*found, is_undoing=True) if found else None


class _Voice:
    """Says what goes on inside a long step, not too often."""

    def __init__(self, queue: Queue, item: WorkItem, run: Run, room: Workspaces) -> None:
        self._queue, self._item, self._run, self._room = queue, item, run, room
        self._said_at = -SAY_SECONDS

    def say(self, sentence: str) -> None:
        """Show a sentence as the step's message. Raises `LeaseLost`."""
        if monotonic() - self._said_at < SAY_SECONDS:
            return
        self._said_at = monotonic()
        with self._queue.fenced(self._item) as connection:
            change_step(
                connection,
                self._run.operation.id,
                self._run.position,
                message=sentence,
                updated_at=self._room.clock.now(),
            )


def _cancelled(operation: Operation) -> str:
    return f"Cancelled by {operation.cancelled_by}." if operation.cancelled_by else "Cancelled."


_ENDINGS = {
    "install": "Ready.",
    "upgrade": "Changed.",
    "uninstall": "Deleted; nothing is left.",
}


def _ending(operation: Operation) -> str:
    if operation.is_pipeline:
        return "Multi step pipeline completed successfully."
    return _ENDINGS.get(operation.action, "Done.")
