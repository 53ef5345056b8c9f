"""What does the room `workspaces` tell the airlock? The adapter of the port `Policies`."""

from carrel.airlock.ports import WorkspaceRules
from carrel.core.actors import system
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.service import Workspaces


class WorkspaceFacts:
    """Asks the room `workspaces`."""

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    def policy(self, workspace_id: str) -> WorkspaceRules:
        """Return the policy of a workspace. Raises `NotFound`."""
        return self._workspaces.policy(workspace_id)

    def display_name(self, workspace_id: str) -> str:
        """Return what people call a workspace. Raises `NotFound`."""
        found = self._workspaces.get_resource(
            system("airlock"), workspace_id, kind=ResourceKind.WORKSPACE
        )
        return found.display_name
