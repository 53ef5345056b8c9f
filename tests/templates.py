"""How do tests get templates with the schemas that they need?"""

from collections.abc import Mapping
from typing import Any

from carrel.runtime.ports import Level
from carrel.workspaces.rules import Policy, ResourceKind, Template, TemplateAction
from carrel.workspaces.schemas import merge_defaults
from carrel.workspaces.service import Workspaces


def make_template(
    kind: ResourceKind,
    name: str,
    properties: Mapping[str, Any],
    *,
    version: str = "1.0.0",
    parent: str | None = None,
    schema: Mapping[str, Any] | None = None,
    **rest: Any,
) -> Template:
    """Return a template whose resources are records: nothing runs for them."""
    whole = {"type": "object", "title": name, "properties": properties, **(schema or {})}
    return Template(
        kind=kind,
        name=name,
        version=version,
        parent=parent,
        title=name,
        description=f"The {name} of a test.",
        overview="",
        schema=merge_defaults(kind, whole),
        level=Level.C,
        isolation=frozenset(),
        runtime=None,
        policy=Policy(),
        actions=[TemplateAction("stop", "Stop it.")],
        **{"driver": "local", **rest},
    )


def add_template(room: Workspaces, template: Template) -> Template:
    """Register a template as a bundle on disk would be."""
    with room.database.write() as connection:
        room.catalogue.add(connection, template, now=room.clock.now())
    return template
