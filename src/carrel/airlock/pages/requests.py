"""Which pages show requests? Lists, a new request, the request, one file, the download."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from carrel.airlock import views
from carrel.airlock.binding import AirlockDep, Bound, BoundDep, check_form_size
from carrel.airlock.pages.showing import changed, draw, errors_of, path_of
from carrel.airlock.routes import download_answer
from carrel.airlock.rules import Direction, Status
from carrel.airlock.rules.requests import AUTHOR_ROLES
from carrel.airlock.rules.reviews import Decision
from carrel.airlock.service import Airlock
from carrel.airlock.service.base import chunks
from carrel.core.actors import Actor
from carrel.core.errors import CarrelError, Denied, InvalidRequest, NotFound
from carrel.core.web import ActorDep, FormDep, accepts_uploads, render, typed

router = APIRouter()

_LIMITED = [Depends(check_form_size)]
_ROOT = "/workspaces/{workspace_id}/airlock"
_REQUEST = f"{_ROOT}/{{request_id}}"


@router.get("/airlock")
def list_mine(request: Request, actor: ActorDep, airlock: AirlockDep) -> Response:
    """Show what waits for me, what I raised, and the rest of my workspaces."""
    found = airlock.list_mine(actor, settled_limit=views.SETTLED_SHOWN)
    workspaces = {one.workspace_id for one in found}
    names = {each: airlock.workspace_name(actor, each) for each in workspaces}
    return render(request, "airlock/mine.html", groups=views.grouped(actor, found), names=names)


@router.get(_ROOT)
def list_requests(
    request: Request, workspace_id: str, actor: ActorDep, airlock: AirlockDep
) -> Response:
    """Show the requests of one workspace."""
    found = airlock.list(actor, workspace_id, settled_limit=views.SETTLED_SHOWN)
    return render(
        request,
        "airlock/list.html",
        workspace_id=workspace_id,
        workspace_name=airlock.workspace_name(actor, workspace_id),
        groups=views.grouped(actor, found),
        may_raise=bool(actor.roles_in(workspace_id) & AUTHOR_ROLES),
    )


# A new request --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raising:
    """Who raises what kind of request where."""

    airlock: Airlock
    actor: Actor
    workspace_id: str
    direction: Direction


def raising(workspace_id: str, kind: str, actor: ActorDep, airlock: AirlockDep) -> Raising:
    """Return what an address asks for. Raises `NotFound`."""
    try:
        return Raising(airlock, actor, workspace_id, Direction(kind))
    except ValueError as error:
        raise NotFound("A request is an import or an export.") from error


RaisingDep = Annotated[Raising, Depends(raising)]


@router.get(f"{_ROOT}/new/{{kind}}")
def show_new(request: Request, desk: RaisingDep) -> Response:
    """Show the form of an import or export."""
    return _new(request, desk)


@router.post(f"{_ROOT}/new/{{kind}}", dependencies=_LIMITED)
@accepts_uploads
def create(request: Request, desk: RaisingDep, form: FormDep) -> Response:
    """Make a draft and put the chosen files into it."""
    try:
        made = desk.airlock.create(
            desk.actor,
            desk.workspace_id,
            type=desk.direction,
            title=typed(form, "title"),
            justification=typed(form, "justification"),
        )
    except (InvalidRequest, Denied) as error:
        return _new(request, desk, form, error)
    mine = Bound(desk.airlock, desk.actor, made)
    return changed(request, mine, lambda: _add_files(mine, form))


def _new(
    request: Request,
    desk: Raising,
    form: FormData | None = None,
    error: CarrelError | None = None,
) -> Response:
    is_export = desk.direction is Direction.EXPORT
    return render(
        request,
        "airlock/new.html",
        status=error.status if error else 200,
        workspace_id=desk.workspace_id,
        workspace_name=desk.airlock.workspace_name(desk.actor, desk.workspace_id),
        kind=desk.direction.value,
        outbox=desk.airlock.list_outbox(desk.actor, desk.workspace_id) if is_export else [],
        chosen=form.getlist("paths") if form else [],
        title=typed(form, "title") if form else "",
        justification=typed(form, "justification") if form else "",
        errors=errors_of(error),
        limits=desk.airlock.policy,
    )


# One request ----------------------------------------------------------------------------------


@router.get(_REQUEST)
def show_request(request: Request, bound: BoundDep) -> Response:
    """Show a request: files, findings, what one may do now, history."""
    return draw(request, bound)


@router.get(f"{_REQUEST}/status")
def follow(bound: BoundDep, version: int = -1) -> Response:
    """Tell a waiting page whether the request has moved since it was drawn."""
    moved = bound.request.version != version
    return Response(status_code=200, headers={"HX-Refresh": "true"} if moved else {})


@router.post(f"{_REQUEST}/files", dependencies=_LIMITED)
@accepts_uploads
def add_files(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Take more files into a draft: uploads for an import, paths of the outbox for an export."""
    return changed(request, bound, lambda: _add_files(bound, form, required=True))


