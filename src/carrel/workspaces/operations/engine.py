"""Which operations does this worker have in its hands, and do they keep their time?"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from carrel.core.clock import monotonic
from carrel.core.errors import Unavailable
from carrel.core.queue import LeaseLost, Queue, WorkItem
from carrel.workspaces.meters import Meters
from carrel.workspaces.operations.journey import Journey, Run
from carrel.workspaces.operations.patience import Boundary, no_boundary
from carrel.workspaces.service import Workspaces
from carrel.workspaces.steps import STEPS, StepKind

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _InHand:
    journey: Journey
    run: Run
    until: float


class Engine:
    """Takes the steps of operations; safe with any number of workers."""

    def __init__(
        self,
        room: Workspaces,
        meters: Meters,
        *,
        steps: Mapping[str, StepKind] = STEPS,
        on_boundary: Boundary = no_boundary,
    ) -> None:
        self.room = room
        self.meters = meters
        self.steps = steps
        self.on_boundary = on_boundary
        self._in_hand: dict[str, _InHand] = {}
        self._lock = threading.Lock()

    def take(self, item: WorkItem, queue: Queue) -> None:
        """Move the item's operation on until it ends or has to wait.

        Raises `LeaseLost` if another worker has taken over, `Unavailable` if the database is
        away; in both cases nothing is lost.
        """
        journey = Journey(self, item, queue)
        try:
            run = journey.begin()
            while run is not None:
                run = journey.advance(run)
        finally:
            with self._lock:
                held = self._in_hand.get(item.id)
                # A thread that hung may end while another one has the item in hand.
                if held is not None and held.journey is journey:
                    del self._in_hand[item.id]

    def hold(self, item: WorkItem, journey: Journey, run: Run, seconds: float) -> None:
        """Note that a step begins, and how long it may take."""
        with self._lock:
            self._in_hand[item.id] = _InHand(journey, run, monotonic() + seconds)

    def is_over(self, item: WorkItem) -> bool:
        """Whether the step in hand has taken longer than it may."""
        held = self._in_hand.get(item.id)
        return held is not None and monotonic() > held.until

    def expire(self) -> int:
        """Take steps that hang out of their thread's hands; returns how many.

        The step fails, and the operation goes on without that thread: whatever the thread still
        writes is refused.
        """
        with self._lock:
            over = {key: held for key, held in self._in_hand.items() if monotonic() > held.until}
            for key in over:
                del self._in_hand[key]
        for held in over.values():
            log.warning("step_hangs", step=held.run.step.name, operation=held.run.operation.id)
            try:
                held.journey.give_up(held.run)
            except (LeaseLost, Unavailable) as error:
                log.warning("give_up_failed", detail=str(error))
        return len(over)
