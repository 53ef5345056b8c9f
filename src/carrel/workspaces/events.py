"""What does this room announce to the rooms above it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class WorkDiscarded(Event):
    """An administrator gave work up for good; whoever queued it settles what it stood for."""

    kind: str
    payload: Mapping[str, Any]
    actor_name: str
