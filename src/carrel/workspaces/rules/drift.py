"""What is a difference between what should be and what is?"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as the database says, as the reconciler last saw it."""

    resource_id: str
    """Of a resource, or of what runs on the host and belongs to none."""
    workspace_id: str | None
    aspect: str
    """`host` (its place there), `sandbox` (whether it runs) or `stranger` (nobody's)."""
    should_be: str
    really_is: str
    since: datetime
    last_seen: datetime
    what_was_done: str
