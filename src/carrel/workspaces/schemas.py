"""Do these properties fit the template's JSON Schema, and if not, what would?"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from carrel.core.errors import InvalidRequest
from carrel.workspaces.rules import ResourceKind

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


class InvalidProperties(InvalidRequest):
    """Properties do not fit the schema; `problems` names every one of them."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        name, sentence = problems[0]
        more = f" ({len(problems) - 1} more problems.)" if len(problems) > 1 else ""
        super().__init__(sentence + more, field=f"properties.{name}" if name else "properties")
        self.problems = problems
        """Pairs `(dotted field, sentence)`."""


BYTES_LIMIT = 256 * 1024
_DEEPEST = 16
_LARGEST_INTEGER = 2**53
"""Beyond it, JSON readers disagree about a number."""


def check_values(properties: Mapping[str, Any]) -> None:
    """Raise `InvalidProperties` for values that no schema should have to think of.

    Not-a-number, infinity, numbers beyond 2^53, NUL characters, half surrogates, nesting without
    end, and megabytes.
    """
    found = [(name, f"{name} {why}") for name, why in _unreadable(properties, "", 0)]
    if found:
        raise InvalidProperties(found[:10])
    if len(json.dumps(properties)) > BYTES_LIMIT:
        raise InvalidRequest(
            f"The properties are larger than {BYTES_LIMIT // 1024} KiB together.",
            field="properties",
        )


def _unreadable(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST:
        yield path, f"is nested deeper than {_DEEPEST} levels."
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if _is_unreadable_text(str(name)):
                yield path or "properties", "has a property name that cannot be kept."
            else:
                yield from _unreadable(each, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _unreadable(each, f"{path}.{number}", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "must be an ordinary number."
    elif isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        yield path, "is too large a number."
    elif isinstance(value, str) and _is_unreadable_text(value):
        yield path, "holds a character that cannot be kept (NUL or half a surrogate pair)."


def _is_unreadable_text(text: str) -> bool:
    return "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)


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
    """Return the properties with the schema's defaults where nothing was given."""
    defaults = {
        name: part["default"]
        for name, part in schema.get("properties", {}).items()
        if isinstance(part, dict) and "default" in part
    }
    return {**defaults, **properties}


def check_properties(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Raise `InvalidProperties` with a sentence for each property that does not fit."""
    if found := list(_problems(schema, properties)):
        raise InvalidProperties(found)


def changed_properties(
    schema: Mapping[str, Any], old: Mapping[str, Any], patch: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `old` with `patch` applied.

    Raises `InvalidProperties` for a property that is unknown, wrong, or fixed at creation.
    """
    updateable = updateable_names(schema)
    known = schema.get("properties", {})
    fixed = [
        (name, f"{name} was fixed when this was created and cannot be changed.")
        for name in patch
        if name in known and name not in updateable and patch[name] != old.get(name)
    ]
    if fixed:
        raise InvalidProperties(fixed)
    merged = with_defaults(schema, {**old, **patch})
    check_properties(schema, merged)
    return merged


def updateable_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the properties that may change after creation."""
    return frozenset(
        name
        for part in _branches(schema)
        for name, rule in part.get("properties", {}).items()
        if isinstance(rule, dict) and rule.get("updateable")
    )


def for_update(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with `readOnly` on every property that cannot be changed any more."""
    shown: dict[str, Any] = json.loads(json.dumps(schema))
    for part in _branches(shown):
        for rule in part.get("properties", {}).values():
            if isinstance(rule, dict) and not rule.get("updateable"):
                rule["readOnly"] = True
    return shown


def _branches(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    for block in schema.get("allOf", ()):
        for name in ("then", "else"):
            if isinstance(block.get(name), dict):
                yield from _branches(block[name])


def _problems(
    schema: Mapping[str, Any], properties: Mapping[str, Any]
) -> Iterable[tuple[str, str]]:
    errors = Draft202012Validator(schema).iter_errors(properties)
    for error in sorted(errors, key=lambda each: [str(part) for part in each.absolute_path]):
        yield from _sentences(schema, error)


def _sentences(schema: Mapping[str, Any], error: Any) -> Iterator[tuple[str, str]]:
    path = ".".join(str(part) for part in error.absolute_path)
    keyword = str(error.validator)
    if keyword in {"unevaluatedProperties", "additionalProperties"}:
        known = error.schema.get("properties", {}) if path else schema["properties"]
        for name in sorted(set(error.instance) - set(known)):
            field = f"{path}.{name}" if path else name
            yield field, f"{name} is not a property here. Known: {', '.join(sorted(known))}."
        return
    if keyword == "required":
        for name in error.validator_value:
            if name not in error.instance:
                field = f"{path}.{name}" if path else str(name)
                yield field, f"{_title(error.schema, name)} is missing. Give a value for {name}."
        return
    yield path, f"{path or 'The value'} {_fix(error, keyword)}"


def _title(schema: Mapping[str, Any], name: str) -> str:
    rule = schema.get("properties", {}).get(name, {})
    return str(rule.get("title", name))


_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a group of properties",
    "null": "empty",
}
_FIXES = {
    "minimum": "must be {wanted} or more, not {given}.",
    "maximum": "must be {wanted} or less, not {given}.",
    "exclusiveMinimum": "must be more than {wanted}, not {given}.",
    "exclusiveMaximum": "must be less than {wanted}, not {given}.",
    "multipleOf": "must be a multiple of {wanted}, not {given}.",
    "maxLength": "is too long: at most {wanted} characters.",
    "minItems": "needs at least {wanted} entries.",
    "maxItems": "has too many entries: at most {wanted}.",
    "const": "must be {wanted}.",
    "pattern": "has characters or a form that is not allowed here (pattern {wanted}).",
}


def _fix(error: Any, keyword: str) -> str:
    wanted, given = error.validator_value, _shown(error.instance)
    if keyword == "type":
        kinds = [wanted] if isinstance(wanted, str) else list(wanted)
        return f"must be {' or '.join(_TYPES.get(kind, kind) for kind in kinds)}, not {given}."
    if keyword == "enum":
        return f"must be one of {', '.join(_shown(each) for each in wanted)}; not {given}."
    if keyword == "minLength":
        return "must not be empty." if wanted == 1 else f"needs at least {wanted} characters."
    if keyword == "pattern" and "display_name" in error.absolute_path:
        return "must not begin or end with a space, nor hold a line break or control character."
    if keyword in _FIXES:
        return _FIXES[keyword].format(wanted=_shown(wanted), given=given)
    return f"does not fit the template's rule {keyword!r}: {given}."


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
