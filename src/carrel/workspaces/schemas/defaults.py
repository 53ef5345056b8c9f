"""What has every resource of a kind, and what is filled in where nothing was given?"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.schemas.parts import applying_parts, fits, rules_of_place, validator

_DEFAULT_PROPERTIES: Mapping[str, Any] = {
    "display_name": {
        "type": "string",
        "title": "Name",
        "description": "A short name that people will recognise.",
        "minLength": 1,
        "maxLength": 100,
        "pattern": r"^[^\s\u0000-\u001f\u007f]([^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f])?$",
        "updateable": True,
    },
    "description": {
        "type": "string",
        "title": "Description",
        "description": "What it is for.",
        "default": "",
        "maxLength": 2000,
        "updateable": True,
    },
    "overview": {
        "type": "string",
        "title": "Overview",
        "description": "A longer text for its members, in Markdown.",
        "default": "",
        "maxLength": 20_000,
        "updateable": True,
    },
}
_OWNER: Mapping[str, Any] = {
    "workspace_owner_object_id": {
        "type": "string",
        "title": "Owner",
        "description": "Id of the account that owns the workspace. An administrator can give "
        "roles later too.",
        "default": "",
        "pattern": "^[0-9a-f-]{0,36}$",
    },
}

REQUIRED = ("display_name",)


def merge_defaults(kind: ResourceKind, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template's schema with the properties that every resource of the kind has.

    The template's own properties override the default ones (as in AzureTRE).
    """
    extra = _OWNER if kind is ResourceKind.WORKSPACE else {}
    return {
        **schema,
        "type": "object",
        "required": list(dict.fromkeys([*REQUIRED, *schema.get("required", ())])),
        "properties": {**_DEFAULT_PROPERTIES, **extra, **schema.get("properties", {})},
        "unevaluatedProperties": False,
    }


def with_defaults(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties with the schema's defaults where nothing was given.

    In nested groups too, and from the conditional parts that apply. A default that does not fit
    its own rule is left out; a group that was not given comes to be only if its defaults make it
    whole.
    """
    root = validator(schema)
    filled = deepcopy(dict(properties))
    for _ in range(_ROUNDS):
        before = deepcopy(filled)
        _fill(root, schema, filled)
        if filled == before:
            break
    return filled


_ROUNDS = 8
"""A default may make another condition hold; a schema that never settles is stopped here."""
_DEEPEST = 8
"""So many groups within groups are made; a schema may refer to itself without end."""


def _fill(root: Any, rule: Any, value: Any, depth: int = 0) -> None:
    if isinstance(value, dict):
        for part in applying_parts(root, rule, value):
            for name, inner in part.get("properties", {}).items():
                _fill_one(root, inner, value, name, depth)
    elif isinstance(value, list):
        parts = list(applying_parts(root, rule, value))
        for place, entry in enumerate(value):
            for inner in rules_of_place(parts, place):
                _fill(root, inner, entry)


def _fill_one(root: Any, rule: Any, group: dict[str, Any], name: str, depth: int) -> None:
    if name in group:
        _fill(root, rule, group[name])
        return
    for part in applying_parts(root, rule, None):
        if "default" in part and fits(root, rule, part["default"]):
            group[name] = deepcopy(part["default"])
            _fill(root, rule, group[name])
            return
    if depth < _DEEPEST:
        made: dict[str, Any] = {}
        _fill(root, rule, made, depth + 1)
        if made and fits(root, rule, made):
            group[name] = made