@router.post(f"{_REQUEST}/remove")
def remove_file(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Take a file out of a draft."""
    name = typed(form, "name")
    return changed(request, bound, lambda: bound.airlock.remove_file(bound.actor, bound.id, name))


@router.post(f"{_REQUEST}/amend")
def amend(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Write title and justification anew."""
    return changed(
        request,
        bound,
        lambda: bound.airlock.amend(
            bound.actor,
            bound.id,
            title=typed(form, "title"),
            justification=typed(form, "justification"),
        ),
    )


@router.post(f"{_REQUEST}/submit")
def submit(request: Request, bound: BoundDep) -> Response:
    """Seal the files and start the scanners."""
    return changed(request, bound, lambda: bound.airlock.submit(bound.actor, bound.id))


@router.post(f"{_REQUEST}/cancel")
def cancel(request: Request, bound: BoundDep) -> Response:
    """Withdraw a request."""
    return changed(request, bound, lambda: bound.airlock.cancel(bound.actor, bound.id))


@router.post(f"{_REQUEST}/decide")
def decide(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Approve, return or reject what was seen."""
    return changed(request, bound, lambda: _decide(bound, form))


def _decide(bound: Bound, form: FormData) -> None:
    decision, explanation = typed(form, "decision"), typed(form, "explanation")
    if decision == "return":
        bound.airlock.return_to_author(bound.actor, bound.id, explanation)
    elif decision in {"approve", "reject"} and bound.request.status is Status.REVIEWED:
        bound.airlock.decide(
            bound.actor, bound.id, Decision(decision), explanation, typed(form, "seen")
        )
    elif decision in {"approve", "reject"} and bound.request.reviewers == 1:
        bound.airlock.review(
            bound.actor,
            bound.id,
            approve=decision == "approve",
            explanation=explanation,
            seen_manifest_sha256=typed(form, "seen"),
        )
    else:
        raise InvalidRequest("Choose what to do with the request.", field="decision")


@router.post(f"{_REQUEST}/revoke")
def revoke(request: Request, bound: BoundDep, form: FormDep) -> Response:
    """Withdraw an approval."""
    reason = typed(form, "explanation")
    return changed(request, bound, lambda: bound.airlock.revoke(bound.actor, bound.id, reason))


@router.get(f"{_REQUEST}/files/{{name:path}}")
def show_file(request: Request, bound: BoundDep, name: str) -> Response:
    """Show one sealed file to its reviewer, with what the scanners found in it."""
    file, content = bound.airlock.open_content(bound.actor, bound.id, name)
    with content:
        preview = views.preview_of(file, content)
    findings = [
        found for found in bound.airlock.list_findings(bound.actor, bound.id) if found.file == name
    ]
    bench = bound.airlock.bench(bound.actor, bound.id)
    return render(
        request,
        "airlock/file.html",
        bound=bound,
        bench=bench,
        place=views.place_of(bench, name),
        file=file,
        preview=preview,
        findings=findings,
        flagged=views.places(findings),
        page=path_of(bound.request),
        workspace_name=bound.airlock.workspace_name(bound.actor, bound.request.workspace_id),
    )


# The download ---------------------------------------------------------------------------------


@router.post(f"{_REQUEST}/download")
def download(bound: BoundDep, form: FormDep) -> Response:
    """Make a ticket and use it at once: the browser saves the release."""
    ticket = bound.airlock.release_ticket(bound.actor, bound.id)
    as_archive = typed(form, "form") != "single"
    return download_answer(
        bound.airlock.open_release(bound.actor, ticket.token, as_archive=as_archive)
    )


def _add_files(bound: Bound, form: FormData, *, required: bool = False) -> None:
    if bound.request.type is Direction.EXPORT:
        paths = [path for path in form.getlist("paths") if isinstance(path, str)]
        if paths or required:
            bound.airlock.add_from_outbox(bound.actor, bound.id, paths)
        return
    uploads = [
        each for each in form.getlist("files") if isinstance(each, UploadFile) and each.filename
    ]
    if required and not uploads:
        raise InvalidRequest("Choose at least one file.", field="files")
    for upload in uploads:
        with upload.file as content:
            name = str(upload.filename)
            bound.airlock.add_file(bound.actor, bound.id, name, chunks(content))
