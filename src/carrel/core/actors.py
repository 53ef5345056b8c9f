"""Who acts? The person or process on whose authority a use case runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

CORE_AUDIENCE = "core"
"""The audience of tokens for everything that lies in no workspace (`Actor.audience`)."""


class TreRole(StrEnum):
    """A role in the whole TRE. The values are AzureTRE's."""

    ADMIN = "TREAdmin"
    USER = "TREUser"


class WorkspaceRole(StrEnum):
    """A role inside one workspace. The values are AzureTRE's."""

    OWNER = "WorkspaceOwner"
    RESEARCHER = "WorkspaceResearcher"
    AIRLOCK_MANAGER = "AirlockManager"


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in account, or a part of Carrel itself, as services see it."""

    id: str
    """Account id, or `system:<part>`."""
    name: str
    tre_roles: frozenset[TreRole] = frozenset()
    workspace_roles: Mapping[str, frozenset[WorkspaceRole]] = field(default_factory=dict)
    """Roles by workspace id."""
    session_id: str | None = None
    request_id: str | None = None
    audience: str | None = None
    """What the access token was made for: `core` or a workspace id; None for sessions."""

    @property
    def is_admin(self) -> bool:
        """Whether the actor administers the TRE."""
        return TreRole.ADMIN in self.tre_roles

    @property
    def is_system(self) -> bool:
        """Whether the actor is a part of Carrel and not a person."""
        return self.id.startswith("system:")

    def roles_in(self, workspace_id: str) -> frozenset[WorkspaceRole]:
        """Return the actor's roles in one workspace; empty if none."""
        return self.workspace_roles.get(workspace_id, frozenset())

    def is_member(self, workspace_id: str) -> bool:
        """Whether the actor holds any role in the workspace."""
        return bool(self.roles_in(workspace_id))


def system(part: str) -> Actor:
    """Return the actor for a part of Carrel, for instance `system("worker")`."""
    return Actor(id=f"system:{part}", name=f"Carrel ({part})")
