"""Has this host as much as a resource asks for?"""

from collections.abc import Mapping
from typing import Any

from carrel.workspaces.rules import Template
from carrel.workspaces.schemas import InvalidProperties
from carrel.workspaces.service.base import Room

GIB = 2**30


def check_host_has(
    room: Room,
    template: Template,
    properties: Mapping[str, Any],
    former: Mapping[str, Any] | None = None,
) -> None:
    """Raise `InvalidProperties`, naming the most the host has, where more is asked for.

    What stays as in `former` is not asked about.
    """
    limits = template.runtime.limits if template.runtime else {}
    asked = {
        limit: name
        for limit, name in limits.items()
        if limit in {"memory_gib", "cpus"} and _is_new(name, properties, former)
    }
    if not asked:
        return
    capacity = room.runtime.capacity()
    most = {"memory_gib": capacity.memory_bytes / GIB, "cpus": float(capacity.cpus)}
    words = {"memory_gib": "GiB of memory", "cpus": "processors"}
    problems = [
        (name, f"{name} must be {most[limit]:g} or less: this host has no more {words[limit]}.")
        for limit, name in asked.items()
        if float(properties[name]) > most[limit]
    ]
    if problems:
        raise InvalidProperties(problems)


def _is_new(name: str, properties: Mapping[str, Any], former: Mapping[str, Any] | None) -> bool:
    value = properties.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (former is None or former.get(name) != value)
