"""What may happen in the airlock? Pure tables and checks, no I/O.

`states` who may move a request where · `names` which file names may cross · `requests` the
domain objects, the seal and the policy · `disclosure` small counts in tables · `formats` what a
file really is.
"""

from carrel.airlock.rules.requests import (
    AirlockPolicy,
    AirlockRequest,
    Direction,
    Finding,
    HistoryEntry,
    Release,
    RequestFile,
    Review,
    ReviewResource,
    Severity,
    Stage,
    Ticket,
    verdict_of,
)
from carrel.airlock.rules.states import (
    DEADLINES,
    EDITABLE,
    FINAL,
    MOVES,
    OWNERS,
    SETTLED,
    UNDER_REVIEW,
    Action,
    Status,
    Who,
    allowed_user_actions,
    check_move,
    check_who,
)

__all__ = [
    "DEADLINES",
    "EDITABLE",
    "FINAL",
    "MOVES",
    "OWNERS",
    "SETTLED",
    "UNDER_REVIEW",
    "Action",
    "AirlockPolicy",
    "AirlockRequest",
    "Direction",
    "Finding",
    "HistoryEntry",
    "Release",
    "RequestFile",
    "Review",
    "ReviewResource",
    "Severity",
    "Stage",
    "Status",
    "Ticket",
    "Who",
    "allowed_user_actions",
    "check_move",
    "check_who",
    "verdict_of",
]
