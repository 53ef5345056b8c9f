"""Which moves may a request make, and who may make each of them?

`MOVES` is the one table: the buttons of the portal, `allowedUserActions` of the API and the
diagram of docs/explanation/airlock.md are read from it.
"""

from dataclasses import dataclass
from enum import StrEnum

from carrel.core.errors import Denied, IllegalTransition


class Status(StrEnum):
    """Where a request is. AzureTRE's twelve words, and three more."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    IN_REVIEW = "in_review"
    PARTIALLY_REVIEWED = "partially_reviewed"
    """Somebody has submitted a review; the policy wants more."""
    REVIEWED = "reviewed"
    """The reviews that the policy wants are there; reviewers agree on what becomes of it."""
    RETURNED = "returned"
    APPROVING = "approval_in_progress"
    APPROVED = "approved"
    REJECTING = "rejection_in_progress"
    REJECTED = "rejected"
    BLOCKING = "blocking_in_progress"
    BLOCKED = "blocked_by_scan"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    FAILED = "failed"

    @property
    def words(self) -> str:
        """The status as people read it."""
        return self.value.replace("_", " ")

    @property
    def azuretre(self) -> "Status":
        """The status as AzureTRE's clients know it."""
        return Status.IN_REVIEW if self in UNDER_REVIEW else self


class Who(StrEnum):
    """In which part somebody acts on a request; nobody has two parts in one request."""

    AUTHOR = "author"
    REVIEWER = "reviewer"
    SYSTEM = "system"


class Action(StrEnum):
    """What a person may do. AzureTRE's four words, and `return`."""

    SUBMIT = "submit"
    REVIEW = "review"
    RETURN = "return"
    CANCEL = "cancel"
    REVOKE = "revoke"


AZURETRE_ACTIONS = frozenset({Action.SUBMIT, Action.REVIEW, Action.CANCEL, Action.REVOKE})
"""What AzureTRE's clients know; anything else is told beside, so that none of them stumbles."""


class IllegalMove(IllegalTransition):
    """A request cannot become that now; AzureTRE answers 400 where Carrel's others answer 409."""

    status = 400


S = Status

FINAL = frozenset({S.REJECTED, S.BLOCKED, S.CANCELLED, S.REVOKED, S.FAILED})
"""No move leads out of these."""

UNDER_REVIEW = frozenset({S.IN_REVIEW, S.PARTIALLY_REVIEWED, S.REVIEWED})
"""Where reviewers read, vote and comment; AzureTRE's clients see one status."""

SETTLED = FINAL | {S.APPROVED}
"""Nobody is waited for any more."""

MOVES: dict[tuple[Status, Status], Who] = {
    (S.DRAFT, S.SUBMITTED): Who.AUTHOR,
    (S.DRAFT, S.CANCELLED): Who.AUTHOR,
    (S.RETURNED, S.SUBMITTED): Who.AUTHOR,
    (S.RETURNED, S.CANCELLED): Who.AUTHOR,
    (S.SUBMITTED, S.IN_REVIEW): Who.SYSTEM,  # every scanner could tell, none objected
    (S.SUBMITTED, S.RETURNED): Who.SYSTEM,  # a scanner could not tell: the author can mend it
    (S.SUBMITTED, S.BLOCKING): Who.SYSTEM,  # a scanner objected: quarantine
    (S.BLOCKING, S.BLOCKED): Who.SYSTEM,
    (S.IN_REVIEW, S.PARTIALLY_REVIEWED): Who.REVIEWER,  # the first of two reviews
    (S.IN_REVIEW, S.REVIEWED): Who.REVIEWER,  # the only review
    (S.IN_REVIEW, S.APPROVING): Who.REVIEWER,  # review and decision in one, by the only reviewer
    (S.IN_REVIEW, S.REJECTING): Who.REVIEWER,  # likewise
    (S.IN_REVIEW, S.RETURNED): Who.REVIEWER,
    (S.IN_REVIEW, S.CANCELLED): Who.AUTHOR,
    (S.PARTIALLY_REVIEWED, S.REVIEWED): Who.REVIEWER,
    (S.PARTIALLY_REVIEWED, S.RETURNED): Who.REVIEWER,
    (S.PARTIALLY_REVIEWED, S.CANCELLED): Who.AUTHOR,
    (S.REVIEWED, S.APPROVING): Who.REVIEWER,
    (S.REVIEWED, S.REJECTING): Who.REVIEWER,
    (S.REVIEWED, S.RETURNED): Who.REVIEWER,
    (S.REVIEWED, S.CANCELLED): Who.AUTHOR,
    (S.APPROVING, S.APPROVED): Who.SYSTEM,  # hashes compared, delivered or ready for release
    (S.REJECTING, S.REJECTED): Who.SYSTEM,
    (S.APPROVED, S.REVOKED): Who.REVIEWER,
}
MOVES |= {(status, S.FAILED): Who.SYSTEM for status in S if status not in SETTLED}

