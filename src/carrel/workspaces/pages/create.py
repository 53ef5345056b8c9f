"""How do people create a resource: choose a template, fill in its form, send it once?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from carrel.core.errors import (
    BadRequest,
    CarrelError,
    Conflict,
    InvalidRequest,
    IsolationNotEnforced,
)
from carrel.core.forms import FormField, errors_by_field, fields_of, read, show_again
from carrel.core.ids import new_id
from carrel.core.web import FormDep, see_other, typed
from carrel.workspaces.access import check_may_create
from carrel.workspaces.pages.desk import Desk, DeskDep
from carrel.workspaces.pages.views import KIND_NAMES, host_lines, is_possible, page_of
from carrel.workspaces.rules import Resource, ResourceKind, Template
from carrel.workspaces.schemas import InvalidProperties
from carrel.workspaces.service.rehearsal import Plan
from carrel.workspaces.service.wishes import Made

router = APIRouter()
OWNER = "workspace_owner_object_id"
PREVIEW = "preview"
"""Name of the button that asks what would happen."""
Refused = (BadRequest, InvalidRequest, Conflict, IsolationNotEnforced)
"""What sends a form back to the person who filled it in."""


@dataclass(frozen=True)
class _Place:
    """Where a new resource goes, and what it is made of."""

    desk: Desk
    kind: ResourceKind
    parent: Resource | None

    @property
    def workspace_id(self) -> str | None:
        """The workspace it goes into, if it goes into one."""
        return self.parent.workspace_id if self.parent else None

    @property
    def base(self) -> str:
        """The path below which a resource is created here."""
        if self.parent is None:
            return "/new-workspace"
        if self.kind is ResourceKind.SERVICE:
            return f"/workspaces/{self.parent.id}/services/new"
        return f"/workspaces/{self.workspace_id}/services/{self.parent.id}/resources/new"

    def templates(self) -> Sequence[Template]:
        """Return what can be chosen here."""
        return self.desk.workspaces.list_templates(
            self.desk.actor,
            self.kind,
            parent=self._parent_template(),
            workspace_id=self.workspace_id,
        )

    def template(self, name: str) -> Template:
        """Return a template that can be used here. Raises `NotFound`."""
        return self.desk.workspaces.get_template(
            self.desk.actor, self.kind, name, parent=self._parent_template()
        )

    def choices(self) -> Response:
        """Show the templates, and what this host makes of each."""
        host = self.desk.workspaces.runtime.self_test()
        cards = [
            {
                "template": template,
                "lines": host_lines(template, host),
                "possible": is_possible(template, host),
            }
            for template in self.templates()
        ]
        return self.desk.page("workspaces/choose.html", cards=cards, host=host, **self._around())

    def form(
        self,
        template: Template,
        fields: Sequence[FormField],
        *,
        error: CarrelError | None = None,
        plan: Plan | None = None,
        idempotency_key: str = "",
    ) -> Response:
        """Show the form of a template, with what was wrong with it, or what it would do."""
        host = self.desk.workspaces.runtime.self_test()
        return self.desk.page(
            "workspaces/create.html",
            status=error.status if error else 200,
            template=template,
            fields=fields,
            errors=errors_by_field(fields, problems_of(error)) if error else {},
            idempotency_key=idempotency_key or new_id(),
            lines=host_lines(template, host),
            possible=is_possible(template, host),
            plan=plan,
            has_secrets=any(field.type == "password" for field in fields),
            **self._around(),
        )

    def make(
        self,
        template: Template,
        fields: Sequence[FormField],
        sent: FormData,
        create: Callable[[dict[str, Any], str | None], Made],
    ) -> Response:
        """Create what a form describes, or show it again: with what is wrong, or with the plan."""
        properties, key = read(fields, sent), typed(sent, "idempotency_key")
        plan = None
        try:
            if not typed(sent, PREVIEW):
                _, operation = create(properties, key or None)
                return see_other(f"/operations/{operation.id}")
            plan = self.desk.workspaces.rehearse(lambda: create(properties, None))
        except Refused as refused:
            error: CarrelError | None = refused
        else:
            error = None
        again = show_again(fields, sent)
        return self.form(template, again, error=error, plan=plan, idempotency_key=key)

    def _parent_template(self) -> str | None:
        is_inner = self.kind is ResourceKind.USER_RESOURCE
        return self.parent.template_name if self.parent and is_inner else None

    def _around(self) -> dict[str, Any]:
        return {
            "kind": KIND_NAMES[self.kind],
            "parent": self.parent,
            "parent_page": page_of(self.parent) if self.parent else "/",
            "base": self.base,
        }


def _place(desk: Desk, workspace_id: str = "", service_id: str = "") -> _Place:
    """Return the place that a path names. Raises `NotFound`, or `Denied` for the wrong role."""
    parent, kind = None, ResourceKind.WORKSPACE
    if workspace_id:
        kind = ResourceKind.SERVICE
        parent = desk.workspaces.get_resource(desk.actor, workspace_id)
    if service_id:
        kind = ResourceKind.USER_RESOURCE
        parent = desk.workspaces.get_resource(desk.actor, service_id, workspace_id=workspace_id)
    check_may_create(desk.actor, kind, workspace_id or None)
    return _Place(desk, kind, parent)


# A workspace -------------------------------------------------------------------------------


@router.get("/new-workspace")
def choose_workspace(desk: DeskDep) -> Response:
    """Show the workspace templates, and what this host makes of each."""
    return _place(desk).choices()


@router.get("/new-workspace/{template_name}")
def new_workspace(desk: DeskDep, template_name: str) -> Response:
    """Show the form of a new workspace."""
    place = _place(desk)
    template = place.template(template_name)
    return place.form(template, _workspace_fields(desk, template))


@router.post("/new-workspace/{template_name}")
def create_workspace(desk: DeskDep, template_name: str, form: FormDep) -> Response:
    """Create a workspace, or show the form again with what does not fit."""
    place = _place(desk)
    template = place.template(template_name)

    def create(properties: dict[str, Any], key: str | None) -> Made:
        return desk.workspaces.create_workspace(
            desk.actor, template_name, properties, idempotency_key=key
        )

    return place.make(template, _workspace_fields(desk, template), form, create)


def _workspace_fields(desk: Desk, template: Template) -> list[FormField]:
    """Return the fields of a new workspace; its owner is chosen by name."""
    accounts = [each for each in desk.people.list_accounts(desk.actor) if each.is_active]
    options = [
        ("", "Nobody yet"),
        *((each.id, f"{each.display_name} ({each.username})") for each in accounts),
    ]
    hint = "Brings in the members and the tools. You can give roles later too."
    return [
        replace(field.with_options(options), hint=hint) if field.name == OWNER else field
        for field in fields_of(template.schema)
    ]


# A workspace service -----------------------------------------------------------------------


@router.get("/workspaces/{workspace_id}/services/new")
def choose_service(desk: DeskDep, workspace_id: str) -> Response:
    """Show the templates of workspace services."""
    return _place(desk, workspace_id).choices()


@router.get("/workspaces/{workspace_id}/services/new/{template_name}")
def new_service(desk: DeskDep, workspace_id: str, template_name: str) -> Response:
    """Show the form of a new workspace service, with a name already filled in."""
    place = _place(desk, workspace_id)
    template = place.template(template_name)
    return place.form(template, fields_of(template.schema, {"display_name": template.title}))


@router.post("/workspaces/{workspace_id}/services/new/{template_name}")
def create_service(desk: DeskDep, workspace_id: str, template_name: str, form: FormDep) -> Response:
    """Create a workspace service, or show the form again with what does not fit."""
    place = _place(desk, workspace_id)
    template = place.template(template_name)

    def create(properties: dict[str, Any], key: str | None) -> Made:
        return desk.workspaces.create_service(
            desk.actor, workspace_id, template_name, properties, idempotency_key=key
        )

    return place.make(template, fields_of(template.schema), form, create)


# A user resource ---------------------------------------------------------------------------


@router.get("/workspaces/{workspace_id}/services/{service_id}/resources/new")
def choose_user_resource(desk: DeskDep, workspace_id: str, service_id: str) -> Response:
    """Show the templates of this service; a single one is chosen at once."""
    place = _place(desk, workspace_id, service_id)
    templates = place.templates()
    if len(templates) == 1:
        return see_other(f"{place.base}/{templates[0].name}")
    return place.choices()


@router.get("/workspaces/{workspace_id}/services/{service_id}/resources/new/{template_name}")
def new_user_resource(
    desk: DeskDep, workspace_id: str, service_id: str, template_name: str
) -> Response:
    """Show the form of a new user resource, with a name already filled in."""
    place = _place(desk, workspace_id, service_id)
    template = place.template(template_name)
    suggested = {"display_name": f"{template.title} of {desk.actor.name}"}
    return place.form(template, fields_of(template.schema, suggested))


@router.post("/workspaces/{workspace_id}/services/{service_id}/resources/new/{template_name}")
def create_user_resource(
    desk: DeskDep, workspace_id: str, service_id: str, template_name: str, form: FormDep
) -> Response:
    """Create and start a user resource, or show the form again with what does not fit."""
    place = _place(desk, workspace_id, service_id)
    template = place.template(template_name)

    def create(properties: dict[str, Any], key: str | None) -> Made:
        return desk.workspaces.create_user_resource(
            desk.actor, workspace_id, service_id, template_name, properties, idempotency_key=key
        )

    return place.make(template, fields_of(template.schema), form, create)


# Shared ------------------------------------------------------------------------------------


def problems_of(error: CarrelError) -> Sequence[tuple[str, str]]:
    """Return the problems of a refused form: pairs `(field, sentence)`."""
    if isinstance(error, InvalidProperties):
        return error.problems
    return [((error.field or "").removeprefix("properties."), str(error))]
