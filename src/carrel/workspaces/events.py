"""What does this room announce to the rooms above it?"""

from dataclasses import dataclass

from carrel.core.events import Event


@dataclass(frozen=True, slots=True)
class WorkspaceDeleted(Event):
    """Nothing of the workspace is left on any host; what others keep of it must go."""

    workspace_id: str


@dataclass(frozen=True, slots=True)
class ResourceStopped(Event):
    """A user resource runs no more, or may not be reached any more."""

    resource_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class OperationFinished(Event):
    """An operation ended, well or not."""

    operation_id: str
    resource_id: str
    action: str
    status: str
