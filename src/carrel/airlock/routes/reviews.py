"""How do programs review together: policy, bench, groups, votes, comments, decision?"""

from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from carrel.airlock.binding import AirlockDep, BoundDep
from carrel.airlock.routes.bodies import Body
from carrel.airlock.routes.shapes import request_for
from carrel.airlock.rules.policies import TYPES_LIMIT, PolicyChoices
from carrel.airlock.rules.reviews import Comment, Decision, FileGroup, Submitted, Vote
from carrel.airlock.service.bench import Bench
from carrel.airlock.service.policies import WorkspacePolicy
from carrel.core.web import ActorDep

router = APIRouter(tags=["airlock"])

_WORKSPACE = "/workspaces/{workspace_id}"
_POLICY = f"{_WORKSPACE}/airlock-policy"
_REQUEST = f"{_WORKSPACE}/requests/{{request_id}}"
_SEEN = Field(None, max_length=64)


class PolicyBody(Body):
    """What an administrator decides, and which version of it they saw."""

    version: int = Field(ge=0, le=2**31 - 1)
    reviewers: int = 1
    blinded: bool = False
    membersMayReview: bool = False  # noqa: N815 in AzureTRE's style
    contextRequired: bool = False  # noqa: N815
    serviceHours: int = 0  # noqa: N815
    threshold: int = 10
    zerosChecked: bool = True  # noqa: N815
    roundingBase: int = 5  # noqa: N815
    exportFileBytes: int = 16 * 2**20  # noqa: N815
    exportRows: int = 5000  # noqa: N815
    exportTypes: list[str] = Field(  # noqa: N815
        default=list(PolicyChoices().export_types), max_length=TYPES_LIMIT
    )


class GroupBody(Body):
    """A group of files, with what a reviewer must know of them."""

    files: list[str] = Field(max_length=10_000)
    context: str = ""
    controls: str = ""


class VoteBody(Body):
    """A vote on one file; null takes it back."""

    file: str
    vote: Vote | None


class CommentBody(Body):
    """Something said about a group, or about the whole request."""

    text: str
    group: str = ""
    public: bool = False


class SubmittedBody(Body):
    """A whole review, and the manifest that was seen."""

    explanation: str = ""
    manifestSha256: str | None = _SEEN  # noqa: N815


class DecisionBody(Body):
    """What becomes of the request, and the manifest that was seen."""

    decision: Literal["approve", "return", "reject"]
    explanation: str = ""
    manifestSha256: str | None = _SEEN  # noqa: N815


# The policy -----------------------------------------------------------------------------------


@router.get(_POLICY)
def show_airlock_policy(workspace_id: UUID, actor: ActorDep, airlock: AirlockDep) -> dict[str, Any]:
    """Return the rules under which this workspace's requests are examined and reviewed."""
    return policy_out(airlock.workspace_policy(actor, str(workspace_id)))


@router.put(_POLICY)
def write_airlock_policy(
    workspace_id: UUID, body: PolicyBody, actor: ActorDep, airlock: AirlockDep
) -> dict[str, Any]:
    """Decide them anew, as an administrator; requests sealed before keep theirs."""
    choices = PolicyChoices(
        reviewers=body.reviewers,
        blinded=body.blinded,
        members_may_review=body.membersMayReview,
        context_required=body.contextRequired,
        service_hours=body.serviceHours,
        threshold=body.threshold,
        zeros_checked=body.zerosChecked,
        rounding_base=body.roundingBase,
        export_file_bytes=body.exportFileBytes,
        export_rows=body.exportRows,
        export_types=tuple(body.exportTypes),
    )
    written = airlock.write_policy(actor, str(workspace_id), choices, seen_version=body.version)
    return policy_out(written)


# The bench ------------------------------------------------------------------------------------


@router.get(f"{_REQUEST}/bench")
def show_bench(bound: BoundDep) -> dict[str, Any]:
    """Return the review as you may see it now: votes, comments, groups, what changed."""
    return bench_out(bound.airlock.bench(bound.actor, bound.id))


@router.put(f"{_REQUEST}/groups/{{name}}")
def write_group(name: str, body: GroupBody, bound: BoundDep) -> dict[str, Any]:
    """Make or rewrite a group of files in your draft; a file is in one group only."""
    group = FileGroup(name, tuple(body.files), body.context, body.controls)
    found = bound.airlock.write_group(bound.actor, bound.id, group)
    return {"groups": [group_out(each) for each in found]}


@router.delete(f"{_REQUEST}/groups/{{name}}", status_code=204)
def drop_group(name: str, bound: BoundDep) -> Response:
    """Dissolve a group in your draft; its files stay."""
    bound.airlock.drop_group(bound.actor, bound.id, name)
    return Response(status_code=204)


