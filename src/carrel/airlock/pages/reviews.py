"""Which pages let several people review: policy, votes, comments, groups, the submitted review?"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from carrel.airlock.binding import AirlockDep, Bound, BoundDep
from carrel.airlock.pages.showing import changed, errors_of, path_of
from carrel.airlock.rules.policies import PolicyChoices
from carrel.airlock.rules.reviews import FileGroup, Vote
from carrel.airlock.service import Airlock
from carrel.core.actors import Actor
from carrel.core.errors import CarrelError, Conflict, Denied, InvalidRequest
from carrel.core.web import ActorDep, FormDep, render, see_other, typed

router = APIRouter()

_POLICY = "/workspaces/{workspace_id}/airlock/policy"
_REQUEST = "/workspaces/{workspace_id}/airlock/{request_id}"


# The policy -----------------------------------------------------------------------------------


@router.get(_POLICY)
def show_policy(
    request: Request, workspace_id: UUID, actor: ActorDep, airlock: AirlockDep
) -> Response:
    """Show the rules of this workspace's airlock; an administrator may change them."""
    return _policy(request, airlock, actor, str(workspace_id))


@router.post(_POLICY)
def write_policy(
    request: Request, workspace_id: UUID, actor: ActorDep, airlock: AirlockDep, form: FormDep
) -> Response:
    """Decide the rules anew."""
    try:
        choices, seen = _choices(form), _number(form, "version")
        airlock.write_policy(actor, str(workspace_id), choices, seen_version=seen)
    except (InvalidRequest, Conflict, Denied) as error:
        return _policy(request, airlock, actor, str(workspace_id), form, error)
    return see_other(f"/workspaces/{workspace_id}/airlock/policy")


def _policy(
    request: Request, airlock: Airlock, actor: Actor, workspace_id: str,
    form: FormData | None = None, error: CarrelError | None = None,
) -> Response:  # fmt: skip
    found = airlock.workspace_policy(actor, workspace_id)
    values: Mapping[str, Any] = _values(found.choices)
    if form is not None:
        values = {name: typed(form, name) for name in values}
    return render(
        request,
        "airlock/policy.html",
        status=error.status if error else 200,
        workspace_id=workspace_id,
        workspace_name=airlock.name_for(actor, workspace_id),
        found=found,
        values=values,
        may_change=actor.is_admin,
        is_member=actor.is_member(workspace_id),
        errors=errors_of(error),
    )


def _values(choices: PolicyChoices) -> Mapping[str, Any]:
    return {
        "reviewers": str(choices.reviewers),
        "blinded": choices.blinded,
        "members_may_review": choices.members_may_review,
        "context_required": choices.context_required,
        "service_hours": choices.service_hours,
        "threshold": choices.threshold,
        "zeros_checked": choices.zeros_checked,
        "rounding_base": choices.rounding_base,
        "export_mebibytes": choices.export_file_bytes // 2**20,
        "export_rows": choices.export_rows,
        "export_types": " ".join(choices.export_types),
    }


def _choices(form: FormData) -> PolicyChoices:
    return PolicyChoices(
        reviewers=_number(form, "reviewers"),
        blinded=bool(typed(form, "blinded")),
        members_may_review=bool(typed(form, "members_may_review")),
        context_required=bool(typed(form, "context_required")),
        service_hours=_number(form, "service_hours"),
        threshold=_number(form, "threshold"),
        zeros_checked=bool(typed(form, "zeros_checked")),
        rounding_base=_number(form, "rounding_base"),
        export_file_bytes=_number(form, "export_mebibytes") * 2**20,
        export_rows=_number(form, "export_rows"),
        export_types=tuple(typed(form, "export_types").split()),
    )


def _number(form: FormData, name: str) -> int:
    text = typed(form, name).strip()
    if not text.isdecimal() or len(text) > 9:
        raise InvalidRequest("Enter a whole number.", field=name)
    return int(text)


# One review -----------------------------------------------------------------------------------


@router.post(f"{_REQUEST}/votes")
def vote(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Vote on one file, from its own page; the request is shown if that cannot be done."""
    name, word = typed(form, "file"), typed(form, "vote")
    answer = changed(
        request,
        bound,
        lambda: bound.airlock.cast_vote(
            bound.actor, bound.id, name, Vote(word) if word in set(Vote) else None
        ),
    )
    onward = typed(form, "onward")
    if answer.status_code == 303 and bound.request.file(onward) is not None:
        return see_other(f"{path_of(bound.request)}/files/{onward}")
    return answer


@router.post(f"{_REQUEST}/submit-review")
def submit_review(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Submit a review of the whole request."""
    words, seen = typed(form, "review_explanation"), typed(form, "seen")
    return changed(
        request,
        bound,
        lambda: bound.airlock.submit_review(bound.actor, bound.id, words, seen),
    )


@router.post(f"{_REQUEST}/comments")
def add_comment(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Say something about a group, or about the request."""
    return changed(request, bound, lambda: _comment(bound, form))


def _comment(bound: Bound, form: FormData) -> None:
    bound.airlock.add_comment(
        bound.actor,
        bound.id,
        typed(form, "text"),
        group=typed(form, "group"),
        is_public=bool(typed(form, "public")),
    )


@router.post(f"{_REQUEST}/comments/{{comment_id}}/publish")
def publish_comment(request: Request, bound: BoundDep, comment_id: UUID) -> Response:
    """Let the author read a comment when the review is over."""
    return changed(
        request,
        bound,
        lambda: bound.airlock.publish_comment(bound.actor, bound.id, str(comment_id)),
    )


@router.post(f"{_REQUEST}/comments/{{comment_id}}/drop")
def drop_comment(request: Request, bound: BoundDep, comment_id: UUID) -> Response:
    """Take a comment back."""
    return changed(
        request, bound, lambda: bound.airlock.drop_comment(bound.actor, bound.id, str(comment_id))
    )


@router.post(f"{_REQUEST}/groups")
def write_group(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Make or rewrite a group of files."""
    group = FileGroup(
        typed(form, "group_name"),
        tuple(each for each in form.getlist("group_files") if isinstance(each, str)),
        typed(form, "context"),
        typed(form, "controls"),
    )
    return changed(request, bound, lambda: bound.airlock.write_group(bound.actor, bound.id, group))


@router.post(f"{_REQUEST}/groups/drop")
def drop_group(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Dissolve a group; its files stay."""
    name = typed(form, "group_name")
    return changed(request, bound, lambda: bound.airlock.drop_group(bound.actor, bound.id, name))
