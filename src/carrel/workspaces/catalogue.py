"""Which templates does this TRE know, in which versions?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select, update

from carrel.core.errors import Conflict, NotFound
from carrel.runtime.ports import Level
from carrel.workspaces.drivers import DriverMap
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

_TESTING = "testing"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{0,64}")
"""What a name or version may look like at all; anything else is not found unasked."""
_Key = tuple[str, str, str, str]


_STATE = (templates.c.is_current, templates.c.channel, templates.c.withdrawal)
"""What of a registered version may change."""


class Catalogue:
    """The table of templates; what a version describes is remembered once it was used."""

    def __init__(self, drivers: DriverMap | None = None) -> None:
        self._known: dict[_Key, Template] = {}
        self._drivers = drivers or DriverMap()

    def find(
        self, connection: Connection, kind: ResourceKind, parent: str, name: str, version: str
    ) -> Template | None:
        """Return one version of a template as it is offered now, or None."""
        key = (kind.value, parent, name, version)
        if not all(_PLAIN.fullmatch(part) for part in key):
            return None
        row = connection.execute(select(*_STATE).where(*_is(key))).one_or_none()
        found = self._read(connection, key) if row else None
        return _with_state(found, row) if found and row else None

    def _read(self, connection: Connection, key: _Key) -> Template | None:
        """Return a version without looking whether it is current, in testing or withdrawn."""
        if key not in self._known:
            row = connection.execute(select(templates).where(*_is(key))).one_or_none()
            if row is None:
                return None
            self._known[key] = self._drivers.apply(_template(row))
        return self._known[key]

    def of(self, connection: Connection, resource: Resource) -> Template:
        """Return what a resource was made from: all of it but how it is offered now."""
        found = self._read(
            connection,
            (
                resource.kind.value,
                resource.template_parent,
                resource.template_name,
                resource.template_version,
            ),
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
                "Could not retrieve the template with this name, or name-version pair. "
                f"There is no {kind} template named {name!r} in use; look at the list."
            )
        return found

    def list_current(
        self, connection: Connection, kind: ResourceKind, parent: str | None = None
    ) -> Sequence[Template]:
        """Return the current templates of a kind, by title."""
        query = select(templates).where(templates.c.kind == kind, templates.c.is_current)
        if parent is not None:
            query = query.where(templates.c.parent == parent)
        rows = connection.execute(query.order_by(templates.c.title, templates.c.name))
        return [self._drivers.apply(_template(row)) for row in rows]

    def list_all_versions(
        self, connection: Connection, kind: ResourceKind, parent: str, name: str
    ) -> Sequence[Template]:
        """Return every registered version of a template, lowest first."""
        query = select(templates).where(*_is((kind.value, parent, name)))
        found = [self._drivers.apply(_template(row)) for row in connection.execute(query)]
        return sorted(found, key=lambda each: parse_version(each.version))

    def list_versions(
        self, connection: Connection, kind: ResourceKind, parent: str, name: str
    ) -> Sequence[str]:
        """Return the versions that resources may go to, lowest first: none in testing."""
        query = select(templates.c.version).where(
            *_is((kind.value, parent, name)),
            templates.c.channel.is_distinct_from(_TESTING),
            templates.c.withdrawal.is_(None),
        )
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

        The first version of a name is always current, but for one that is only to be tested.
        Raises `Conflict` if it is known.
        """
        key = _key(template)
        if connection.execute(select(templates.c.version).where(*_is(key))).first():
            raise Conflict(
                "A template with the same version, or a newer version already exists. Version "
                f"{template.version} of {template.name} is registered: give the changed bundle a "
                "new version."
            )
        named = _is(key[:3])
        used = connection.execute(
            select(templates.c.version).where(*named, templates.c.is_current)
        ).first()
        is_current = template.channel != _TESTING and (is_current or used is None)
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
                "channel": template.channel,
            },
        )
        return is_current

    def withdraw(self, connection: Connection, template: Template, reason: str) -> Template | None:
        """Let nothing new be made of a version; returns the version that is current afterwards.

        If it was the current one, the highest that is neither withdrawn nor in testing follows.
        """
        key = _key(template)
        change = update(templates).where(*_is(key))
        connection.execute(change.values(withdrawal=reason, is_current=False))
        named = (template.kind, key[1], template.name)
        if template.is_current and (left := self.list_versions(connection, *named)):
            self._make_current(connection, (*key[:3], left[-1]))
        versions = self.list_all_versions(connection, *named)
        return next((each for each in versions if each.is_current), None)

    def promote(self, connection: Connection, template: Template) -> None:
        """Make a version the current one of its name, out of testing and back if withdrawn."""
        self._make_current(connection, _key(template))

    def _make_current(self, connection: Connection, key: _Key) -> None:
        connection.execute(update(templates).where(*_is(key[:3])).values(is_current=False))
        values = {"is_current": True, "channel": "current", "withdrawal": None}
        connection.execute(update(templates).where(*_is(key)).values(**values))

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
        known = self.list_all_versions(connection, template.kind, key[1], template.name)
        mine = parse_version(key[3])
        is_newest = all(parse_version(each.version) < mine for each in known)
        self.add(connection, template, now=now, is_current=is_newest)
        return "added"


def _with_state(template: Template, row: Any) -> Template:
    return replace(
        template,
        is_current=row.is_current,
        channel=row.channel or "current",
        withdrawal=row.withdrawal or "",
    )


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
        "effects": dict(template.effects),
    }
    return orjson.dumps(body).decode()


def _template(row: Row[Any]) -> Template:
    body: Mapping[str, Any] = orjson.loads(row.body)
    template = Template(
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
        parameters=body.get("parameters", ()),
        outputs=body.get("outputs", ()),
        origin=body.get("origin", "carrel"),
        driver=body.get("driver", "local"),
        missing_driver=body.get("missing_driver", ""),
        effects=body.get("effects", {}),
    )
    return _with_state(template, row)
