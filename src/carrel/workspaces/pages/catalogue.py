"""Which templates does this TRE offer, and what does each promise and need?"""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.responses import Response

from carrel.core.errors import NotFound
from carrel.workspaces.pages.desk import Desk, DeskDep
from carrel.workspaces.pages.views import KIND_NAMES, host_lines, is_possible
from carrel.workspaces.rules import ResourceKind, Template

router = APIRouter(prefix="/templates")


@router.get("")
def list_templates(desk: DeskDep) -> Response:
    """Show every template that the actor may know, by kind."""
    host = desk.workspaces.runtime.self_test()
    groups = [
        (f"{KIND_NAMES[kind].capitalize()}s", kind.value, _listed(desk, kind))
        for kind in ResourceKind
    ]
    possible = {
        template.name
        for _, _, templates in groups
        for template in templates
        if is_possible(template, host)
    }
    return desk.page("workspaces/templates.html", groups=groups, possible=possible, host=host)


@router.get("/{kind}/{name}")
def show_template(desk: DeskDep, kind: str, name: str) -> Response:
    """Show one template: its overview, its properties, and what it needs of the host."""
    if kind not in list(ResourceKind):
        raise NotFound("There is no such kind of template.")
    template = desk.workspaces.get_template(desk.actor, ResourceKind(kind), name)
    host = desk.workspaces.runtime.self_test()
    return desk.page(
        "workspaces/template.html",
        template=template,
        kind=KIND_NAMES[template.kind],
        lines=host_lines(template, host),
        possible=is_possible(template, host),
        host=host,
    )


def _listed(desk: Desk, kind: ResourceKind) -> Sequence[Template]:
    if kind is ResourceKind.WORKSPACE and not desk.actor.is_admin:
        return ()
    return desk.workspaces.list_templates(desk.actor, kind)
