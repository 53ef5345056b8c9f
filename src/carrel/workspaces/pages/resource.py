"""Which pages show one service or user resource, and change any resource?"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from carrel.core.errors import BadRequest, CarrelError, Conflict, InvalidRequest, NotFound
from carrel.core.forms import FormField, errors_by_field, fields_of, read, show_again
from carrel.core.web import FormDep, see_other, typed
from carrel.workspaces.access import check_may_manage, may_follow, may_manage
from carrel.workspaces.pages.create import PREVIEW, problems_of
from carrel.workspaces.pages.desk import Desk, DeskDep
from carrel.workspaces.pages.views import (
    KIND_NAMES,
    buttons_of,
    can_add_to,
    facts_of,
    is_busy,
    page_of,
    row_of,
    state_of,
)
from carrel.workspaces.rules import Resource, ResourceKind
from carrel.workspaces.service.rehearsal import Plan
from carrel.workspaces.service.wishes import Made

router = APIRouter(prefix="/resources/{resource_id}")


@router.get("")
def show_resource(desk: DeskDep, resource_id: str) -> Response:
    """Show one service or user resource; a workspace has a page of its own."""
    resource = desk.workspaces.get_resource(desk.actor, resource_id)
    if resource.kind is ResourceKind.WORKSPACE:
        return see_other(page_of(resource))
    template = desk.template_of(resource)
    follows = may_follow(desk.actor, resource)
    operations = desk.workspaces.list_operations(desk.actor, resource_id) if follows else ()
    return desk.page(
        "workspaces/resource.html",
        **_frame(desk, resource),
        template=template,
        buttons=buttons_of(desk.actor, resource, template),
        facts=facts_of(resource, template),
        children=[(child, state_of(child)) for child in _children(desk, resource)],
        can_add=can_add_to(desk.actor, resource),
        operations=operations[::-1][:5],
    )


@router.get("/row")
def show_row(desk: DeskDep, resource_id: str) -> Response:
    """Return the list row of one resource, for a page to refresh while something runs."""
    resource = desk.workspaces.get_resource(desk.actor, resource_id)
    template = desk.template_of(resource)
    return desk.page("workspaces/_row.html", row=row_of(desk.actor, resource, template))


@router.post("/action")
def invoke_action(desk: DeskDep, resource_id: str, form: FormDep) -> Response:
    """Start, stop or restart; whatever the template offers."""
    action = typed(form, "action")
    operation = desk.workspaces.invoke_action(desk.actor, resource_id, action)
    return see_other(f"/operations/{operation.id}")


# Settings ----------------------------------------------------------------------------------


@router.get("/settings")
def show_settings(desk: DeskDep, resource_id: str) -> Response:
    """Show the form of what can be changed, and the switches."""
    resource = _managed(desk, resource_id)
    return _settings(desk, resource, _changeable(desk, resource))


@router.post("/settings")
def change_settings(desk: DeskDep, resource_id: str, form: FormDep) -> Response:
    """Change properties, or show the form again: with what does not fit, or with the plan."""
    resource = _managed(desk, resource_id)
    fields = _changeable(desk, resource)

    def change() -> Made:
        return desk.workspaces.update(
            desk.actor, resource_id, etag=typed(form, "etag"), properties=read(fields, form)
        )

    try:
        if typed(form, PREVIEW):
            plan = desk.workspaces.rehearse(change)
            return _settings(desk, resource, show_again(fields, form), plan=plan)
        _, operation = change()
    except (BadRequest, InvalidRequest, Conflict) as error:
        return _settings(desk, resource, show_again(fields, form), error)
    return see_other(f"/operations/{operation.id}")


@router.post("/enable")
def enable(desk: DeskDep, resource_id: str, form: FormDep) -> Response:
    """Switch the resource on again."""
    return _switch(desk, resource_id, form, is_enabled=True)


@router.post("/disable")
def disable(desk: DeskDep, resource_id: str, form: FormDep) -> Response:
    """Switch the resource and everything below it off."""
    return _switch(desk, resource_id, form, is_enabled=False)


def _switch(desk: Desk, resource_id: str, form: FormData, *, is_enabled: bool) -> Response:
    etag = typed(form, "etag")
    _, operation = desk.workspaces.update(desk.actor, resource_id, etag=etag, is_enabled=is_enabled)
    return see_other(f"/operations/{operation.id}")


@router.get("/delete")
def confirm_deletion(desk: DeskDep, resource_id: str) -> Response:
    """Say what would be lost, and ask for the name before deleting."""
    return _deletion(desk, _managed(desk, resource_id))


@router.post("/delete")
def delete(desk: DeskDep, resource_id: str, form: FormDep) -> Response:
    """Delete, if the name was typed as it is."""
    resource = _managed(desk, resource_id)
    if typed(form, "name") != resource.display_name:
        sentence = f"Type the name as it is: {resource.display_name}"
        return _deletion(desk, resource, {"name": sentence})
    operation = desk.workspaces.delete(desk.actor, resource_id)
    return see_other(f"/operations/{operation.id}")


@router.get("/history")
def show_history(desk: DeskDep, resource_id: str) -> Response:
    """Show every operation on the resource, and every earlier state of it."""
    resource = desk.workspaces.get_resource(desk.actor, resource_id)
    return desk.page(
        "workspaces/history.html",
        **_frame(desk, resource),
        operations=desk.workspaces.list_operations(desk.actor, resource_id)[::-1],
        entries=desk.workspaces.history(desk.actor, resource_id)[::-1],
    )


# Shared ------------------------------------------------------------------------------------


def _managed(desk: Desk, resource_id: str) -> Resource:
    return check_may_manage(desk.actor, desk.workspaces.get_resource(desk.actor, resource_id))


def _changeable(desk: Desk, resource: Resource) -> list[FormField]:
    schema = desk.template_of(resource).schema
    fields = fields_of(schema, resource.properties, updateable_only=True)
    keep = "Leave it empty to keep the one that is set."
    return [
        replace(each, hint=f"{each.hint} {keep}".strip(), required=False)
        if each.type == "password" and each.value
        else each
        for each in fields
    ]


def _children(desk: Desk, resource: Resource) -> Sequence[Resource]:
    """Return what lies directly below a resource, as far as the actor may see it."""
    if resource.kind is ResourceKind.WORKSPACE:
        return desk.workspaces.list_services(desk.actor, resource.id)
    if resource.kind is ResourceKind.SERVICE:
        workspace_id = resource.workspace_id or ""
        return desk.workspaces.list_user_resources(desk.actor, workspace_id, resource.id)
    return ()


def _frame(desk: Desk, resource: Resource) -> dict[str, Any]:
    """Return what every page about one resource shows."""
    above = [(each.display_name, page_of(each)) for each in _parents(desk, resource)]
    return {
        "resource": resource,
        "kind": KIND_NAMES[resource.kind],
        "state": state_of(resource),
        "is_busy": is_busy(resource),
        "page": page_of(resource),
        "can_manage": may_manage(desk.actor, resource),
        "can_follow": may_follow(desk.actor, resource),
        "trail": [("Workspaces", "/"), *above],
    }


def _parents(desk: Desk, resource: Resource) -> Sequence[Resource]:
    """Return what lies above the resource, the workspace first."""
    found = []
    for parent_id in dict.fromkeys((resource.workspace_id, resource.parent_id)):
        if parent_id is None or parent_id == resource.id:
            continue
        try:
            found.append(desk.workspaces.get_resource(desk.actor, parent_id))
        except NotFound:  # deleted a moment ago; the page of its child can still be shown
            continue
    return found


def _settings(
    desk: Desk,
    resource: Resource,
    fields: Sequence[FormField],
    error: CarrelError | None = None,
    *,
    plan: Plan | None = None,
) -> Response:
    return desk.page(
        "workspaces/settings.html",
        status=error.status if error else 200,
        plan=plan,
        has_secrets=any(field.type == "password" for field in fields),
        **_frame(desk, resource),
        fields=fields,
        errors=errors_by_field(fields, problems_of(error)) if error else {},
    )


def _deletion(desk: Desk, resource: Resource, errors: Mapping[str, str] | None = None) -> Response:
    plan = None
    if not resource.is_enabled:
        with contextlib.suppress(
            Conflict, BadRequest
        ):  # the page says itself what stands against it
            plan = desk.workspaces.rehearse(lambda: desk.workspaces.delete(desk.actor, resource.id))
    below = [(child, _children(desk, child)) for child in _children(desk, resource)]
    return desk.page(
        "workspaces/delete.html",
        status=422 if errors else 200,
        **_frame(desk, resource),
        below=below,
        plan=plan,
        has_secrets=False,
        errors=errors or {},
    )
