"""How is a change carried out for a program, or only tried out and told?"""

from collections.abc import Callable

from fastapi import Response

from carrel.workspaces.routes.shapes import Json, accepted, answer
from carrel.workspaces.rules import Operation, Resource
from carrel.workspaces.service import Workspaces
from carrel.workspaces.service.rehearsal import Plan


def carried_out(
    workspaces: Workspaces,
    change: Callable[[], tuple[Resource, Operation] | Operation],
    *,
    is_dry_run: bool,
    status: int = 202,
) -> Response:
    """Carry a change out and answer with its operation, or only with what it would do."""
    if is_dry_run:
        return answer({"plan": plan_json(workspaces.rehearse(change))})
    done = change()
    return accepted(done[1] if isinstance(done, tuple) else done, status=status)


def plan_json(plan: Plan) -> Json:
    """Return what a change would do (Carrel's own); what is not there yet has no id."""
    return {
        "action": plan.action,
        "steps": [
            {
                "templateStepId": step.name,
                "stepTitle": step.title,
                "resourceId": None if step.resource_id == plan.made_id else step.resource_id,
                "resourceAction": plan.action,
            }
            for step in plan.steps
        ],
        "changes": [
            {"property": each.name, "from": each.before, "to": each.after} for each in plan.changes
        ],
        "warnings": list(plan.warnings),
    }
