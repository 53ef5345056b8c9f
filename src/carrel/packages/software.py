"""What came into a workspace through the doors for software, and where did it connect to?"""

from dataclasses import replace

from carrel.core.actors import Actor
from carrel.core.database import Database
from carrel.core.paging import Page, Wanted
from carrel.packages.records import (
    CONTACTS,
    DOWNLOADS,
    Contact,
    ContactOrder,
    Download,
    DownloadOrder,
    list_contacts,
    list_downloads,
)
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.service import Workspaces

PAGE_SIZE = 100


class Software:
    """Reads this room's records on behalf of a workspace's members and TRE administrators.

    Every method raises `NotFound` for a workspace that is not the actor's to see.
    """

    def __init__(self, database: Database, workspaces: Workspaces) -> None:
        self._database = database
        self._workspaces = workspaces

    def list_packages(
        self, actor: Actor, workspace_id: str, part: Wanted[DownloadOrder] | None = None
    ) -> Page[Download]:
        """Return the files that the workspace downloaded, the latest first download first."""
        self._check_may_see(actor, workspace_id)
        with self._database.read() as connection:
            return list_downloads(
                connection, workspace_id, part or replace(DOWNLOADS, limit=PAGE_SIZE)
            )

    def list_egress(
        self, actor: Actor, workspace_id: str, part: Wanted[ContactOrder] | None = None
    ) -> Page[Contact]:
        """Return the connections that were asked of the egress proxy, newest first."""
        self._check_may_see(actor, workspace_id)
        with self._database.read() as connection:
            return list_contacts(
                connection, workspace_id, part or replace(CONTACTS, limit=PAGE_SIZE)
            )

    def _check_may_see(self, actor: Actor, workspace_id: str) -> None:
        self._workspaces.get_resource(actor, workspace_id, kind=ResourceKind.WORKSPACE)
