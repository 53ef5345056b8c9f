"""What is undone when an operation does not end well, in which order, and what is said of it?"""

from sqlalchemy import Connection

from carrel.core.actors import system
from carrel.core.queue import Queue, WorkItem
from carrel.workspaces.events import OperationFinished
from carrel.workspaces.pipelines.planning import PIPELINE_STEPS
from carrel.workspaces.plans import UNDONE_ACTIONS
from carrel.workspaces.rules import Operation, Progress, Step, status_word
from carrel.workspaces.service import Workspaces
from carrel.workspaces.store import (
    change_operation,
    change_resource,
    change_step,
    end_operation,
    find_any_resource,
    find_operation,
    set_status,
)

P = Progress
_TOUCHED = frozenset({P.RUNNING, P.DONE, P.FAILED})


class WayBack:
    """The steps of one operation backwards, and its end."""

    def __init__(self, room: Workspaces, item: WorkItem, queue: Queue) -> None:
        self._room = room
        self._item = item
        self._queue = queue

    def turn(
        self, connection: Connection, operation: Operation, sentence: str
    ) -> tuple[Operation, int] | None:
        """Turn back because of `sentence`: return what to undo first, or end the operation."""
        if not any(_is_undone(operation, step) for step in operation.steps):
            self.finish(connection, operation, P.FAILED, sentence)
            return None
        now = self._room.clock.now()
        changed = {"progress": P.UNDOING, "message": sentence, "updated_at": now}
        change_operation(connection, operation.id, **changed)
        return self.first(connection, _again(connection, operation))

    def first(self, connection: Connection, operation: Operation) -> tuple[Operation, int] | None:
        """Return the last step that is to be undone, or end the operation."""
        return self.before(connection, operation, len(operation.steps))

    def before(
        self, connection: Connection, operation: Operation, position: int
    ) -> tuple[Operation, int] | None:
        """Return the last step before `position` that is to be undone, or end the operation."""
        for step in reversed(operation.steps[:position]):
            if step.progress in _TOUCHED and _is_undone(operation, step):
                return operation, step.position
        self.finish(connection, operation, P.FAILED, f"{operation.message} {_undone(operation)}")
        return None

    def leave(self, connection: Connection, operation: Operation, what: str) -> Operation:
        """Note what could not be undone, where everybody reads it."""
        message = f"{operation.message} Left behind: {what}"
        change_operation(connection, operation.id, message=message)
        return _again(connection, operation)

    def mark(
        self,
        connection: Connection,
        operation: Operation,
        step: Step,
        progress: Progress,
        message: str,
    ) -> None:
        """Write where a step stands."""
        values = {"progress": progress, "message": message}
        now = self._room.clock.now()
        change_step(connection, operation.id, step.position, **values, updated_at=now)

    # The end ----------------------------------------------------------------------------------

    def finish(
        self, connection: Connection, operation: Operation, progress: Progress, message: str
    ) -> None:
        """End the operation, with its audit event, and tell whoever listens."""
        word = status_word(operation.action, progress)
        end_operation(connection, operation.id, progress, message, self._room.clock.now())
        self._settle_resource(connection, operation, progress)
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
        self, connection: Connection, operation: Operation, progress: Progress
    ) -> None:
        if progress is P.FAILED:
            self._room.settle_failed(connection, operation)
            return
        set_status(connection, operation.resource_id, status_word(operation.action, progress))
        if progress is P.DONE and operation.action == "install":
            change_resource(connection, operation.resource_id, is_deployed=True)


def _again(connection: Connection, operation: Operation) -> Operation:
    found = find_operation(connection, operation.id)
    assert found is not None
    return found


def _is_undone(operation: Operation, step: Step) -> bool:
    """Whether nothing of a step may stay: of some actions, and of what pipelines change."""
    return operation.action in UNDONE_ACTIONS or step.name in PIPELINE_STEPS


def _undone(operation: Operation) -> str:
    rest = "The rest of what" if "Left behind: " in operation.message else "What"
    if operation.action in UNDONE_ACTIONS:
        return f"{rest} it had made was removed."
    return f"{rest} its pipeline had changed was undone."
