"""Which templates does this TRE know, in which versions?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select, update

from carrel.core.errors import Conflict, NotFound
from carrel.runtime.ports import Level
from carrel.workspaces.rules import (
    Policy,
    Resource,
    ResourceKind,
    RuntimeNeeds,
    Template,
    TemplateAction,
    parse_version,
)
from carrel.workspaces.tables import templates

_PLAIN = re.compile(r"[A-Za-z0-9._-]{0,64}")
"""What a name or version may look like at all; anything else is not found unasked."""
_Key = tuple[str, str, str, str]


class Catalogue:
    """The table of templates; a version, once used, is remembered."""

    def __init__(self) -> None:
        self._known: dict[_Key, Template] = {}

    def find(
        self, connection: Connection, kind: ResourceKind, parent: str, name: str, version: str
    ) -> Template | None:
        """Return one version of a template, or None."""
        key = (kind.value, parent, name, version)
        if key not in self._known:
            if not all(_PLAIN.fullmatch(part) for part in key):
                return None
            row = connection.execute(select(templates).where(*_is(key))).one_or_none()
            if row is None:
                return None
            self._known[key] = _template(row)
        return self._known[key]

    def of(self, connection: Connection, resource: Resource) -> Template:
        """Return the template version that a resource was made from."""
        found = self.find(
            connection,
            resource.kind,
            resource.template_parent,
            resource.template_name,
            resource.template_version,
        )
        if found is None:
            raise NotFound(
                f"Version {resource.template_version} of the template {resource.template_name} "
                "is not registered in this TRE."
            )
        return found

    def current(
        self, connection: Connection, kind: ResourceKind, parent: str, name: str
    ) -> Template:
        """Return the version that new resources get. Raises `NotFound`."""
        query = select(templates.c.version).where(
            *_is((kind.value, parent, name)), templates.c.is_current
        )
        is_plain = _PLAIN.fullmatch(name) and _PLAIN.fullmatch(parent)
        version = connection.execute(query).scalar_one_or_none() if is_plain else None
        found = self.find(connection, kind, parent, name, version) if version else None
        if found is None:
            raise NotFound(
                f"There is no {kind} template named {name!r}. "
                "Look at the list of templates for the right name."
            )
        return found

    def list_current(
        self, connection: Connection, kind: ResourceKind, parent: str | None = None
    ) -> Sequence[Template]:
        """Return the current templates of a kind, by title."""
        query = select(templates).where(templates.c.kind == kind, templates.c.is_current)
        if parent is not None:
            query = query.where(templates.c.parent == parent)
        return [_template(row) for row in connection.execute(query.order_by(templates.c.title))]

    def list_versions(
        self, connection: Connection, kind: ResourceKind, parent: str, name: str
    ) -> Sequence[str]:
        """Return every registered version of a template, lowest first."""
        query = select(templates.c.version).where(*_is((kind.value, parent, name)))
        return sorted(connection.execute(query).scalars(), key=parse_version)

    def add(
        self,
        connection: Connection,
        template: Template,
        *,
        now: datetime,
        is_current: bool = True,
    ) -> bool:
        """Register a version; returns whether it became the current one.

        The first version of a name is always current. Raises `Conflict` if it is known.
        """
        key = _key(template)
        if self.find(connection, template.kind, key[1], template.name, template.version):
            raise Conflict(
                f"Version {template.version} of the template {template.name} is registered "
                "already. Give the changed bundle a new version."
            )
        named = _is(key[:3])
        known = connection.execute(select(templates.c.version).where(*named)).first()
        is_current = is_current or known is None
        if is_current:
            connection.execute(update(templates).where(*named).values(is_current=False))
        connection.execute(
            templates.insert(),
            {
                "kind": key[0],
                "parent": key[1],
                "name": key[2],
                "version": key[3],
                "is_current": is_current,
                "title": template.title,
                "body": _body(template),
                "registered_at": now,
            },
        )
        return is_current

    def sync(self, connection: Connection, template: Template, *, now: datetime) -> str:
        """Bring a shipped version in; returns `added`, `refreshed`, or `` if nothing changed.

        A newer shipped version becomes current; a site's own choice of another name stays.
        """
        key = _key(template)
        row = connection.execute(select(templates).where(*_is(key))).one_or_none()
        if row is not None:
            if row.body == _body(template) and row.title == template.title:
                return ""
            self._known.pop(key, None)
            changed = {"body": _body(template), "title": template.title}
            connection.execute(update(templates).where(*_is(key)).values(**changed))
            return "refreshed"
        versions = self.list_versions(connection, template.kind, key[1], template.name)
        is_newest = all(parse_version(each) < parse_version(key[3]) for each in versions)
        self.add(connection, template, now=now, is_current=is_newest)
        return "added"


def _key(template: Template) -> _Key:
    return template.kind.value, template.parent or "", template.name, template.version


def _is(key: Sequence[str]) -> list[Any]:
    columns = (templates.c.kind, templates.c.parent, templates.c.name, templates.c.version)
    return [column == value for column, value in zip(columns, key, strict=False)]


def _body(template: Template) -> str:
    """Return everything else of a template as JSON; properties stay in their order."""
    runtime = asdict(template.runtime) if template.runtime else None
    body = {
        "description": template.description,
        "overview": template.overview,
        "schema": dict(template.schema),
        "level": template.level.value,
        "isolation": sorted(template.isolation),
        "runtime": runtime,
        "policy": asdict(template.policy),
        "actions": [asdict(each) for each in template.actions],
        "authorized_roles": list(template.authorized_roles),
        "parameters": list(template.parameters),
        "outputs": list(template.outputs),
        "origin": template.origin,
        "driver": template.driver,
        "missing_driver": template.missing_driver,
    }
    return orjson.dumps(body).decode()


def _template(row: Row[Any]) -> Template:
    body: Mapping[str, Any] = orjson.loads(row.body)
    return Template(
        kind=ResourceKind(row.kind),
        name=row.name,
        version=row.version,
        parent=row.parent or None,
        title=row.title,
        description=body["description"],
        overview=body["overview"],
        schema=body["schema"],
        level=Level(body["level"]),
        isolation=frozenset(body["isolation"]),
        runtime=RuntimeNeeds(**body["runtime"]) if body["runtime"] else None,
        policy=Policy(**body["policy"]),
        actions=[TemplateAction(**each) for each in body["actions"]],
        authorized_roles=body["authorized_roles"],
        is_current=row.is_current,
        parameters=body.get("parameters", ()),
        outputs=body.get("outputs", ()),
        origin=body.get("origin", "carrel"),
        driver=body.get("driver", "local"),
        missing_driver=body.get("missing_driver", ""),
    )
