"""Which pipeline does a template's schema describe, and is it one that can be taken? Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from carrel.core.errors import InvalidRequest
from carrel.workspaces.rules import ResourceKind

K = ResourceKind
MAIN = "main"
"""Id of the step that is the resource itself."""
TARGETS = frozenset({K.SHARED_SERVICE, K.WORKSPACE, K.SERVICE})
"""What another step may change: kinds that can be found from the resource alone."""
ARRAY_ACTIONS = frozenset({"", "overwrite", "append", "replace", "remove"})


@dataclass(frozen=True, slots=True)
class PipelineProperty:
    """One property that a step sets."""

    name: str
    type: str
    value: Any
    """May hold references such as `{{ resource.properties.address }}`, at any depth."""
    array_action: str = ""
    """What becomes of the entries that an array has already; "" for what is no array."""
    match_field: str = ""
    """The field by which an entry is known again."""


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """One step of a pipeline, as its template has it."""

    step_id: str
    title: str
    resource_type: str
    """The kind of the resource to change; "" for the main step."""
    resource_template_name: str
    resource_action: str
    """What it does there; "" for the main step, which does what the operation does."""
    properties: Sequence[PipelineProperty]

    @property
    def is_main(self) -> bool:
        """Whether the step is the resource itself."""
        return self.step_id == MAIN

    def as_json(self) -> dict[str, Any]:
        """Return the form in which a step lies beside an operation; `step_of` reads it."""
        return asdict(self)


def step_of(kept: Mapping[str, Any]) -> PipelineStep:
    """Return the step that `as_json` wrote."""
    own = {name: value for name, value in kept.items() if name in PipelineStep.__slots__}
    return PipelineStep(
        **{**own, "properties": [PipelineProperty(**each) for each in own["properties"]]}
    )


def parse(schema: Mapping[str, Any]) -> Mapping[str, Sequence[PipelineStep]]:
    """Return the steps of a template's schema by action; empty if it has no pipeline.

    Raises `InvalidRequest` naming the step that cannot be taken, and why.
    """
    described = schema.get("pipeline") or {}
    if not isinstance(described, Mapping):
        raise _wrong("pipeline", "must name actions, each with a list of steps.")
    found: dict[str, Sequence[PipelineStep]] = {}
    seen: set[str] = set()
    for action, steps in described.items():
        if steps is None:
            continue
        if not isinstance(steps, list):
            raise _wrong(f"pipeline.{action}", "must be a list of steps.")
        found[str(action)] = [
            _step(each, f"pipeline.{action}.{number}") for number, each in enumerate(steps)
        ]
        _check_ids(found[str(action)], f"pipeline.{action}", seen)
    return found


def _check_ids(steps: Sequence[PipelineStep], where: str, seen: set[str]) -> None:
    """Raise unless a step's id is used once in the template, and `main` once in each action."""
    mine: set[str] = set()
    for number, step in enumerate(steps):
        if step.step_id in (mine if step.is_main else seen):
            raise _wrong(
                f"{where}.{number}.stepId",
                f"{step.step_id!r} is used twice. Give every step an id of its own.",
            )
        mine.add(step.step_id)
    seen |= mine - {MAIN}


def _step(described: Any, where: str) -> PipelineStep:
    if not isinstance(described, Mapping):
        raise _wrong(where, "must be a group of settings.")
    step_id = _text(described, "stepId", where)
    if not step_id:
        raise _wrong(f"{where}.stepId", "is missing. Give the step an id.")
    step = PipelineStep(
        step_id=step_id,
        title=_text(described, "stepTitle", where) or step_id,
        resource_type=_text(described, "resourceType", where),
        resource_template_name=_text(described, "resourceTemplateName", where),
        resource_action=_action(described, where, is_main=step_id == MAIN),
        properties=_properties(described.get("properties"), where),
    )
    if not step.is_main:
        _check_target(step, where)
    return step


def _action(described: Mapping[str, Any], where: str, *, is_main: bool) -> str:
    given = _text(described, "resourceAction", where)
    return "" if is_main else given or "upgrade"


def _check_target(step: PipelineStep, where: str) -> None:
    named = f"step {step.step_id!r}"
    if step.resource_type not in TARGETS:
        kinds = ", ".join(sorted(TARGETS))
        raise _wrong(
            f"{where}.resourceType", f"of {named} must be one of {kinds}; the step is not `main`."
        )
    if step.resource_type == K.SHARED_SERVICE and not step.resource_template_name:
        raise _wrong(
            f"{where}.resourceTemplateName", f"of {named} is missing: which shared service?"
        )
    if step.resource_action != "upgrade":
        raise _wrong(
            f"{where}.resourceAction",
            f"of {named} must be upgrade: a pipeline can only change other resources.",
        )


def _properties(described: Any, where: str) -> Sequence[PipelineProperty]:
    if described is None:
        return []
    if not isinstance(described, list):
        raise _wrong(f"{where}.properties", "must be a list.")
    return [
        _property(each, f"{where}.properties.{number}") for number, each in enumerate(described)
    ]


def _property(described: Any, where: str) -> PipelineProperty:
    if not isinstance(described, Mapping):
        raise _wrong(where, "must be a group of settings.")
    name = _text(described, "name", where)
    if not name:
        raise _wrong(f"{where}.name", "is missing: which property?")
    action = _text(described, "arraySubstitutionAction", where)
    if action not in ARRAY_ACTIONS:
        known = ", ".join(sorted(ARRAY_ACTIONS - {""}))
        raise _wrong(f"{where}.arraySubstitutionAction", f"must be one of {known}.")
    return PipelineProperty(
        name=name,
        type=_text(described, "type", where),
        value=described.get("value"),
        array_action=action,
        match_field=_text(described, "arrayMatchField", where),
    )


def _text(described: Mapping[str, Any], name: str, where: str) -> str:
    value = described.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(f"{where}.{name}", "must be text.")
    return value


def _wrong(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {why}", field=field)
