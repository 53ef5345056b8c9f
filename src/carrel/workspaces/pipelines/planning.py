"""Which steps does an operation have when a pipeline belongs to its action?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import Connection

from carrel.core.errors import Conflict
from carrel.workspaces.pipelines.parsing import MAIN, PipelineStep, parse
from carrel.workspaces.plans import PlannedStep
from carrel.workspaces.rules import Resource, ResourceKind, Template
from carrel.workspaces.store.resources import find_resource, list_resources
from carrel.workspaces.tables import resources

K = ResourceKind
CHANGE_OTHER = "pipeline_change"
"""Name of the step that changes another resource."""
CHANGE_MAIN = "pipeline_main"
"""Name of the step that fills in the resource's own properties."""
PIPELINE_STEPS = frozenset({CHANGE_OTHER, CHANGE_MAIN})
_NEVER_MADE = "deployment_failed"


class Templates(Protocol):
    """Where the template of a resource is found: the room's catalogue."""

    def of(self, connection: Connection, resource: Resource) -> Template:
        """Return the template version that a resource was made from."""
        ...


class PlanningRoom(Protocol):
    """What planning needs of the room."""

    @property
    def catalogue(self) -> Templates:
        """Where the templates are."""
        ...


def with_pipeline(
    connection: Connection,
    room: PlanningRoom,
    template: Template,
    resource: Resource,
    action: str,
    own_steps: Sequence[PlannedStep],
) -> Sequence[PlannedStep]:
    """Return the steps of an operation: the resource's own, and around them its pipeline's.

    Without a pipeline for the action these are `own_steps`. Steps about resources below it (of a
    cascade) stand before the resource's own; where something is removed, each of those brings
    the pipeline of its own template. Targets are looked up now.

    Raises `Conflict` with a sentence if the TRE lacks a resource that a step changes; only
    disabling and `uninstall` go on without, for what was put there is gone with it.
    """
    planned: list[PlannedStep] = []
    below = [each for each in own_steps if each.resource_id != resource.id]
    for step in below:
        other = find_resource(connection, step.resource_id) if action == "uninstall" else None
        if other is None:
            planned.append(step)
        else:
            its = room.catalogue.of(connection, other)
            planned += _around(connection, its, other, action, [step])
    mine = [each for each in own_steps if each.resource_id == resource.id]
    return [*planned, *_around(connection, template, resource, action, mine)]


def _around(
    connection: Connection,
    template: Template,
    resource: Resource,
    action: str,
    own_steps: Sequence[PlannedStep],
) -> Sequence[PlannedStep]:
    described = parse(template.schema).get(action)
    if not described:
        return own_steps
    if not any(each.is_main for each in described):
        main = PipelineStep(MAIN, f"Change {resource.display_name}", "", "", "", [])
        # What others refer to must be there before them, and go after them.
        described = [*described, main] if action == "uninstall" else [main, *described]
    # What was put into something that is gone, is gone with it: nobody is kept by that.
    is_needed = resource.is_enabled and action != "uninstall"
    return [
        planned
        for step in described
        for planned in (
            _main(resource, step, own_steps)
            if step.is_main
            else _other(connection, resource, step, is_needed=is_needed)
        )
    ]


def _main(
    resource: Resource, step: PipelineStep, own_steps: Sequence[PlannedStep]
) -> Iterator[PlannedStep]:
    if step.properties or not own_steps:
        yield PlannedStep(CHANGE_MAIN, step.title, resource.id, pipeline=kept_with(step, resource))
    for each in own_steps:
        yield replace(each, pipeline={"source": resource.id, "step_id": MAIN})


def _other(
    connection: Connection, resource: Resource, step: PipelineStep, *, is_needed: bool
) -> Iterator[PlannedStep]:
    target = find_target(connection, resource, step)
    if target is not None:
        kept = kept_with(step, resource)
        yield PlannedStep(CHANGE_OTHER, step.title, target.id, pipeline=kept)
    elif is_needed:
        raise Conflict(
            f"The step {step.title!r} of {resource.template_name} changes {_described(step)}, "
            "and there is none to change. Create it first (or try its failed installation "
            "again), then repeat this."
        )


def kept_with(step: PipelineStep, resource: Resource) -> Mapping[str, Any]:
    """Return what an operation's step remembers of the pipeline that it came from."""
    return {**step.as_json(), "source": resource.id}


def find_target(connection: Connection, resource: Resource, step: PipelineStep) -> Resource | None:
    """Return the resource that a step changes, or None if there is none that can be."""
    if step.resource_type == K.SHARED_SERVICE:
        found = list_resources(
            connection,
            resources.c.kind == K.SHARED_SERVICE,
            resources.c.template_name == step.resource_template_name,
            resources.c.status != _NEVER_MADE,
        )
        return next((each for each in found if each.id != resource.id), None)
    above = {K.WORKSPACE: resource.workspace_id, K.SERVICE: resource.parent_id}
    is_service_of_lab = step.resource_type != K.SERVICE or resource.kind is K.USER_RESOURCE
    wanted = above[K(step.resource_type)] if is_service_of_lab else None
    found_one = find_resource(connection, wanted) if wanted else None
    if found_one is None or found_one.status == _NEVER_MADE:
        return None
    named = step.resource_template_name
    return found_one if named in {"", found_one.template_name} else None


def _described(step: PipelineStep) -> str:
    kind = step.resource_type.replace("-", " ")
    name = step.resource_template_name
    return f"the {kind} {name}" if name else f"its {kind}"
