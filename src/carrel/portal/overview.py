"""What does a person have to do next in each of their workspaces?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carrel.airlock.rules import UNDER_REVIEW, AirlockRequest, Status
from carrel.core.actors import Actor, WorkspaceRole
from carrel.portal.looks import plural
from carrel.workspaces.pages.views import is_busy, state_of
from carrel.workspaces.rules import Power, Resource, ResourceKind
from carrel.workspaces.service import Workspaces


@dataclass(frozen=True, slots=True)
class Waiting:
    """What of the airlock waits for this person in one workspace."""

    to_review: int = 0
    returned: int = 0
    drafts: int = 0


@dataclass(frozen=True, slots=True)
class Card:
    """One workspace on the home page."""

    workspace: Resource
    state: str
    look: str
    """quiet, busy, bad, or empty."""
    roles: Sequence[str]
    running: int
    """Tools that run, of those that the person may see."""
    mine: Resource | None
    """The person's own running tool, to be opened from here."""
    next_step: str
    next_path: str


def waiting_by_workspace(actor: Actor, requests: Sequence[AirlockRequest]) -> Mapping[str, Waiting]:
    """Count what waits for the actor, by workspace."""
    counts: dict[str, Waiting] = {}
    for request in requests:
        now = counts.get(request.workspace_id, Waiting())
        is_mine = request.author_id == actor.id
        reviews = WorkspaceRole.AIRLOCK_MANAGER in actor.roles_in(request.workspace_id)
        counts[request.workspace_id] = Waiting(
            now.to_review + (request.status in UNDER_REVIEW and reviews and not is_mine),
            now.returned + (request.status is Status.RETURNED and is_mine),
            now.drafts + (request.status is Status.DRAFT and is_mine),
        )
    return counts


def make_cards(
    actor: Actor, workspaces: Workspaces, waiting: Mapping[str, Waiting]
) -> Sequence[Card]:
    """Return a card for each workspace that the actor may see; their own first."""
    cards = [
        _card(actor, workspaces, workspace, waiting.get(workspace.id, Waiting()))
        for workspace in workspaces.list_workspaces(actor)
    ]
    return sorted(cards, key=lambda card: (not card.roles, card.workspace.display_name.lower()))


def _card(actor: Actor, workspaces: Workspaces, workspace: Resource, waiting: Waiting) -> Card:
    tools: Sequence[Resource] = ()
    services: Sequence[Resource] = ()
    if actor.is_member(workspace.id):
        services = workspaces.list_services(actor, workspace.id)
        tools = workspaces.list_user_resources(actor, workspace.id)
    running = [tool for tool in tools if tool.power is Power.RUNNING]
    mine = next((tool for tool in running if tool.owner_id == actor.id), None)
    step, path = _next_step(actor, workspace, waiting, services, mine)
    return Card(
        workspace=workspace,
        state=state_of(workspace),
        look=_look(workspace),
        roles=sorted(actor.roles_in(workspace.id)),
        running=len(running),
        mine=mine,
        next_step=step,
        next_path=path,
    )


def _look(workspace: Resource) -> str:
    if is_busy(workspace):
        return "busy"
    if workspace.status.endswith("_failed"):
        return "bad"
    return "" if workspace.is_enabled else "quiet"


def _next_step(
    actor: Actor,
    workspace: Resource,
    waiting: Waiting,
    services: Sequence[Resource],
    mine: Resource | None,
) -> tuple[str, str]:
    """Return the one thing to do next, and where; both empty if there is none."""
    page = f"/workspaces/{workspace.id}"
    if waiting.to_review:
        return f"{plural(waiting.to_review, 'airlock request')} to review", f"{page}/airlock"
    if waiting.returned:
        return f"{plural(waiting.returned, 'airlock request')} returned to you", f"{page}/airlock"
    if not workspace.is_enabled or is_busy(workspace) or not actor.is_member(workspace.id):
        return "", ""
    if not services:
        is_owner = WorkspaceRole.OWNER in actor.roles_in(workspace.id)
        return ("Add a service to work with", f"{page}/services/new") if is_owner else ("", "")
    if mine is None:
        return "Start a tool", page
    return "", ""


def tools_by_service(
    actor: Actor, services: Sequence[Resource], tools: Sequence[Resource]
) -> Sequence[tuple[Resource, Sequence[Resource]]]:
    """Return the tools of each service, the actor's own first."""
    assert all(service.kind is ResourceKind.SERVICE for service in services)
    return [
        (
            service,
            sorted(
                (tool for tool in tools if tool.parent_id == service.id),
                key=lambda tool: (tool.owner_id != actor.id, tool.display_name.lower()),
            ),
        )
        for service in services
    ]