EDITABLE = frozenset({S.DRAFT, S.RETURNED})
"""Only here may files be added, replaced, described or removed, and only by the author."""

OWNERS: dict[Status, Who | None] = {
    S.DRAFT: Who.AUTHOR,
    S.RETURNED: Who.AUTHOR,
    S.SUBMITTED: Who.SYSTEM,
    **dict.fromkeys(UNDER_REVIEW, Who.REVIEWER),
    S.APPROVING: Who.SYSTEM,
    S.REJECTING: Who.SYSTEM,
    S.BLOCKING: Who.SYSTEM,
    S.APPROVED: None,
    **dict.fromkeys(FINAL),
}
"""Whose turn it is; None when nothing waits for anybody."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long Carrel may take in a state, and what becomes of the request after that."""

    seconds: int
    then: Status
    sentence: str
    """Told to the people concerned when the deadline has passed."""


DEADLINES: dict[Status, Deadline] = {
    S.SUBMITTED: Deadline(
        3600, S.RETURNED, "The files could not be examined in time. Nothing is lost: submit again."
    ),
    S.APPROVING: Deadline(
        86400, S.FAILED, "The files could not be delivered within a day. Raise a new request."
    ),
    S.REJECTING: Deadline(3600, S.FAILED, "The rejected files could not be filed away in time."),
    S.BLOCKING: Deadline(3600, S.FAILED, "The blocked files could not be filed away in time."),
}
"""One for every state that Carrel owns: no request waits for ever."""

_ACTIONS: dict[Status, Action] = {
    S.SUBMITTED: Action.SUBMIT,
    S.PARTIALLY_REVIEWED: Action.REVIEW,
    S.REVIEWED: Action.REVIEW,
    S.APPROVING: Action.REVIEW,
    S.REJECTING: Action.REVIEW,
    S.RETURNED: Action.RETURN,
    S.CANCELLED: Action.CANCEL,
    S.REVOKED: Action.REVOKE,
}


def allowed_user_actions(status: Status, who: Who | None) -> tuple[Action, ...]:
    """Return what somebody in part `who` may do now, read from `MOVES`."""
    if who is None or who is Who.SYSTEM:
        return ()
    found = {_ACTIONS[new] for (old, new), mover in MOVES.items() if old is status and mover is who}
    return tuple(action for action in Action if action in found)


def check_move(old: Status, new: Status, who: Who | None) -> None:
    """Raise `IllegalTransition` or `Denied` unless `who` may take a request from old to new."""
    if (old, new) not in MOVES:
        raise IllegalMove(
            f"Airlock request status change was illegal: this request is {old.words} and cannot "
            f"become {new.words}. Reload it to see what happened."
        )
    check_who(MOVES[old, new], who)


def check_who(needed: Who, who: Who | None) -> None:
    """Raise `Denied` unless the person's part in the request is the one that is needed."""
    if who is needed:
        return
    if who is Who.AUTHOR and needed is Who.REVIEWER:
        raise Denied("You raised this request; somebody else must review it.")
    raise Denied(f"Only the {needed} of this request may do that.")


def diagram() -> str:
    """Return the state diagram in Mermaid, drawn from `MOVES`."""
    lines = ["stateDiagram-v2", f"    [*] --> {S.DRAFT}: {Who.AUTHOR}"]
    lines += [
        f"    {old} --> {new}: {who}" for (old, new), who in MOVES.items() if new is not S.FAILED
    ]
    lines += [
        f"    {old} --> {S.FAILED}: {who}" for (old, new), who in MOVES.items() if new is S.FAILED
    ]
    lines += [f"    {status} --> [*]" for status in S if status in FINAL]
    return "\n".join(lines) + "\n"
