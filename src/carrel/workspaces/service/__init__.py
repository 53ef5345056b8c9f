"""What can people and other rooms do with templates, resources and operations?"""

from sqlalchemy import Connection

from carrel.people.events import AccountDisabled, RolesChanged
from carrel.workspaces.service.base import LOST_ACCESS
from carrel.workspaces.service.changes import Changes
from carrel.workspaces.service.creation import Creation
from carrel.workspaces.service.letters import Letters
from carrel.workspaces.service.offers import Offers
from carrel.workspaces.service.operations import Operations
from carrel.workspaces.service.reading import Reading
from carrel.workspaces.service.system import SystemUse
from carrel.workspaces.service.templates import Templates


class Workspaces(Templates, Offers, Creation, Changes, Reading, Operations, Letters, SystemUse):
    """Every use case of this room, in one service.

    Made of parts, each a file beside this one that stands on `Room` alone: `Templates` (which
    recipes there are), `Offers` (which of them a workspace may use), `Creation`, `Changes`
    (update, delete, actions), `Reading` (what one may see), `Operations` (follow,
    cancel, retry), `Letters` (work that always fails) and `SystemUse`
    (what other rooms ask on nobody's behalf).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.events.subscribe(RolesChanged, self._on_roles_changed)
        self.events.subscribe(AccountDisabled, self._on_account_disabled)

    def _on_roles_changed(self, connection: Connection, event: RolesChanged) -> None:
        self._put_lost_access(connection, event.account_id)

    def _on_account_disabled(self, connection: Connection, event: AccountDisabled) -> None:
        self._put_lost_access(connection, event.account_id)

    def _put_lost_access(self, connection: Connection, account_id: str) -> None:
        """Look later, in the worker: here we are in another room's transaction."""
        self.queue.put(connection, LOST_ACCESS, account_id, {"account": account_id})


__all__ = ["Workspaces"]
