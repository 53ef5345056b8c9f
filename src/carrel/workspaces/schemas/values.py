"""Which values can no property have, whatever its schema says?"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carrel.core.errors import InvalidRequest


class InvalidProperties(InvalidRequest):
    """Properties do not fit the schema; `problems` names every one of them."""

    status = 400

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


def check_values(properties: Mapping[str, Any], *, deepest: int = _DEEPEST) -> None:
    """Raise `InvalidProperties` for values that no schema should have to think of.

    Not-a-number, infinity, numbers beyond 2^53, NUL characters, half surrogates, nesting without
    end, and megabytes.
    """
    found = [(name, f"{name} {why}") for name, why in _unreadable(properties, "", deepest)]
    if found:
        raise InvalidProperties(found[:10])
    if len(json.dumps(properties)) > BYTES_LIMIT:
        raise InvalidRequest(
            f"The properties are larger than {BYTES_LIMIT // 1024} KiB together.",
            field="properties",
        )


def _unreadable(value: Any, path: str, levels: int) -> Iterator[tuple[str, str]]:
    if levels < 0:
        yield path, "is nested deeper than anybody reads."
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if _is_unreadable_text(str(name)):
                yield path or "properties", "has a property name that cannot be kept."
            else:
                yield from _unreadable(each, f"{path}.{name}" if path else str(name), levels - 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _unreadable(each, f"{path}.{number}", levels - 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "must be an ordinary number."
    elif isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        yield path, "is too large a number."
    elif isinstance(value, str) and _is_unreadable_text(value):
        yield path, "holds a character that cannot be kept (NUL or half a surrogate pair)."


def _is_unreadable_text(text: str) -> bool:
    return "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)
