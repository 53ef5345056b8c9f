"""How do members look at requests, and how does a reviewer decide?"""

from collections.abc import Sequence
from typing import BinaryIO

from sqlalchemy import ColumnElement, Connection, update

from carrel.airlock import tables
from carrel.airlock.rules import (
    UNDER_REVIEW,
    AirlockRequest,
    Direction,
    Finding,
    RequestFile,
    Severity,
    Status,
    Who,
    check_move,
    check_who,
    verdict_of,
)
from carrel.airlock.rules.requests import part_of
from carrel.airlock.rules.reviews import Decision, Vote
from carrel.airlock.service.base import (
    DELIVER,
    FILE_AWAY,
    WITHDRAW,
    check_seal,
    limited_text,
)
from carrel.airlock.service.bench import Benches
from carrel.airlock.service.records import (
    RequestOrder,
    load_findings,
    load_request,
    load_requests,
    load_seal,
    page_requests,
)
from carrel.airlock.service.rounds import Standing, check_approved, check_seen
from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.errors import Conflict, InvalidRequest, NotFound
from carrel.core.ids import new_id
from carrel.core.paging import Page, Wanted

VIEWABLE = UNDER_REVIEW | {Status.APPROVED, Status.REJECTED, Status.REVOKED}
"""Where a reviewer may look into the sealed files."""


