"""How are a template's properties given on the command line?"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from carrel.core.errors import InvalidRequest

PropertyOption = Annotated[
    list[str],
    typer.Option("--property", "-p", help="NAME=VALUE of the template; may be given many times."),
]
FileOption = Annotated[
    Path | None, typer.Option("--properties", help="JSON file with an object of properties.")
]


def read(
    pairs: Sequence[str], file: Path | None = None, *, name: str = "", description: str = ""
) -> dict[str, Any]:
    """Return the properties of a file, of `-p` pairs over it, and of the usual two options.

    A value that is JSON is taken as such (`4`, `true`), anything else as text.
    Raises `InvalidRequest`.
    """
    merged: dict[str, Any] = _from_file(file) if file else {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise InvalidRequest(f"{pair!r} is not of the form NAME=VALUE.", field="property")
        merged[key] = _value(value)
    if name:
        merged["display_name"] = name
    if description:
        merged["description"] = description
    return merged


def _from_file(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{file} cannot be read as JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"{file} must hold one JSON object with the properties.")
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
