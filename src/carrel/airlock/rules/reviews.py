"""When is a request reviewed, and what does each person see of a review that is going on?

A review has turns: each reviewer looks on their own, then they agree, then the author has the
request again. Votes are cast file by file, but count only once their reviewer has submitted the
review, for disclosure can be judged on the whole request only. After OpenSAFELY's rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from carrel.airlock.rules.requests import AirlockRequest
from carrel.airlock.rules.states import EDITABLE, UNDER_REVIEW, Status, Who


class Vote(StrEnum):
    """What one reviewer thinks of one file."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"


class Decision(StrEnum):
    """What reviewers can do with a request they have reviewed."""

    APPROVE = "approve"
    RETURN = "return"
    REJECT = "reject"


class Outcome(StrEnum):
    """What the submitted reviews say together, of a file or of a request."""

    INCOMPLETE = "incomplete"
    """Fewer reviews than the policy wants."""
    CONFLICTED = "conflicted"
    """Reviewers disagree; another one can break the tie."""
    CHANGES_REQUESTED = "changes_requested"
    APPROVED = "approved"

    @property
    def words(self) -> str:
        """The outcome as people read it."""
        return self.value.replace("_", " ")


class Turn(StrEnum):
    """Whose turn it is in a review."""

    AUTHOR = "author"
    INDEPENDENT = "independent"
    """Each reviewer on their own."""
    CONSOLIDATING = "consolidating"
    """Every review is there; reviewers agree."""
    OVER = "over"


_TURNS = {
    **dict.fromkeys(EDITABLE, Turn.AUTHOR),
    Status.SUBMITTED: Turn.INDEPENDENT,
    Status.IN_REVIEW: Turn.INDEPENDENT,
    Status.PARTIALLY_REVIEWED: Turn.INDEPENDENT,
    Status.REVIEWED: Turn.CONSOLIDATING,
}


def turn_of(status: Status) -> Turn:
    """Return whose turn it is while a request is in this status."""
    return _TURNS.get(status, Turn.OVER)


def turn_number(request: AirlockRequest) -> int:
    """Return the number of the present turn: even ones are the author's, odd ones the reviewers'.

    Both turns of the reviewers have one number: what is said in them is hidden from the author
    until both are over.
    """
    is_reviewers = request.status in UNDER_REVIEW or request.status is Status.SUBMITTED
    return 2 * request.seal - is_reviewers


@dataclass(frozen=True, slots=True)
class Round:
    """The votes and reviews of one seal, as they count."""

    needed: int
    files: Sequence[str]
    """Ids of the files that would leave."""
    votes: Mapping[str, Mapping[str, Vote]]
    """By reviewer, then by file id."""
    submitted: frozenset[str]
    """Reviewers who have submitted their review of this seal and may still review."""

    def missing(self, reviewer_id: str) -> Sequence[str]:
        """Return the files that somebody has not voted on yet."""
        cast = self.votes.get(reviewer_id, {})
        return [file for file in self.files if file not in cast]

    def outcome_of(self, file: str) -> Outcome:
        """Return what the submitted reviews say of one file."""
        if len(self.submitted) < self.needed:
            return Outcome.INCOMPLETE
        cast = [vote for who in self.submitted if (vote := self.votes.get(who, {}).get(file))]
        approvals = cast.count(Vote.APPROVED)
        against = len(cast) - approvals
        if approvals >= self.needed and approvals > against:
            return Outcome.APPROVED
        return Outcome.CONFLICTED if approvals and against else (
            Outcome.CHANGES_REQUESTED if against else Outcome.INCOMPLETE
        )  # fmt: skip

    @property
    def outcome(self) -> Outcome:
        """What the submitted reviews say of the request: its worst file decides."""
        found = {self.outcome_of(file) for file in self.files}
        return next((one for one in Outcome if one in found), Outcome.INCOMPLETE)

    def changes_requested(self) -> frozenset[str]:
        """Return the files of which a submitted review requests changes."""
        return frozenset(
            file
            for who in self.submitted
            for file, vote in self.votes.get(who, {}).items()
            if vote is Vote.CHANGES_REQUESTED
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """One reviewer's review of one seal."""

    reviewer_id: str
    reviewer_name: str
    explanation: str
    at: datetime
    counts: bool = True
    """Whether its reviewer may still review here."""


@dataclass(frozen=True, slots=True)
class Comment:
    """Something said about a group of files, or about the whole request."""

    id: str
    group: str
    """Empty: about the whole request."""
    author_id: str
    author_name: str
    text: str
    is_public: bool
    """Whether the author of the request reads it when the turn is over."""
    turn: int
    at: datetime


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files that belong together, with what a reviewer must know of them."""

    name: str
    files: Sequence[str]
    """Names of files in the request."""
    context: str
    """What the files show, of whom, and how they were made."""
    controls: str
    """What was done so that they disclose nobody."""
    changes_at_seal: int = 0
    """The newest seal of which changes were requested here; 0: none."""


def sees_others(request: AirlockRequest) -> bool:
    """Whether reviewers see each other's votes and comments of the present turn."""
    return not request.is_blinded or turn_of(request.status) is not Turn.INDEPENDENT


def sees_comment(
    account_id: str, part: Who | None, comment: Comment, request: AirlockRequest
) -> bool:
    """Whether somebody may read a comment now."""
    if comment.author_id == account_id:
        return True
    is_over = comment.turn < turn_number(request)
    if part is Who.REVIEWER:
        return is_over or (comment.turn % 2 == 1 and sees_others(request))
    return comment.is_public and is_over


def groups_of(files: Iterable[str], groups: Iterable[FileGroup]) -> frozenset[str]:
    """Return the names of the groups that hold any of these file names; empty for none."""
    where = {name: group.name for group in groups for name in group.files}
    return frozenset(where.get(name, "") for name in files)
