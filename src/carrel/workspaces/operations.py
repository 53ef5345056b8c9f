"""How does an operation move from step to step, and survive `kill -9` at any point?

A work item holds the operation's id. Whoever claims it goes on at the first step that is not
done: act on the host, then in one fenced transaction complete this step and start the next.
What fails for a while is tried again later; what fails for good, or is cancelled, is undone
where the action must not leave anything half made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from carrel.core.actors import system
from carrel.core.errors import CarrelError, Unavailable
from carrel.core.queue import LeaseLost, Queue, WorkItem
from carrel.workspaces.events import OperationFinished
from carrel.workspaces.meters import Meters
from carrel.workspaces.plans import UNDONE_ACTIONS
from carrel.workspaces.rules import Operation, Power, Progress, Resource, Step, status_word
from carrel.workspaces.service import Workspaces
from carrel.workspaces.steps import STEPS, Cancelled, StepKind, StepWork
from carrel.workspaces.store import (
    active_operations,
    change_operation,
    change_resource,
    change_step,
    complete_step,
    end_operation,
    find_any_resource,
    find_operation,
    look_ahead,
    set_status,
    start_operation,
)
from carrel.workspaces.tables import operations

log = structlog.get_logger()

P = Progress
Boundary = Callable[[str, str], None]
"""Called as `(step name, point)` at every step boundary; a kill test dies in it."""

TREE_PAUSE_SECONDS = 0.1
"""How long an operation waits before it looks again whether its tree is free."""
RETRIES = 6
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 30.0


def no_boundary(step: str, point: str) -> None:
    """Do nothing at a step boundary."""
    del step, point


def retry_seconds(attempts: int) -> float:
    """Return how long to wait after the `attempts`-th failed try of a step."""
    return min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * float(2 ** min(attempts - 1, 16)))


def may_retry(action: str, progress: Progress, attempts: int) -> bool:
    """Whether a step that a later try may help is tried again.

    What removes something is tried for ever: a delete always ends in nothing left.
    """
    return attempts <= RETRIES or action == "uninstall" or progress is P.UNDOING


@dataclass(slots=True)
class _Run:
    """An operation in this worker's hands, as the database has it."""

    operation: Operation
    position: int
    """Of the step to take next, or to undo next."""
    is_undoing: bool
    resource: Resource | None = None
    """What the step is about, where it was read already."""

    @property
    def step(self) -> Step:
        return self.operation.steps[self.position]


class Engine:
    """Takes the steps of operations; safe with any number of workers."""

    def __init__(
        self,
        room: Workspaces,
        meters: Meters,
        *,
        steps: Mapping[str, StepKind] = STEPS,
        on_boundary: Boundary = no_boundary,
    ) -> None:
        self.room = room
        self.meters = meters
        self.steps = steps
        self.on_boundary = on_boundary

    def take(self, item: WorkItem, queue: Queue) -> None:
        """Move the item's operation on until it ends or has to wait.

        Raises `LeaseLost` if another worker has taken over, `Unavailable` if the database is
        away; in both cases nothing is lost.
        """
        journey = _Journey(self, item, queue)
        run = journey.begin()
        while run is not None:
            run = journey.advance(run)


