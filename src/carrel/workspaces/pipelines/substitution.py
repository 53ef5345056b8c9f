"""What do the references in a pipeline's step stand for? Pure.

`{{ resource.properties.x }}` is a property of the resource that the operation is about,
`{{ resource.parent.properties.x }}` one of its parent, `{{ resource.parent.parent… }}` one of
the parent's parent. A path that leads nowhere makes the whole text empty; a list or group of
properties takes the whole text's place; a reference that stands alone keeps its type.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from carrel.core.errors import InvalidRequest
from carrel.workspaces.pipelines.parsing import PipelineProperty, PipelineStep
from carrel.workspaces.rules import Resource

_TOKEN = re.compile(r"\{\{\s*(resource(?:\.[^{}\s]+)?)\s*\}\}")
_NOWHERE = object()


def view(resource: Resource, properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a resource as pipelines name its parts: AzureTRE's words.

    `properties` are its full properties, with what is sensitive readable.
    """
    return {
        "id": resource.id,
        "templateName": resource.template_name,
        "templateVersion": resource.template_version,
        "properties": properties,
        "isEnabled": resource.is_enabled,
        "resourceType": resource.kind.value,
        "deploymentStatus": resource.status or None,
        "resourcePath": resource.path,
        "resourceVersion": resource.version,
        "workspaceId": resource.workspace_id,
        "ownerId": resource.owner_id,
        "parentWorkspaceServiceId": resource.parent_id,
    }


def substitute(
    value: Any, resource: Mapping[str, Any], parents: Sequence[Mapping[str, Any]]
) -> Any:
    """Return `value` with every reference in it, at any depth, replaced.

    `resource` and `parents` (nearest first) are what `view` returns. Raises `InvalidRequest` if
    a reference climbs above the last parent.
    """
    if isinstance(value, Mapping):
        return {name: substitute(each, resource, parents) for name, each in value.items()}
    if isinstance(value, list):
        return [substitute(each, resource, parents) for each in value]
    if isinstance(value, str):
        return _text(value, resource, parents)
    return value


def _text(text: str, resource: Mapping[str, Any], parents: Sequence[Mapping[str, Any]]) -> Any:
    pieces: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        found = _look_up(token[1], resource, parents)
        if found is _NOWHERE:
            return ""
        if isinstance(found, Mapping | list) or token[0] == text.strip():
            return deepcopy(found)
        pieces += [text[end : token.start()], "" if found is None else str(found)]
        end = token.end()
    return "".join([*pieces, text[end:]])


def _look_up(path: str, resource: Mapping[str, Any], parents: Sequence[Mapping[str, Any]]) -> Any:
    chain: list[Mapping[str, Any]] = [resource, *parents]
    parts = path.split(".")[1:]
    above = 0
    while parts and parts[0] == "parent":
        parts.pop(0)
        above += 1
    if above >= len(chain):
        raise InvalidRequest(
            f"The pipeline refers to {path!r}, but the resource has only {len(parents)} above it.",
            field="pipeline",
        )
    found: Any = chain[above]
    for part in parts:
        if not isinstance(found, Mapping) or part not in found:
            return _NOWHERE
        found = found[part]
    return found


# What a step makes of another resource's properties -------------------------------------------


def changed_by(
    step: PipelineStep,
    current: Mapping[str, Any],
    resource: Mapping[str, Any],
    parents: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the patch that a step means for the resource whose properties are `current`.

    Two settings of one property build on each other. `current` stays as it is.
    """
    patch: dict[str, Any] = {}
    for each in step.properties:
        value = substitute(each.value, resource, parents)
        if each.type == "array" and each.array_action and not isinstance(value, list):
            before = patch.get(each.name, current.get(each.name))
            value = _array(each, before if isinstance(before, list) else [], value)
        patch[each.name] = value
    return patch


def _array(rule: PipelineProperty, before: Sequence[Any], entry: Any) -> list[Any]:
    after = list(deepcopy(before))
    if rule.array_action == "overwrite":
        return [entry]
    if rule.array_action == "append":
        return [*after, entry]
    place = place_of(after, entry, rule.match_field)
    if rule.array_action == "remove":
        return after if place is None else after[:place] + after[place + 1 :]
    if place is None:
        return [*after, entry]
    after[place] = entry
    return after


def place_of(entries: Sequence[Any], entry: Any, match_field: str) -> int | None:
    """Return where the entry is that is the same by `match_field` (else by all), or None."""
    wanted = _mark(entry, match_field)
    for place, each in enumerate(entries):
        if _mark(each, match_field) == wanted:
            return place
    return None


def _mark(entry: Any, match_field: str) -> Any:
    if match_field and isinstance(entry, Mapping) and match_field in entry:
        return (match_field, entry[match_field])
    return entry
