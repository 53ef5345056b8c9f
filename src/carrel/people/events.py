"""What does the people room announce?"""

from dataclasses import dataclass

from carrel.core.events import Event


@dataclass(frozen=True, slots=True)
class RolesChanged(Event):
    """Somebody gained or lost a role in a workspace."""

    workspace_id: str
    account_id: str


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """A session ended: signed out, expired, or ended by somebody else."""

    session_id: str


@dataclass(frozen=True, slots=True)
class AccountDisabled(Event):
    """An account may not sign in any more; its sessions ended in the same transaction."""

    account_id: str