class _Journey:
    """One operation in this worker's hands, from one claim to its end or a pause."""

    def __init__(self, engine: Engine, item: WorkItem, queue: Queue) -> None:
        self._room = engine.room
        self._engine = engine
        self._item = item
        self._queue = queue

    # Beginning --------------------------------------------------------------------------------

    def begin(self) -> _Run | None:
        with self._queue.fenced(self._item) as connection:
            operation = find_operation(connection, self._item.payload["operation"])
            if operation is None or operation.is_final:
                self._queue.complete(connection, self._item)
                return None
            resource = find_any_resource(connection, operation.resource_id)
            assert resource is not None, "operations refer to resources by foreign key"
            if self._is_tree_busy(connection, operation, resource):
                self._queue.postpone(connection, self._item, delay_seconds=TREE_PAUSE_SECONDS)
                return None
            run = self._resume(connection, operation)
        if run is not None:
            self._engine.on_boundary(run.step.name, "begun")
        return run

    def _is_tree_busy(
        self, connection: Connection, operation: Operation, resource: Resource
    ) -> bool:
        """Whether an operation asked for earlier is in flight above, at or below the resource."""
        earlier = active_operations(resource).where(operations.c.number < operation.number)
        return connection.execute(earlier.limit(1)).first() is not None

    def _resume(self, connection: Connection, operation: Operation) -> _Run | None:
        if operation.progress is P.UNDOING:
            return self._next_undo(connection, operation)
        position = next(s.position for s in operation.steps if s.progress is not P.DONE)
        run = _Run(operation, position, is_undoing=False)
        if operation.was_cancelled:
            return self._turn_back(connection, run, "Cancelled.")
        set_status(connection, operation.resource_id, status_word(operation.action, P.RUNNING))
        start_operation(connection, operation.id, position, self._room.clock.now())
        return run

    # One step ---------------------------------------------------------------------------------

    def advance(self, run: _Run) -> _Run | None:
        kind = self._engine.steps[run.step.name]
        work = self._work(run)
        try:
            message = (kind.undo if run.is_undoing else kind.act)(work)
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
                (kind.record_undo if run.is_undoing else kind.record)(connection, work)
                following = self._complete_step(connection, run, message)
        except (LeaseLost, Unavailable):
            raise
        except CarrelError as error:
            return self._fail(run, error)
        self._engine.on_boundary(run.step.name, "recorded")
        return following

    def _work(self, run: _Run) -> StepWork:
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
            is_cancelled=lambda: self._is_cancelled(run.operation.id),
        )

    def _is_cancelled(self, operation_id: str) -> bool:
        with self._room.database.read() as connection:
            found = find_operation(connection, operation_id)
        return found is None or found.was_cancelled

    def _complete_step(self, connection: Connection, run: _Run, message: str) -> _Run | None:
        operation, position = run.operation, run.position
        if run.is_undoing:
            self._mark(connection, run, P.UNDONE, message)
            return self._undo_before(connection, operation, position)
        is_last = position + 1 == len(operation.steps)
        following = _Run(operation, position + (not is_last), is_undoing=False)
        following.resource, is_cancelled = look_ahead(
            connection, operation.id, following.step.resource_id
        )
        if is_cancelled:
            self._mark(connection, run, P.DONE, message)
            return self._turn_back(connection, following, "Cancelled.")
        complete_step(connection, operation.id, position, message, self._room.clock.now())
        if is_last:
            self._finish(connection, operation, P.DONE, _ENDINGS[_kind(operation)])
            return None
        return following

    # When it does not go well -----------------------------------------------------------------

    def _try_later(self, run: _Run, sentence: str) -> _Run | None:
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

    def _fail(self, run: _Run, error: CarrelError) -> _Run | None:
        log.warning(
            "step_refused",
            step=run.step.name,
            operation=run.operation.id,
            code=error.code,
            detail=error.log_detail,
        )
        with self._queue.fenced(self._item) as connection:
            if run.is_undoing:
                return self._leave(connection, run, str(error))
            sentence = "Cancelled." if isinstance(error, Cancelled) else str(error)
            self._mark(connection, run, P.FAILED, sentence)
            return self._turn_back(connection, run, sentence)

    def _leave(self, connection: Connection, run: _Run, sentence: str) -> _Run | None:
        """Note what could not be undone, and go on undoing the rest."""
        self._mark(connection, run, P.UNDONE, f"Could not be undone: {sentence}")
        operation = run.operation
        message = f"{operation.message} Left behind: {run.step.title} ({sentence})"
        change_operation(connection, operation.id, message=message)
        again = find_operation(connection, operation.id)
        assert again is not None
        return self._undo_before(connection, again, run.position)

    def _mark(self, connection: Connection, run: _Run, progress: Progress, message: str) -> None:
        values = {"progress": progress, "message": message}
        now = self._room.clock.now()
        change_step(connection, run.operation.id, run.position, **values, updated_at=now)

    def _turn_back(self, connection: Connection, run: _Run, sentence: str) -> _Run | None:
        """End the operation without success; first remove what it made, where it must."""
        operation = run.operation
        if operation.action not in UNDONE_ACTIONS:
            self._finish(connection, operation, P.FAILED, sentence)
            return None
        now = self._room.clock.now()
        changed = {"progress": P.UNDOING, "message": sentence, "updated_at": now}
        change_operation(connection, operation.id, **changed)
        again = find_operation(connection, operation.id)
        assert again is not None
        return self._next_undo(connection, again)

    def _next_undo(self, connection: Connection, operation: Operation) -> _Run | None:
        return self._undo_before(connection, operation, len(operation.steps))

    def _undo_before(
        self,
        connection: Connection,
        operation: Operation,
        position: int,
    ) -> _Run | None:
        touched = {P.RUNNING, P.DONE, P.FAILED}
        for step in reversed(operation.steps[:position]):
            if step.progress in touched:
                return _Run(operation, step.position, is_undoing=True)
        message = f"{operation.message} What it had made was removed."
        self._finish(connection, operation, P.FAILED, message)
        return None

    # The end ----------------------------------------------------------------------------------

    def _finish(
        self,
        connection: Connection,
        operation: Operation,
        progress: Progress,
        message: str,
    ) -> None:
        word = status_word(operation.action, progress)
        end_operation(connection, operation.id, progress, message, self._room.clock.now())
        self._settle_resource(connection, operation, progress, word)
        resource = find_any_resource(connection, operation.resource_id)
        assert resource is not None
        self._room.note(
            connection,
            system("worker"),
            resource,
            word,
            requested=operation.action,
            operation=operation.id,
            asked_by=operation.user.id,
            **({"reason": message} if progress is P.FAILED else {}),
        )
        finished = OperationFinished(operation.id, resource.id, operation.action, word)
        self._room.events.publish(connection, finished)
        self._queue.complete(connection, self._item)

    def _settle_resource(
        self, connection: Connection, operation: Operation, progress: Progress, word: str
    ) -> None:
        set_status(connection, operation.resource_id, word)
        if progress is P.DONE and operation.action == "install":
            change_resource(connection, operation.resource_id, is_deployed=True)
        if progress is P.FAILED and operation.action in UNDONE_ACTIONS:
            found = find_any_resource(connection, operation.resource_id)
            runs = found is not None and found.power is Power.RUNNING
            change_resource(connection, operation.resource_id, wants_running=runs)


_ENDINGS = {
    "install": "Ready.",
    "upgrade": "Changed.",
    "uninstall": "Deleted; nothing is left.",
    "custom": "Done.",
}


def _kind(operation: Operation) -> str:
    return operation.action if operation.action in _ENDINGS else "custom"
