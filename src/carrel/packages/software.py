"""What came into a workspace through the doors for software, and where did it connect to?"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.database import Database
from carrel.core.errors import InvalidRequest
from carrel.packages.records import Contact, Download, list_contacts, list_downloads
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.service import Workspaces

PAGE_SIZE = 100
T = TypeVar("T")


class Software:
    """Reads this room's records on behalf of a workspace's members and TRE administrators.

    Every method raises `NotFound` for a workspace that is not the actor's to see, and
    `InvalidRequest` for a senseless `limit`.
    """

    def __init__(self, database: Database, workspaces: Workspaces) -> None:
        self._database = database
        self._workspaces = workspaces

    def list_packages(
        self, actor: Actor, workspace_id: str, limit: int = PAGE_SIZE
    ) -> Sequence[Download]:
        """Return the files that the workspace downloaded, the latest first download first."""
        return self._list(list_downloads, actor, workspace_id, limit)

    def list_egress(
        self, actor: Actor, workspace_id: str, limit: int = PAGE_SIZE
    ) -> Sequence[Contact]:
        """Return the connections that were asked of the egress proxy, newest first."""
        return self._list(list_contacts, actor, workspace_id, limit)

    def _list(
        self,
        read: Callable[[Connection, str, int], Sequence[T]],
        actor: Actor,
        workspace_id: str,
        limit: int,
    ) -> Sequence[T]:
        if not 1 <= limit <= 1000:
            raise InvalidRequest("The limit must be between 1 and 1000.", field="limit")
        self._workspaces.get_resource(actor, workspace_id, kind=ResourceKind.WORKSPACE)
        with self._database.read() as connection:
            return read(connection, workspace_id, limit)
