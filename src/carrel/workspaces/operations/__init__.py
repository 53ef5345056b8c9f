"""How does an operation move from step to step, and survive `kill -9` at any point?

A work item holds the operation's id. Whoever claims it goes on at the first step that is not
done: act on the host, then in one fenced transaction complete this step and start the next.
What fails for a while is tried again later; what fails for good, takes too long or is cancelled,
is undone where the action must not leave anything half made, and always where a pipeline changed
another resource.

`engine` what a worker holds in its hands · `journey` one operation from a claim to its end or a
pause · `way_back` what is undone, and in which order · `patience` how often, how long.
"""

from carrel.workspaces.operations.engine import Engine
from carrel.workspaces.operations.patience import (
    LAST_RETRY_SECONDS,
    Boundary,
    TimedOut,
    may_retry,
    no_boundary,
    retry_seconds,
)

__all__ = [
    "LAST_RETRY_SECONDS",
    "Boundary",
    "Engine",
    "TimedOut",
    "may_retry",
    "no_boundary",
    "retry_seconds",
]
