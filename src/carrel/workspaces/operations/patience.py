"""How often is a step tried, how long may it take, and who is told at its boundaries?"""

from collections.abc import Callable

from carrel.core.errors import OutsideFailure
from carrel.workspaces.rules import Operation, Progress

Boundary = Callable[[str, str], None]
"""Called as `(step name, point)` at every step boundary; a kill test dies in it."""

TREE_PAUSE_SECONDS = 0.1
"""How long an operation waits before it looks again whether its tree is free."""
RETRIES = 6
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 30.0
SAY_SECONDS = 1.0
"""Between two messages out of one step; what is said in between is left out."""


class TimedOut(OutsideFailure):
    """A step, or its operation, took longer than it may."""

    code = "timed_out"


def no_boundary(step: str, point: str) -> None:
    """Do nothing at a step boundary."""
    del step, point


def retry_seconds(attempts: int) -> float:
    """Return how long to wait after the `attempts`-th failed try of a step."""
    return min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * float(2 ** min(attempts - 1, 16)))


def may_retry(action: str, progress: Progress, attempts: int) -> bool:
    """Whether a step that a later try may help is tried again.

    What removes something is tried for ever: a delete always ends in nothing left.
    """
    return attempts <= RETRIES or action == "uninstall" or progress is Progress.UNDOING


def duration(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds:g} seconds" if seconds < 120 else f"{seconds / 60:g} minutes"


def out_of_time(operation: Operation) -> TimedOut:
    """Return the error of an operation that took too long."""
    return TimedOut(
        f"It took longer than {duration(operation.limit_seconds or 0)}, which is the most this "
        "may take (setting operation_minutes). Try again when the host has less to do."
    )
