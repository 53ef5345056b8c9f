"""What does a registration in AzureTRE's form say: `porter explain` with a schema?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carrel.core.errors import InvalidRequest
from carrel.runtime.ports import Level
from carrel.workspaces.pipelines import parse
from carrel.workspaces.rules import Policy, ResourceKind, Template, TemplateAction, parse_version
from carrel.workspaces.schemas import (
    InvalidProperties,
    check_values,
    merge_defaults,
    normalise,
    schema_problems,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ACTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
RESERVED_ACTIONS = frozenset({"install", "upgrade", "uninstall", "repair", "clear_up"})
"""Actions that every resource has; no template can give them another meaning."""
DEEPEST_SCHEMA = 64


class InvalidRegistration(InvalidRequest):
    """A registration cannot be taken; the field says what of it."""

    code = "invalid_template"


@dataclass(frozen=True, slots=True)
class Registration:
    """One version of a template, as AzureTRE's tools describe it."""

    name: str
    version: str
    json_schema: Mapping[str, Any]
    description: str = ""
    custom_actions: Sequence[TemplateAction] = ()
    parameters: Sequence[str] = ()
    outputs: Sequence[str] = ()

    def payload(self, kind: ResourceKind, *, is_current: bool) -> dict[str, Any]:
        """Return the body of the request that registers it."""
        return {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "resourceType": kind.value,
            "current": is_current,
            "parameters": [{"name": each} for each in self.parameters],
            "outputs": [{"name": each} for each in self.outputs],
            "customActions": [
                {"name": each.name, "description": each.description} for each in self.custom_actions
            ],
            "json_schema": self.json_schema,
        }


def template_of(given: Registration, kind: ResourceKind, parent: str | None) -> Template:
    """Return the template that a registration describes, before a driver is found for it.

    Raises `InvalidRegistration` naming the field.
    """
    if not NAME.fullmatch(given.name):
        raise _wrong("name", "must be letters, digits, dots, dashes and underscores, at most 64.")
    try:
        parse_version(given.version)
    except InvalidRequest as error:
        raise InvalidRegistration(str(error), field="version") from error
    _check_actions(given.custom_actions)
    schema = _schema(given.json_schema, kind)
    return Template(
        kind=kind,
        name=given.name,
        version=given.version,
        parent=parent,
        title=str(schema["title"]),
        description=str(schema["description"]),
        overview="",
        schema=schema,
        level=Level.A,
        isolation=frozenset(),
        runtime=None,
        policy=Policy(),
        actions=list(given.custom_actions),
        authorized_roles=list(schema.get("authorizedRoles") or ()),
        parameters=list(given.parameters),
        outputs=list(given.outputs),
        origin="azuretre",
        driver="",
    )


def _schema(given: Mapping[str, Any], kind: ResourceKind) -> dict[str, Any]:
    try:
        check_values(given, deepest=DEEPEST_SCHEMA)
    except InvalidProperties as error:
        raise InvalidRegistration(str(error), field="json_schema") from error
    for word in ("title", "description"):
        if not isinstance(given.get(word), str):
            raise _wrong(f"json_schema.{word}", "is missing. People read it in the catalogue.")
    if not isinstance(given.get("properties"), Mapping):
        raise _wrong("json_schema.properties", "is missing. Give a group of rules by name.")
    roles = given.get("authorizedRoles") or []
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise _wrong("json_schema.authorizedRoles", "must be a list of role names.")
    schema = normalise(given)
    for path, sentence, is_serious in schema_problems(schema):
        if is_serious:
            raise _wrong(".".join(str(part) for part in ("json_schema", *path)), sentence)
    try:
        parse(schema)
    except InvalidRequest as error:
        raise InvalidRegistration(str(error), field=f"json_schema.{error.field}") from error
    return merge_defaults(kind, schema)


def _check_actions(actions: Sequence[TemplateAction]) -> None:
    seen: set[str] = set()
    for number, action in enumerate(actions):
        field = f"customActions.{number}.name"
        if not ACTION_NAME.fullmatch(action.name):
            raise _wrong(field, "must be letters, digits, dashes and underscores, at most 32.")
        if action.name in RESERVED_ACTIONS:
            raise _wrong(field, f"{action.name!r} is no custom action: every resource has it.")
        if action.name in seen:
            raise _wrong(field, f"{action.name!r} stands twice.")
        seen.add(action.name)


def _wrong(field: str, why: str) -> InvalidRegistration:
    return InvalidRegistration(f"{field}: {why}", field=field)