@router.put(f"{_REQUEST}/votes")
def cast_vote(body: VoteBody, bound: BoundDep) -> dict[str, Any]:
    """Vote on one file; it counts once you submit your review."""
    bound.airlock.cast_vote(bound.actor, bound.id, body.file, body.vote)
    return bench_out(bound.airlock.bench(bound.actor, bound.id))


@router.post(f"{_REQUEST}/comments", status_code=201)
def add_comment(body: CommentBody, bound: BoundDep) -> dict[str, Any]:
    """Say something about a group of files, or about the whole request."""
    made = bound.airlock.add_comment(
        bound.actor, bound.id, body.text, group=body.group, is_public=body.public
    )
    return {"comment": comment_out(made)}


@router.post(f"{_REQUEST}/comments/{{comment_id}}/publish")
def publish_comment(comment_id: UUID, bound: BoundDep) -> dict[str, Any]:
    """Let the author read a private comment of yours when the review is over."""
    made = bound.airlock.publish_comment(bound.actor, bound.id, str(comment_id))
    return {"comment": comment_out(made)}


@router.delete(f"{_REQUEST}/comments/{{comment_id}}", status_code=204)
def drop_comment(comment_id: UUID, bound: BoundDep) -> Response:
    """Take back a comment of yours, in the turn in which you wrote it."""
    bound.airlock.drop_comment(bound.actor, bound.id, str(comment_id))
    return Response(status_code=204)


@router.post(f"{_REQUEST}/submitted-review")
def submit_review(body: SubmittedBody, bound: BoundDep) -> dict[str, Any]:
    """Submit your review of the whole request, after a vote on every file."""
    request = bound.airlock.submit_review(
        bound.actor, bound.id, body.explanation, body.manifestSha256
    )
    return request_for(bound.actor, request)


@router.post(f"{_REQUEST}/decide")
def decide_request(body: DecisionBody, bound: BoundDep) -> dict[str, Any]:
    """Do what the reviews amount to: approve, return or reject."""
    request = bound.airlock.decide(
        bound.actor, bound.id, Decision(body.decision), body.explanation, body.manifestSha256
    )
    return request_for(bound.actor, request)


# Shapes ---------------------------------------------------------------------------------------


def policy_out(found: WorkspacePolicy) -> dict[str, Any]:
    """Return a policy in force."""
    choices = {_camel(key): value for key, value in asdict(found.choices).items()}
    return {
        "policy": choices,
        "version": found.version,
        "sha256": found.policy.sha256,
        "decidedBy": found.decided_by,
        "decidedWhen": found.decided_at and found.decided_at.timestamp(),
    }


def bench_out(bench: Bench) -> dict[str, Any]:
    """Return a review as one person sees it."""
    return {
        "status": bench.request.status,
        "turn": bench.turn,
        "reviewers": bench.policy.reviewers,
        "blinded": bench.policy.blinded,
        "manifestSha256": bench.request.manifest_sha256,
        "policySha256": bench.request.policy_sha256,
        "outcome": bench.outcome,
        "files": [
            {
                "name": file.name,
                "change": file.change,
                "vote": file.vote,
                "others": dict(file.others),
                "outcome": file.outcome,
            }
            for file in bench.files
        ],
        "removed": list(bench.removed),
        "submitted": [_submitted_out(one) for one in bench.submitted],
        "groups": [group_out(each) for each in bench.groups],
        "comments": [comment_out(each) for each in bench.comments],
        "earlierReleases": [
            {"requestId": one.request_id, "file": one.file, "when": one.at.timestamp()}
            for one in bench.earlier
        ],
        "sealedWhen": bench.sealed_at and bench.sealed_at.timestamp(),
        "dueWhen": bench.due_at and bench.due_at.timestamp(),
        "may": [
            word
            for word, may in (
                ("vote", bench.may_vote),
                ("submit", bench.may_submit),
                ("comment", bench.may_comment),
                ("decide", bench.may_decide),
            )
            if may
        ],
    }


def _submitted_out(one: Submitted) -> dict[str, Any]:
    return {
        "reviewer": {"id": one.reviewer_id, "name": one.reviewer_name},
        "when": one.at.timestamp(),
        "explanation": one.explanation,
        "counts": one.counts,
    }


def group_out(group: FileGroup) -> dict[str, Any]:
    """Return a group of files."""
    return {
        "name": group.name,
        "files": list(group.files),
        "context": group.context,
        "controls": group.controls,
        "changesRequested": bool(group.changes_at_seal),
    }


def comment_out(comment: Comment) -> dict[str, Any]:
    """Return a comment."""
    return {
        "id": comment.id,
        "group": comment.group,
        "author": {"id": comment.author_id, "name": comment.author_name},
        "text": comment.text,
        "public": comment.is_public,
        "turn": comment.turn,
        "when": comment.at.timestamp(),
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
