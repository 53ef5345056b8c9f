"""How do several reviewers come to one decision?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, select, update

from carrel.airlock import tables
from carrel.airlock.rules import UNDER_REVIEW, AirlockRequest, Status, Who, check_who
from carrel.airlock.rules.requests import part_of
from carrel.airlock.rules.reviews import (
    Comment,
    FileGroup,
    Outcome,
    Round,
    Submitted,
    Turn,
    Vote,
    groups_of,
    turn_number,
    turn_of,
)
from carrel.airlock.service.base import limited_text
from carrel.airlock.service.commenting import Commenting, keep_comment, load_comments, load_groups
from carrel.airlock.service.policies import Policing
from carrel.airlock.service.records import load_request
from carrel.core.actors import Actor
from carrel.core.errors import Conflict, InvalidRequest, NotFound
from carrel.core.ids import new_id


@dataclass(frozen=True, slots=True)
class Standing:
    """A request under review with everything that was said and cast; nobody may see it all."""

    request: AirlockRequest
    round: Round
    submitted: Sequence[Submitted]
    groups: Sequence[FileGroup]
    comments: Sequence[Comment]


class Rounds(Commenting, Policing):
    """The use cases of reviewers among themselves."""

    def cast_vote(self, actor: Actor, request_id: str, name: str, vote: Vote | None) -> None:
        """Vote on one file, or take the vote back; it counts once the review is submitted."""
        with self._database.write() as connection:
            request = self._reviewing(connection, actor, request_id)
            file = request.file(name)
            if file is None:
                raise NotFound("This request has no file of that name.")
            has_submitted = actor.id in self._submitters(connection, request)
            if has_submitted and turn_of(request.status) is Turn.INDEPENDENT:
                raise Conflict(
                    "You have submitted your review. Votes can be changed when every review is "
                    "there, before the decision."
                )
            self._put_vote(connection, actor, request, file.id, vote)
            self._record(connection, actor, "voted", request, sha256=file.sha256)

    def submit_review(
        self, actor: Actor, request_id: str, explanation: str,
        seen_manifest_sha256: str | None = None,
    ) -> AirlockRequest:  # fmt: skip
        """Submit a review of the whole request: every file voted on, every objection explained.

        The author reads the explanation when the review is over. Raises `Conflict` if the seal in
        force is another one than was seen, or if this person submitted already.
        """
        said = limited_text(explanation, "explanation")
        with self._database.write() as connection:
            request = self._reviewing(connection, actor, request_id)
            check_seen(request, seen_manifest_sha256)
            self._submit_review(
                connection, actor, request, said, has_named_seal=seen_manifest_sha256 is not None
            )
            return load_request(connection, request_id)

    def _submit_review(
        self, connection: Connection, actor: Actor, request: AirlockRequest, explanation: str,
        *, has_named_seal: bool,
    ) -> None:  # fmt: skip
        standing = self._standing(connection, request)
        if any(one.reviewer_id == actor.id for one in standing.submitted):
            raise Conflict("You have submitted your review of this request already.")
        _check_complete(actor, standing, explanation)
        mine = standing.round.votes[actor.id]
        connection.execute(
            tables.submitted_reviews.insert(),
            {
                "id": new_id(),
                "request_id": request.id,
                "seal": request.seal,
                "reviewer_id": actor.id,
                "reviewer_name": actor.name,
                "explanation": explanation,
                "manifest_sha256": request.manifest_sha256,
                "has_named_seal": has_named_seal,
                "votes": {file.name: mine[file.id].value for file in request.files},
                "at": self._clock.now(),
            },
        )
        counted = len(standing.round.submitted | {actor.id})
        new = Status.REVIEWED if counted >= request.reviewers else Status.PARTIALLY_REVIEWED
        if request.status is not new and request.status is not Status.REVIEWED:
            self._move(connection, actor, request, new)
        else:
            self._change(connection, actor, request, {})
        self._record(
            connection, actor, "review_submitted", request, manifest_sha256=request.manifest_sha256
        )

    def _vote_on_all(
        self, connection: Connection, actor: Actor, request: AirlockRequest, vote: Vote,
        explanation: str,
    ) -> None:  # fmt: skip
        """Vote alike on every file, with the explanation as comment wherever one is needed."""
        for file in request.files:
            self._put_vote(connection, actor, request, file.id, vote)
        if vote is Vote.CHANGES_REQUESTED:
            for group in load_groups(connection, request):
                comment = Comment(
                    new_id(), group.name, actor.id, actor.name, explanation, is_public=True,
                    turn=turn_number(request), at=self._clock.now(),
                )  # fmt: skip
                keep_comment(connection, request, comment)

    def _reviewing(self, connection: Connection, actor: Actor, request_id: str) -> AirlockRequest:
        request = self._visible(connection, actor, request_id, lock=True)
        check_who(Who.REVIEWER, part_of(actor, request))
        if request.status not in UNDER_REVIEW:
            raise Conflict(f"This request is {request.status.words}; nobody reviews it now.")
        return request

    def _put_vote(
        self, connection: Connection, actor: Actor, request: AirlockRequest, file_id: str,
        vote: Vote | None,
    ) -> None:  # fmt: skip
        table = tables.votes
        connection.execute(
            delete(table).where(table.c.file_id == file_id, table.c.reviewer_id == actor.id)
        )
        if vote is None:
            return
        connection.execute(
            table.insert(),
            {
                "id": new_id(), "request_id": request.id, "file_id": file_id,
                "reviewer_id": actor.id, "vote": vote.value, "seal": request.seal,
                "at": self._clock.now(),
            },
        )  # fmt: skip

    # The whole of a round ----------------------------------------------------------------------

    def _standing(self, connection: Connection, request: AirlockRequest) -> Standing:
        """Return everything of the round of the newest seal."""
        submitted = self._submissions(connection, request)
        table = tables.votes
        votes: dict[str, dict[str, Vote]] = {}
        for row in connection.execute(select(table).where(table.c.request_id == request.id)):
            votes.setdefault(row.reviewer_id, {})[row.file_id] = Vote(row.vote)
        counted = Round(
            needed=request.reviewers,
            files=[file.id for file in request.files],
            votes=votes,
            submitted=frozenset(one.reviewer_id for one in submitted if one.counts),
        )
        return Standing(
            request, counted, submitted, load_groups(connection, request),
            load_comments(connection, request),
        )  # fmt: skip

    def _submissions(self, connection: Connection, request: AirlockRequest) -> Sequence[Submitted]:
        table = tables.submitted_reviews
        query = (
            select(table)
            .where(table.c.request_id == request.id, table.c.seal == request.seal)
            .order_by(table.c.at, table.c.id)
        )
        return [
            Submitted(
                row.reviewer_id, row.reviewer_name, row.explanation, row.at,
                counts=self._still_reviews(connection, request, row.reviewer_id),
            )
            for row in connection.execute(query).all()
        ]  # fmt: skip

    def _submitters(self, connection: Connection, request: AirlockRequest) -> frozenset[str]:
        return frozenset(one.reviewer_id for one in self._submissions(connection, request))

    def _still_reviews(
        self, connection: Connection, request: AirlockRequest, account_id: str
    ) -> bool:
        person = self._ground.find_actor(connection, account_id)
        return person is not None and part_of(person, request) is Who.REVIEWER

    # The end of a round ------------------------------------------------------------------------

    def _close_round(self, connection: Connection, request: AirlockRequest) -> None:
        """Give the round back to the author: after the agreement, or early.

        After it, each group of which changes are requested must have a public comment, which the
        author has to answer; approvals stand for files that stay as they are. Early, every vote
        and comment of the turn goes.
        """
        standing = self._standing(connection, request)
        votes, comments = tables.votes, tables.comments
        here = votes.c.request_id == request.id
        turn = turn_number(request)
        if request.status is not Status.REVIEWED:
            connection.execute(delete(votes).where(here))
            connection.execute(
                delete(comments).where(comments.c.request_id == request.id, comments.c.turn == turn)
            )
            return
        named = _objected_groups(standing)
        silent = named - {c.group for c in standing.comments if c.is_public and c.turn == turn}
        if silent:
            raise Conflict(
                f"Changes are requested in the group {min(silent)[:100]!a}. Say what in a public "
                "comment on it; then return the request."
            )
        groups = tables.groups
        for name in named:
            connection.execute(
                update(groups)
                .where(groups.c.request_id == request.id, groups.c.name == name)
                .values(changes_at_seal=request.seal)
            )
        requested = votes.c.vote == Vote.CHANGES_REQUESTED.value
        connection.execute(delete(votes).where(here, requested))

    def _publish_reviews(self, connection: Connection, standing: Standing) -> None:
        """Let everybody concerned see the reviews of a round that has ended."""
        request = standing.request
        table = tables.submitted_reviews
        rows = connection.execute(
            select(table).where(table.c.request_id == request.id, table.c.seal == request.seal)
        ).all()
        counted = [row for row in rows if row.reviewer_id in standing.round.submitted]
        for row in counted:
            cast = standing.round.votes.get(row.reviewer_id, {})
            has_approved = all(cast.get(file.id) is Vote.APPROVED for file in request.files)
            decision = Vote.APPROVED if has_approved else Vote.CHANGES_REQUESTED
            connection.execute(
                tables.reviews.insert(),
                {
                    "id": new_id(),
                    "request_id": request.id,
                    "seal": request.seal,
                    "reviewer_id": row.reviewer_id,
                    "reviewer_name": row.reviewer_name,
                    "decision": decision.value,
                    "explanation": row.explanation,
                    "manifest_sha256": row.manifest_sha256,
                    "at": row.at,
                    "has_named_seal": row.has_named_seal,
                },
            )


def check_seen(request: AirlockRequest, seen_manifest_sha256: str | None) -> None:
    """Raise `Conflict` if the seal in force is another one than was seen."""
    if seen_manifest_sha256 not in {None, request.manifest_sha256}:
        raise Conflict(
            "The files you saw are not the files sealed now. Reload the request and look again."
        )


def check_approved(standing: Standing) -> None:
    """Raise `Conflict` unless the reviews approve every file."""
    outcome = standing.round.outcome
    if outcome is Outcome.APPROVED:
        return
    raise Conflict(
        {
            Outcome.INCOMPLETE: "There are fewer reviews than the policy wants, or one of them no "
            "longer counts because its reviewer may not review here any more. Another reviewer "
            "must submit one.",
            Outcome.CONFLICTED: "The reviewers disagree. Agree and change your votes, ask another "
            "reviewer to review it too, or return or reject the request.",
            Outcome.CHANGES_REQUESTED: "The reviewers request changes. Return the request to its "
            "author, or reject it.",
        }[outcome]
    )


def _check_complete(actor: Actor, standing: Standing, explanation: str) -> None:
    """Raise `InvalidRequest` unless a review says something of every file."""
    request = standing.request
    missing = standing.round.missing(actor.id)
    if missing:
        first = next(file.name for file in request.files if file.id == missing[0])
        raise InvalidRequest(
            f"Vote on every file first; {len(missing)} are left, for instance {first[:200]!a}.",
            field="votes",
        )
    mine = replace(standing.round, submitted=frozenset({actor.id}))
    named = _objected_groups(replace(standing, round=mine), with_ungrouped=True)
    turn = turn_number(request)
    said = {c.group for c in standing.comments if c.author_id == actor.id and c.turn == turn}
    said |= {""} if explanation else set()
    if silent := named - said:
        name = min(silent)
        where = f"a comment on the group {name[:100]!a}" if name else "the explanation"
        raise InvalidRequest(f"Say in {where} what should change.", field="explanation")


def _objected_groups(standing: Standing, *, with_ungrouped: bool = False) -> frozenset[str]:
    """Return the groups that hold a file of which changes are requested."""
    ids = standing.round.changes_requested()
    names = [file.name for file in standing.request.files if file.id in ids]
    found = groups_of(names, standing.groups)
    return found if with_ungrouped else found - {""}


def unanswered_groups(
    groups: Sequence[FileGroup], comments: Sequence[Comment], request: AirlockRequest
) -> Sequence[str]:
    """Return the groups of which changes were requested and of which the author said nothing."""
    answered = {
        one.group
        for one in comments
        if one.author_id == request.author_id and one.turn == turn_number(request)
    }
    return [
        group.name
        for group in groups
        if group.changes_at_seal == request.seal and request.seal and group.name not in answered
    ]


def undescribed_files(request: AirlockRequest, groups: Sequence[FileGroup]) -> Sequence[str]:
    """Return the files that are in no group, or in one without context or controls."""
    described: Mapping[str, FileGroup] = {
        name: group for group in groups if group.context and group.controls for name in group.files
    }
    return [file.name for file in request.files if file.name not in described]
