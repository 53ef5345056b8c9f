"""How much has one session taken out of one tool lately? For people who read the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from carrel.core.actors import Actor
from carrel.core.clock import monotonic

MUCH_BYTES: Final = 50 * 2**20
WINDOW_SECONDS: Final = 3600.0


@dataclass(eq=False, slots=True)
class Volume:
    """What one session received from one tool since the window opened."""

    actor: Actor
    workspace_id: str
    resource_id: str
    began_at: float
    received_bytes: int = 0
    is_told: bool = False

    def add(self, size_bytes: int) -> None:
        """Count data that went to the browser."""
        self.received_bytes += size_bytes


class Volumes:
    """The windows of all sessions and restricted tools."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], Volume] = {}

    def of(self, actor: Actor, workspace_id: str, resource_id: str) -> Volume:
        """Return the open window; every grant of the session adds to the same one."""
        key = (actor.session_id or actor.id, resource_id)
        known = self._windows.get(key)
        if known is None:
            known = Volume(actor, workspace_id, resource_id, monotonic())
            self._windows[key] = known
        return known

    def take(self) -> Sequence[Volume]:
        """Return the windows in which much was received, each one once; renew the old ones."""
        now = monotonic()
        much = []
        for volume in self._windows.values():
            if volume.received_bytes > MUCH_BYTES and not volume.is_told:
                volume.is_told = True
                much.append(volume)
            elif now - volume.began_at > WINDOW_SECONDS:
                volume.began_at, volume.received_bytes, volume.is_told = now, 0, False
        return much

    def put_back(self, volumes: Sequence[Volume]) -> None:
        """Tell again what could not be written."""
        for volume in volumes:
            volume.is_told = False
