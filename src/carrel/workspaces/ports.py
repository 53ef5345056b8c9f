"""What does this room need of people and of a host?"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import Connection

from carrel.core.actors import Actor, WorkspaceRole
from carrel.runtime.ports import Runtime


class WorkspaceRuntime(Runtime, Protocol):
    """A host that runs sandboxes and has reserved ids for this TRE."""

    def uid_range(self) -> tuple[int, int]:
        """Return the first and the last host id for this TRE's members and groups."""
        ...


class MemberRecord(Protocol):
    """A membership, as far as this room reads it."""

    @property
    def account_id(self) -> str:
        """The account."""
        ...

    @property
    def username(self) -> str:
        """The account's sign-in name."""
        ...


class Members(Protocol):
    """Who belongs to a workspace; the room `people` fulfils it."""

    def members_for_system(self, workspace_id: str) -> Sequence[MemberRecord]:
        """Return every membership of a workspace."""
        ...

    def assign_role(
        self, actor: Actor, workspace_id: str, account_id: str, role: WorkspaceRole
    ) -> object:
        """Give an account a role. Raises `NotFound` if there is no such account."""
        ...

    def drop_workspace(self, connection: Connection, workspace_id: str) -> None:
        """Forget every membership of a workspace."""
        ...

    def bump_access_epoch(self, connection: Connection) -> None:
        """Tell whoever caches access decisions that one may have been taken away."""
        ...


class DoorBytes(Protocol):
    """How many bytes went through the doors since they were first counted."""

    def __call__(self, resource_id: str | None = None) -> Mapping[str, int]:
        """Return growing totals by resource id or workspace id, of one of them or of all."""
        ...
