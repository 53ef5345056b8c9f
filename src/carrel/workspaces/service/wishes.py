"""What does somebody want to have made, and was the same wish sent before?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, select

from carrel.core.actors import Actor
from carrel.core.database import canonical_json
from carrel.core.errors import Conflict, InvalidRequest
from carrel.workspaces.rules import Operation, Resource, ResourceKind
from carrel.workspaces.service.base import Room
from carrel.workspaces.store import find_operation, find_resource
from carrel.workspaces.tables import idempotency_keys

Made = tuple[Resource, Operation]
KEY_LIFE = timedelta(days=1)
"""So long a form that is sent again makes nothing new."""
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to have made."""

    kind: ResourceKind
    template_name: str
    properties: Mapping[str, Any]
    workspace_id: str | None = None
    parent_id: str | None = None
    idempotency_key: str | None = None
    template_version: str | None = None
    """The version chosen on purpose; None for the current one."""

    def text(self) -> str:
        """Return everything that makes it this wish."""
        place = [self.kind, self.template_name, self.workspace_id, self.parent_id]
        return canonical_json([*place, self.template_version, dict(self.properties)])


def check_key(wish: Wish) -> None:
    """Raise `InvalidRequest` if the idempotency key is too long to be kept."""
    if wish.idempotency_key and len(wish.idempotency_key) > _LONGEST_KEY:
        raise InvalidRequest(
            f"The idempotency key is longer than {_LONGEST_KEY} characters.",
            field="idempotency_key",
        )


def find_made(room: Room, connection: Connection, actor: Actor, wish: Wish) -> Made | None:
    """Return what the same wish of the actor made before, or None.

    Raises `Conflict` if its key came with another wish, or what it made is gone.
    """
    if not wish.idempotency_key:
        return None
    row = connection.execute(
        select(idempotency_keys).where(
            idempotency_keys.c.actor_id == actor.id,
            idempotency_keys.c.key == wish.idempotency_key,
        )
    ).one_or_none()
    if row is None:
        return None
    if row.request_hash != _digest(room, wish):
        raise Conflict(
            "This form was sent before with other values. Open it anew and send it once more."
        )
    resource = find_resource(connection, row.resource_id)
    operation = find_operation(connection, row.operation_id)
    if resource is None or operation is None:
        raise Conflict("What this form made was deleted since. Open it anew to make another.")
    return resource, operation


def remember(
    room: Room, connection: Connection, actor: Actor, wish: Wish, operation: Operation
) -> None:
    """Remember what a wish made, if it came with a key; old keys are forgotten."""
    if not wish.idempotency_key:
        return
    now = room.clock.now()
    old = idempotency_keys.c.created_at < now - KEY_LIFE
    connection.execute(delete(idempotency_keys).where(old))
    connection.execute(
        idempotency_keys.insert(),
        {
            "actor_id": actor.id,
            "key": wish.idempotency_key,
            "request_hash": _digest(room, wish),
            "resource_id": operation.resource_id,
            "operation_id": operation.id,
            "created_at": now,
        },
    )


def _digest(room: Room, wish: Wish) -> str:
    """Return what tells two wishes apart; keyed, so that no secret in one can be guessed by it."""
    return room.keys.sign("idempotency", wish.text())
