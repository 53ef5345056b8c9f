"""What does one person see of a review: theirs, and of the others' what may be seen now?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, select

from carrel.airlock import tables
from carrel.airlock.rules import UNDER_REVIEW, AirlockPolicy, AirlockRequest, Who
from carrel.airlock.rules.requests import part_of
from carrel.airlock.rules.reviews import (
    Comment,
    FileGroup,
    Outcome,
    Submitted,
    Turn,
    Vote,
    sees_comment,
    sees_others,
    turn_of,
)
from carrel.airlock.service.records import load_policy, load_seal
from carrel.airlock.service.rounds import Rounds, Standing
from carrel.core.actors import Actor

RELATED_LIMIT = 50


@dataclass(frozen=True, slots=True)
class BenchFile:
    """One file of a request, as a person at the bench sees it."""

    name: str
    change: str
    """new, changed or same, held against the seal before; empty in a draft."""
    vote: Vote | None
    """The person's own."""
    others: Mapping[str, Vote]
    """Of the other reviewers, by name; empty while they may not be seen."""
    outcome: Outcome | None
    """None while it may not be seen."""


@dataclass(frozen=True, slots=True)
class EarlierRelease:
    """A table of the same dataset that left before."""

    request_id: str
    file: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Bench:
    """A review as one person sees it."""

    request: AirlockRequest
    policy: AirlockPolicy
    part: Who | None
    turn: Turn
    files: Sequence[BenchFile]
    removed: Sequence[str]
    """Files of the seal before that are gone."""
    submitted: Sequence[Submitted]
    """Who has submitted a review; what they say only where it may be seen."""
    outcome: Outcome | None
    groups: Sequence[FileGroup]
    comments: Sequence[Comment]
    earlier: Sequence[EarlierRelease]
    sealed_at: datetime | None
    due_at: datetime | None
    """When the policy promises a decision."""

    @property
    def has_submitted(self) -> bool:
        """Whether this person has submitted their review."""
        return self._me in {one.reviewer_id for one in self.submitted}

    @property
    def may_vote(self) -> bool:
        """Whether this person may cast votes now."""
        is_bound = self.has_submitted and self.turn is Turn.INDEPENDENT
        return self.may_comment_as_reviewer and not is_bound

    @property
    def may_submit(self) -> bool:
        """Whether this person may submit a review once every vote is cast."""
        return self.may_comment_as_reviewer and not self.has_submitted

    @property
    def may_comment_as_reviewer(self) -> bool:
        """Whether this person is a reviewer, and it is the reviewers' turn."""
        return self.part is Who.REVIEWER and self.request.status in UNDER_REVIEW

    @property
    def may_comment(self) -> bool:
        """Whether this person may comment now."""
        is_authors = self.part is Who.AUTHOR and self.turn is Turn.AUTHOR
        return is_authors or self.may_comment_as_reviewer

    @property
    def may_decide(self) -> bool:
        """Whether the reviews are there and this person may act on them."""
        return self.part is Who.REVIEWER and self.turn is Turn.CONSOLIDATING

    _me: str = ""


class Benches(Rounds):
    """The use case of everybody who looks at a review."""

    def bench(self, actor: Actor, request_id: str) -> Bench:
        """Return a request's review as this person may see it now."""
        with self._database.read() as connection:
            request = self._visible(connection, actor, request_id)
            return self._bench(connection, actor, self._standing(connection, request))

    def _bench(self, connection: Connection, actor: Actor, standing: Standing) -> Bench:
        request = standing.request
        part = part_of(actor, request)
        sealed = load_seal(connection, request.id, request.seal) if request.seal else None
        policy = (
            load_policy(connection, request)
            if request.seal
            else self._workspace_policy(connection, request.workspace_id).policy
        )
        is_open = turn_of(request.status) is Turn.OVER or (
            part is Who.REVIEWER and sees_others(request)
        )
        before = _sealed_before(connection, request)
        return Bench(
            request=request,
            policy=policy,
            part=part,
            turn=turn_of(request.status),
            files=_files(actor, standing, before, is_open=is_open),
            removed=[name for name in before if request.file(name) is None],
            submitted=[_seen(one, actor, is_open=is_open) for one in standing.submitted],
            outcome=standing.round.outcome if is_open else None,
            groups=standing.groups,
            comments=[
                each for each in standing.comments if sees_comment(actor.id, part, each, request)
            ],
            earlier=_earlier(connection, request),
            sealed_at=sealed.sealed_at if sealed else None,
            due_at=sealed.sealed_at + timedelta(hours=policy.service_hours)
            if sealed and policy.service_hours
            else None,
            _me=actor.id,
        )


def _seen(one: Submitted, actor: Actor, *, is_open: bool) -> Submitted:
    if is_open or one.reviewer_id == actor.id:
        return one
    return Submitted(one.reviewer_id, one.reviewer_name, "", one.at, counts=one.counts)


def _files(
    actor: Actor, standing: Standing, before: Mapping[str, str], *, is_open: bool
) -> Sequence[BenchFile]:
    names = {one.reviewer_id: one.reviewer_name for one in standing.submitted}
    votes = standing.round.votes
    found = []
    for file in standing.request.files:
        others = {
            names[who]: cast[file.id]
            for who, cast in votes.items()
            if is_open and who != actor.id and who in names and file.id in cast
        }
        change = "new" if file.name not in before else "changed"
        change = "same" if before.get(file.name) == file.sha256 else change
        found.append(
            BenchFile(
                name=file.name,
                change=change if standing.request.seal > 1 else "",
                vote=votes.get(actor.id, {}).get(file.id),
                others=others,
                outcome=standing.round.outcome_of(file.id) if is_open else None,
            )
        )
    return found


def _sealed_before(connection: Connection, request: AirlockRequest) -> Mapping[str, str]:
    """Return the SHA-256 of each file of the seal before the newest, by name."""
    if request.seal < 2:
        return {}
    manifest: Mapping[str, Any] = orjson.loads(
        load_seal(connection, request.id, request.seal - 1).manifest
    )
    return {file["name"]: file["sha256"] for file in manifest["files"]}


def _earlier(connection: Connection, request: AirlockRequest) -> Sequence[EarlierRelease]:
    """Return what this workspace released of the datasets that the request's tables count."""
    declared = (file.context.get("table") for file in request.files)
    datasets = {one["dataset"] for one in declared if one}
    table = tables.released_tables
    query = (
        select(table.c.request_id, table.c.file, table.c.at)
        .where(
            table.c.workspace_id == request.workspace_id,
            table.c.dataset.in_(datasets),
            table.c.request_id != request.id,
        )
        .order_by(table.c.at.desc(), table.c.id)
        .limit(RELATED_LIMIT)
    )
    if not datasets:
        return []
    return [EarlierRelease(row.request_id, row.file, row.at) for row in connection.execute(query)]