class Reviewing(Benches):
    """The use cases of everybody who looks, and of the reviewer."""

    def get(self, actor: Actor, request_id: str) -> AirlockRequest:
        """Return a request of a workspace that the actor is a member of."""
        with self._database.read() as connection:
            return self._visible(connection, actor, request_id)

    def list(
        self, actor: Actor, workspace_id: str, *, settled_limit: int | None = None
    ) -> Sequence[AirlockRequest]:
        """Return the requests of one workspace, newest first. Raises `NotFound` to strangers.

        Of those that nobody is waited for, `settled_limit` returns only so many.
        """
        if not (actor.is_system or actor.is_member(workspace_id)):
            raise NotFound("There is no such workspace, or you are no member of it.")
        with self._database.read() as connection:
            here = tables.requests.c.workspace_id == workspace_id
            return load_requests(connection, here, settled_limit)

    def list_mine(
        self, actor: Actor, *, settled_limit: int | None = None
    ) -> Sequence[AirlockRequest]:
        """Return the requests of every workspace that the actor is a member of; see `list`."""
        mine = [key for key, roles in actor.workspace_roles.items() if roles]
        with self._database.read() as connection:
            return load_requests(
                connection, tables.requests.c.workspace_id.in_(mine), settled_limit
            )

    def page(
        self, actor: Actor, part: Wanted[RequestOrder], *, workspace_id: str | None = None,
        role: WorkspaceRole | None = None, **equal: str | None,
    ) -> Page[AirlockRequest]:  # fmt: skip
        """Return a part of the requests of one workspace, or of all where the actor has a role.

        `equal` names columns and what they must be; None is no condition. Raises `NotFound` to
        strangers of the one workspace.
        """
        if workspace_id is not None and not actor.is_member(workspace_id):
            raise NotFound("There is no such workspace, or you are no member of it.")
        held = [key for key, has in actor.workspace_roles.items() if has and role in {None, *has}]
        columns = tables.requests.c
        spaces = held if workspace_id is None else [workspace_id]
        where: ColumnElement[bool] = columns.workspace_id.in_(spaces)
        for name, value in equal.items():
            if value == Status.IN_REVIEW:  # one word for AzureTRE's clients
                where &= columns[name].in_(UNDER_REVIEW)
            elif value is not None:
                where &= columns[name] == value
        with self._database.read() as connection:
            return page_requests(connection, where, part)

    def list_findings(self, actor: Actor, request_id: str) -> Sequence[Finding]:
        """Return what the scanners found in the newest seal."""
        with self._database.read() as connection:
            request = self._visible(connection, actor, request_id)
            return load_findings(connection, request_id, request.seal)

    def get_manifest(self, actor: Actor, request_id: str) -> str:
        """Return the newest seal's manifest, byte for byte. Raises `NotFound` before the first."""
        with self._database.read() as connection:
            request = self._visible(connection, actor, request_id)
            return str(load_seal(connection, request_id, request.seal).manifest)

    def open_content(
        self, actor: Actor, request_id: str, name: str
    ) -> tuple[RequestFile, BinaryIO]:
        """Open one sealed file for its reviewer, verified against the seal.

        Never for the author: what an author reads here would have left without a review.
        """
        with self._database.read() as connection:
            request = self._viewable(connection, actor, request_id)
        file = request.file(name)
        if file is None:
            raise NotFound("This request has no file of that name.")
        content = self._store.open(request.id, file.stage, file.id)
        try:
            check_seal(file, content)
            with self._database.write() as connection:
                self._viewable(connection, actor, request_id)
                self._record(connection, actor, "file_viewed", request, sha256=file.sha256)
        except BaseException:
            content.close()
            raise
        return file, content

    def _viewable(self, connection: Connection, actor: Actor, request_id: str) -> AirlockRequest:
        request = self._visible(connection, actor, request_id)
        check_who(Who.REVIEWER, part_of(actor, request))
        if request.status not in VIEWABLE:
            raise Conflict(
                f"This request is {request.status.words}; its files can be read during a review."
            )
        return request

    def review(
        self, actor: Actor, request_id: str, *, approve: bool, explanation: str,
        seen_manifest_sha256: str | None = None,
    ) -> AirlockRequest:  # fmt: skip
        """Decide about the seal that was seen. Never by its author, whatever their roles.

        Without a manifest it is about the seal in force now, and the review says so. Where the
        policy wants several reviews it is one of them, with the same vote on every file; once all
        are there, a reviewer's second call decides. Raises `Conflict` if the seal in force is
        another one than was seen.
        """
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            check_who(Who.REVIEWER, part_of(actor, request))
            check_seen_after_move(request, approve=approve, seen=seen_manifest_sha256)
            has_named = seen_manifest_sha256 is not None
            decision = Decision.APPROVE if approve else Decision.REJECT
            has_submitted = actor.id in self._submitters(connection, request)
            if request.reviewers == 1 or has_submitted:
                self._decide(connection, actor, request, decision, explanation, has_named=has_named)
            else:
                said = self._reason(connection, request, approve, explanation)
                vote = Vote.APPROVED if approve else Vote.CHANGES_REQUESTED
                self._vote_on_all(connection, actor, request, vote, said)
                self._submit_review(connection, actor, request, said, has_named_seal=has_named)
            return load_request(connection, request_id)

    def decide(
        self, actor: Actor, request_id: str, decision: Decision, explanation: str,
        seen_manifest_sha256: str | None = None,
    ) -> AirlockRequest:  # fmt: skip
        """Do what the reviews amount to: approve only what they approve, else return or reject."""
        if decision is Decision.RETURN:
            return self.return_to_author(
                actor, request_id, explanation, seen_manifest_sha256=seen_manifest_sha256
            )
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            check_who(Who.REVIEWER, part_of(actor, request))
            check_seen(request, seen_manifest_sha256)
            has_named = seen_manifest_sha256 is not None
            self._decide(connection, actor, request, decision, explanation, has_named=has_named)
            return load_request(connection, request_id)

    def _decide(
        self, connection: Connection, actor: Actor, request: AirlockRequest, decision: Decision,
        explanation: str, *, has_named: bool,
    ) -> None:  # fmt: skip
        approve = decision is Decision.APPROVE
        new = Status.APPROVING if approve else Status.REJECTING
        check_move(request.status, new, Who.REVIEWER)
        reason = self._reason(connection, request, approve, explanation)
        word = "approved" if approve else "rejected"
        standing = self._standing(connection, request)
        if request.status is Status.REVIEWED:
            if approve:
                check_approved(standing)
            self._publish_reviews(connection, standing)
        if not (approve and actor.id in standing.round.submitted):
            self._vote(connection, actor, request, word, reason, has_named_seal=has_named)
        self._move(connection, actor, request, new, reason)
        self._record_votes(connection, actor, standing)
        self._put_work(connection, DELIVER if approve else FILE_AWAY, request)

    def return_to_author(
        self, actor: Actor, request_id: str, explanation: str, *,
        seen_manifest_sha256: str | None = None,
    ) -> AirlockRequest:  # fmt: skip
        """Give a request back to its author, who may change it and submit again.

        Before every review is there this ends the round: votes and comments of it go.
        """
        reason = _required(explanation, "Say what the author should change.")
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            check_who(Who.REVIEWER, part_of(actor, request))
            check_seen(request, seen_manifest_sha256)
            check_move(request.status, Status.RETURNED, Who.REVIEWER)
            standing = self._standing(connection, request)
            self._close_round(connection, request)
            if request.status is Status.REVIEWED:
                self._publish_reviews(connection, standing)
                self._record_votes(connection, actor, standing)
            self._move(connection, actor, request, Status.RETURNED, reason)
            self._vote(connection, actor, request, "returned", reason)
            return load_request(connection, request_id)

    def _record_votes(self, connection: Connection, actor: Actor, standing: Standing) -> None:
        """Write into the audit record who voted how, now that the round has ended."""
        if not standing.submitted:
            return
        names = {file.id: file.name for file in standing.request.files}
        votes = {
            who: {names[file]: vote.value for file, vote in cast.items() if file in names}
            for who, cast in standing.round.votes.items()
            if who in standing.round.submitted
        }
        self._record(connection, actor, "reviews_ended", standing.request, votes=votes)

    def revoke(self, actor: Actor, request_id: str, reason: str) -> AirlockRequest:
        """Withdraw an approval: no more tickets; an import is taken out of the inbox."""
        said = _required(reason, "Say why the approval is withdrawn.")
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            check_who(Who.REVIEWER, part_of(actor, request))
            self._move(connection, actor, request, Status.REVOKED, said)
            self._vote(connection, actor, request, "revoked", said)
            connection.execute(
                update(tables.tickets)
                .where(tables.tickets.c.request_id == request_id)
                .values(revoked_at=self._clock.now())
            )
            if request.type is Direction.IMPORT:
                self._put_work(connection, WITHDRAW, request)
            return load_request(connection, request_id)

    def _reason(
        self, connection: Connection, request: AirlockRequest, approve: bool, explanation: str
    ) -> str:
        """Return the explanation; rejecting, and approving against a flag, need one."""
        if not approve:
            return _required(explanation, "Say why you reject the request.")
        verdict = verdict_of(load_findings(connection, request.id, request.seal))
        if verdict is Severity.FLAG:
            return _required(
                explanation, "The scanners flagged this request. Say why it may cross even so."
            )
        return limited_text(explanation, "explanation")

    def _vote(
        self, connection: Connection, actor: Actor, request: AirlockRequest, decision: str,
        explanation: str, *, has_named_seal: bool = True,
    ) -> None:  # fmt: skip
        connection.execute(
            tables.reviews.insert(),
            {
                "id": new_id(),
                "request_id": request.id,
                "seal": request.seal,
                "reviewer_id": actor.id,
                "reviewer_name": actor.name,
                "decision": decision,
                "explanation": explanation,
                "manifest_sha256": request.manifest_sha256,
                "at": self._clock.now(),
                "has_named_seal": has_named_seal,
            },
        )


def check_seen_after_move(request: AirlockRequest, *, approve: bool, seen: str | None) -> None:
    """Raise unless the request can be decided, then unless what was seen is sealed now."""
    if request.status not in UNDER_REVIEW:
        new = Status.APPROVING if approve else Status.REJECTING
        check_move(request.status, new, Who.REVIEWER)
    check_seen(request, seen)


def _required(explanation: str, sentence: str) -> str:
    text = limited_text(explanation, "explanation")
    if not text:
        raise InvalidRequest(sentence, field="explanation")
    return text
