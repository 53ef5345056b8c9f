"""What may a client ask for? Every field is checked here, whoever the client is."""

import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from carrel.runtime.launcher.names import USER_NAME, VARIABLE, is_id
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import ROOT_ENVIRONMENTS, Tre

MIN_DISK_BYTES, MAX_DISK_BYTES = 16 * 2**20, 64 * 2**40
MIN_MEMORY_BYTES, MAX_MEMORY_BYTES = 16 * 2**20, 16 * 2**40
MAX_TEXT_BYTES = 128 * 1024
TARGETS = ("/data", "/mnt", "/opt", "/srv")
"""Where a mount may appear inside; never over what the recipe itself puts there."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Workspace:
    """What the host shall hold ready."""

    id: str
    gid: int
    disk_bytes: int


@dataclass(frozen=True)
class Sandbox:
    """What shall run."""

    id: str
    workspace_id: str
    uid: int
    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    image: str
    """Folder of the environment image; empty for none."""
    mounts: tuple[tuple[str, str], ...]
    memory_bytes: int
    cpus: float
    processes: int


def refuse(name: str, need: str) -> Refused:
    """Return the error for a field that does not fit."""
    return Refused("invalid_request", f"The field {name} does not fit: it must be {need}.")


def an_id(fields: Mapping[str, Any], name: str) -> str:
    """Return a field that must be a canonical UUID."""
    value = fields.get(name)
    if not isinstance(value, str) or not is_id(value):
        raise refuse(name, "a UUID in lower case with hyphens")
    return value


def a_text(fields: Mapping[str, Any], name: str) -> str:
    """Return a field that must be text without NUL."""
    value = fields.get(name)
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_TEXT_BYTES:
        raise refuse(name, "text without NUL")
    return value


def a_number(fields: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """Return a field that must be a number within bounds."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise refuse(name, f"a number from {low} to {high}")
    return value


def a_count(fields: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """Return a field that must be a whole number within bounds."""
    value = a_number(fields, name, low, high)
    if not isinstance(value, int):
        raise refuse(name, "a whole number")
    return value


def a_port(fields: Mapping[str, Any]) -> int:
    """Return the field `port`."""
    return a_count(fields, "port", 1, 65535)


def a_member(tre: Tre, fields: Mapping[str, Any]) -> int | None:
    """Return the field `uid` of one of this TRE's members, or None if there is none."""
    if fields.get("uid") is None:
        return None
    return a_count(fields, "uid", tre.first_uid, tre.last_uid)


def workspace(tre: Tre, fields: Mapping[str, Any]) -> Workspace:
    """Return the checked plan of a workspace."""
    return Workspace(
        id=an_id(fields, "id"),
        gid=a_count(fields, "gid", tre.first_uid, tre.last_uid),
        disk_bytes=a_count(fields, "disk_bytes", MIN_DISK_BYTES, MAX_DISK_BYTES),
    )


def sandbox(tre: Tre, fields: Mapping[str, Any]) -> Sandbox:
    """Return the checked plan of a sandbox."""
    name = a_text(fields, "name")
    if not USER_NAME.fullmatch(name) or name in {"root", "nobody"}:
        raise refuse("name", "a-z, 0-9, _ and -, at most 32, beginning with a letter")
    return Sandbox(
        id=an_id(fields, "id"),
        workspace_id=an_id(fields, "workspace_id"),
        uid=a_count(fields, "uid", tre.first_uid, tre.last_uid),
        name=name,
        command=_command(fields),
        environment=_environment(fields),
        image=_image(tre, fields),
        mounts=_each(fields, "mounts", lambda pair: _mount(tre, pair)),
        memory_bytes=a_count(fields, "memory_bytes", MIN_MEMORY_BYTES, MAX_MEMORY_BYTES),
        cpus=float(a_number(fields, "cpus", 0.01, 4096)),
        processes=a_count(fields, "processes", 4, 4_000_000),
    )


def _each(fields: Mapping[str, Any], name: str, parse: Callable[[Any], _T]) -> tuple[_T, ...]:
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > 1024:
        raise refuse(name, "a list")
    return tuple(parse(item) for item in value)


def _command(fields: Mapping[str, Any]) -> tuple[str, ...]:
    words = _each(fields, "command", lambda word: a_text({"command": word}, "command"))
    if not words or not words[0] or words[0].startswith("-"):
        raise refuse("command", "a program and its arguments")
    return words


def _environment(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = fields.get("environment")
    if not isinstance(value, dict) or not all(VARIABLE.fullmatch(name) for name in value):
        raise refuse("environment", "an object whose names are A-Z, a-z, 0-9 and _")
    return tuple((name, a_text(value, name)) for name in value)


def _image(tre: Tre, fields: Mapping[str, Any]) -> str:
    text = a_text(fields, "image")
    return _beneath((tre.environments, ROOT_ENVIRONMENTS), "image", text) if text else ""


def _mount(tre: Tre, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise refuse("mounts", "a list of pairs: source, target")
    target = a_text({"mounts": pair[1]}, "mounts")
    inside = any(target == top or target.startswith(f"{top}/") for top in TARGETS)
    if not inside or os.path.normpath(target) != target:
        raise refuse("mounts", f"mounted below one of {', '.join(TARGETS)}")
    roots = (tre.environments, tre.home / "datasets")
    return _beneath(roots, "mounts", a_text({"mounts": pair[0]}, "mounts")), target


def _beneath(roots: tuple[Path, ...], name: str, text: str) -> str:
    real = Path(os.path.realpath(text))
    for root in roots:
        top = Path(os.path.realpath(root))
        if real != top and real.is_relative_to(top) and real.exists():
            return str(real)
    raise refuse(name, f"an existing folder below {' or '.join(str(root) for root in roots)}")
