"""What of these properties does not fit, and what would?

A sentence never repeats a sensitive value, nor anything inside a sensitive group.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carrel.workspaces.schemas.parts import (
    applying_parts,
    condition_names,
    conditional_blocks,
    every_part,
    names_of,
    rules_of_name,
    validator,
)
from carrel.workspaces.schemas.secrets import sensitive_pointers
from carrel.workspaces.schemas.values import InvalidProperties

Problem = tuple[str, str]
"""The dotted field, and a sentence about it."""


def check_properties(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Raise `InvalidProperties` with a sentence for each property that does not fit."""
    root = validator(schema)
    errors = sorted(root.iter_errors(properties), key=lambda each: _pointer(each.absolute_path))
    if not errors:
        return
    secrets = sensitive_pointers(schema, properties)
    found: dict[Problem, None] = {}
    for error in errors:
        found |= dict.fromkeys(_sentences(root, error, secrets))
    raise InvalidProperties(list(found) or [("", "The properties do not fit the template.")])


def unknown_sentence(schema: Mapping[str, Any], name: str, known: Sequence[str]) -> str:
    """Return why there is no property `name`: it depends on others, or does not exist."""
    if depends := conditions_of(schema, name):
        return f"{name} is not a property here: it depends on {', '.join(sorted(depends))}."
    return f"{name} is not a property here. Known: {', '.join(sorted(known))}."


def conditions_of(schema: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return the properties on whose values it depends whether there is a property `name`."""
    for block in conditional_blocks(schema):
        for word in ("then", "else"):
            branch = block.get(word)
            if isinstance(branch, Mapping) and name in names_of(every_part(schema, branch)):
                inner = conditions_of(branch, name)
                return condition_names(block.get("if")) | inner
    return frozenset()


def _sentences(root: Any, error: Any, secrets: frozenset[str]) -> Iterator[Problem]:
    secret = _secret_above(error, secrets)
    if secret is not None:
        path = secret.strip("/").replace("/", ".")
        yield path, f"{path} does not fit the template's rule for it."
        return
    path = ".".join(str(part) for part in error.absolute_path)
    keyword = str(error.validator)
    if keyword in {"unevaluatedProperties", "additionalProperties"}:
        yield from _unknown(root, error, path, keyword)
    elif keyword == "required":
        for name in error.validator_value:
            if name not in error.instance:
                field = f"{path}.{name}" if path else str(name)
                title = _title(root, error, str(name))
                yield field, f"{title} is missing. Give a value for {name}."
    else:
        yield path, f"{path or 'The value'} {_fix(error, keyword)}"


def _secret_above(error: Any, secrets: frozenset[str]) -> str | None:
    """Return the sensitive value that an error is in, or that its text could show."""
    pointer = _pointer(error.absolute_path)
    return next((each for each in secrets if f"{pointer}/".startswith(f"{each}/")), None)


def _pointer(path: Any) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _unknown(root: Any, error: Any, path: str, keyword: str) -> Iterator[Problem]:
    parts = [error.schema]
    if keyword == "unevaluatedProperties":
        parts = list(applying_parts(root, error.schema, error.instance))
    known = names_of(parts)
    if not isinstance(error.validator_value, bool):
        yield path, f"{path or 'The value'} has an entry that does not fit the template's rule."
        return
    for name in sorted(error.instance):
        if any(rule not in (None, False) for rule in rules_of_name(parts, name)):
            continue
        field = f"{path}.{name}" if path else name
        yield field, unknown_sentence(error.schema, name, sorted(known))


def _title(root: Any, error: Any, name: str) -> str:
    parts = list(applying_parts(root, error.schema, error.instance))
    rules = [rule for rule in rules_of_name(parts, name) if isinstance(rule, Mapping)]
    return next((str(rule["title"]) for rule in rules if "title" in rule), name)


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
    "uniqueItems": "has the same entry twice.",
    "const": "must be {wanted}.",
    "pattern": "has characters or a form that is not allowed here (pattern {wanted}).",
    "anyOf": "fits none of the forms that the template allows.",
    "oneOf": "must fit exactly one of the forms that the template allows.",
}


def _fix(error: Any, keyword: str) -> str:
    wanted, given = error.validator_value, _shown(error.instance)
    if keyword == "type":
        kinds = [wanted] if isinstance(wanted, str) else list(wanted)
        return f"must be {' or '.join(_TYPES.get(kind, kind) for kind in kinds)}, not {given}."
    if keyword == "enum":
        return f"must be one of {', '.join(_wanted(each) for each in wanted)}; not {given}."
    if keyword == "minLength":
        return "must not be empty." if wanted == 1 else f"needs at least {wanted} characters."
    if keyword == "pattern" and "display_name" in error.absolute_path:
        return "must not begin or end with a space, nor hold a line break or control character."
    if keyword in _FIXES:
        return _FIXES[keyword].format(wanted=_wanted(wanted), given=given)
    return f"does not fit the template's rule {keyword!r}: {given}."


def _shown(value: Any) -> str:
    """Return a given value as a sentence shows it; of lists and groups only that they are."""
    if isinstance(value, Mapping):
        return "a group of properties"
    return "a list" if isinstance(value, list) else _wanted(value)


def _wanted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
