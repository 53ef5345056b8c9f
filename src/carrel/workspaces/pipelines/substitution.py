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
