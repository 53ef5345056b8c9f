"""What becomes of work that always fails? It is put aside, shown, and settled by a person."""

from collections.abc import Sequence

from sqlalchemy import Connection

from carrel.core.actors import Actor, system
from carrel.core.errors import Denied
from carrel.core.queue import DeadLetter, WorkItem
from carrel.workspaces.events import OperationFinished, WorkDiscarded
from carrel.workspaces.rules import Operation, Progress, status_word
from carrel.workspaces.service.base import OPERATION, Room
from carrel.workspaces.store import (
    change_operation,
    end_operation,
    find_operation,
)

LONGEST_ERROR = 500


class Letters(Room):
    """Use cases about dead letters; all but `park` are for administrators."""

    def park(self, connection: Connection, item: WorkItem, error: str) -> None:
        """Put work aside with the error that it always ends in, inside the item's transaction.

        An operation whose work this is stands still, says so, and holds up later ones of its
        tree until somebody decides.
        """
        shown = error[:LONGEST_ERROR]
        self.queue.park(connection, item, shown)
        self.audit.append(
            connection,
            system("worker"),
            "dead_letter.parked",
            item.id,
            kind=item.kind,
            failures=item.failures,
        )
        if operation := _operation_of(connection, item):
            sentence = (
                "It stands still: its work failed again and again by itself. A TRE administrator "
                f"can look at the dead letter {item.id}, and try it again or discard it."
            )
            now = self.clock.now()
            change_operation(connection, operation.id, message=sentence, updated_at=now)

    def list_dead_letters(self, actor: Actor) -> Sequence[DeadLetter]:
        """Return the work that was put aside, the oldest first. Administrators only."""
        _check_admin(actor)
        with self.database.read() as connection:
            return self.queue.list_dead(connection)

    def retry_dead_letter(self, actor: Actor, item_id: str) -> DeadLetter:
        """Let the work be tried again. Administrators only; raises `NotFound`."""
        _check_admin(actor)
        with self.changing() as connection:
            letter = self.queue.get_dead(connection, item_id)
            self.queue.unpark(connection, letter)
            self._note_letter(connection, actor, letter, "retried")
            if operation := _operation_of(connection, letter):
                now = self.clock.now()
                change_operation(connection, operation.id, message="", updated_at=now)
            return letter

    def discard_dead_letter(self, actor: Actor, item_id: str) -> DeadLetter:
        """Give the work up: an operation fails, and what it had made stays until it is retried.

        Administrators only; raises `NotFound`.
        """
        _check_admin(actor)
        with self.changing() as connection:
            letter = self.queue.get_dead(connection, item_id)
            self.queue.discard(connection, letter)
            self._note_letter(connection, actor, letter, "discarded")
            if operation := _operation_of(connection, letter):
                self._give_up(connection, actor, operation)
            discarded = WorkDiscarded(letter.kind, letter.payload, actor.name)
            self.events.publish(connection, discarded)
            return letter

    def _give_up(self, connection: Connection, actor: Actor, operation: Operation) -> None:
        message = (
            f"Given up by {actor.name}, because its work failed again and again. What it had made "
            "may still be there: try it again, or disable and delete the resource."
        )
        end_operation(connection, operation.id, Progress.FAILED, message, self.clock.now())
        self.settle_failed(connection, operation)
        word = status_word(operation.action, Progress.FAILED)
        finished = OperationFinished(operation.id, operation.resource_id, operation.action, word)
        self.events.publish(connection, finished)

    def _note_letter(
        self, connection: Connection, actor: Actor, letter: DeadLetter, verb: str
    ) -> None:
        self.audit.append(
            connection, actor, f"dead_letter.{verb}", letter.id, kind=letter.kind, key=letter.key
        )


def _operation_of(connection: Connection, item: WorkItem | DeadLetter) -> Operation | None:
    if item.kind != OPERATION:
        return None
    found = find_operation(connection, str(item.payload.get("operation", "")))
    return None if found is None or found.is_final else found


def _check_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Denied("Dead letters are for TRE administrators; ask one of them.")
