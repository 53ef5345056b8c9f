"""Which of the values are sensitive?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carrel.workspaces.schemas.parts import every_part, rules_of_name, rules_of_place


def sensitive_pointers(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON pointers (RFC 6901) of the values present that are sensitive.

    A value is sensitive if any part of the schema says so, whether its condition holds or not.
    Of a sensitive group or list only its own pointer is named. Nothing and the empty text are
    no secrets.
    """
    return frozenset(_pointers(schema, [schema], properties, ""))


def _pointers(
    schema: Mapping[str, Any], rules: Sequence[Any], value: Any, pointer: str
) -> Iterator[str]:
    parts = [part for rule in rules for part in every_part(schema, rule)]
    if pointer and any(part.get("sensitive") is True for part in parts):
        if value not in (None, ""):
            yield pointer
    elif isinstance(value, Mapping):
        for name, each in value.items():
            inner = list(rules_of_name(parts, name))
            yield from _pointers(schema, inner, each, f"{pointer}/{_escaped(name)}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            inner = list(rules_of_place(parts, place))
            yield from _pointers(schema, inner, each, f"{pointer}/{place}")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
