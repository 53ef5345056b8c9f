"""What do a resource's properties become when a patch is put over them?

Secrets are put back before the schema looks at the whole, and masked again afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from carrel.core.errors import BadRequest, NotFound
from carrel.workspaces.masking import kept, masked, picked, unmasked
from carrel.workspaces.rules import Resource, Template
from carrel.workspaces.schemas import InvalidProperties, changed_properties
from carrel.workspaces.service.base import Room
from carrel.workspaces.service.given import SYSTEM_NAMES, given_by_carrel, known_to_schema
from carrel.workspaces.service.limits import check_host_has
from carrel.workspaces.service.rehearsal import PlannedChange, property_changes
from carrel.workspaces.service.secrets import (
    changed_secret_names,
    check_no_mask,
    secret_pointers,
)
from carrel.workspaces.store import read_secrets


class UnknownVersion(BadRequest, NotFound):
    """The version of the template is not registered, or nobody may use it any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of properties."""

    shown: Mapping[str, Any]
    """The properties with every secret masked: what is kept in the resource."""
    secrets: Mapping[str, Any] | None = None
    """The secrets by JSON pointer; None if they stay as they are."""
    secret_names: frozenset[str] = frozenset()
    """Properties of which a secret differs, although its mask does not."""
    dropped: tuple[str, ...] = ()
    """Properties that the template has no place for any more."""

    def names(self, old: Resource) -> list[str]:
        """Return the names of the properties that differ, sorted."""
        return [each.name for each in self.planned(old)]

    def planned(self, old: Resource) -> list[PlannedChange]:
        """Return what differs, masked."""
        return property_changes(old.properties, self.shown, self.secret_names)


def merge(
    room: Room,
    connection: Connection,
    old: Resource,
    new: Resource,
    patch: Mapping[str, Any] | None,
) -> Change:
    """Return what a patch, or another template version in `new`, makes of `old`'s properties.

    Validated against the version in `new`. Raises `UnknownVersion`, `InvalidProperties`.
    """
    target = _target(room, connection, old, new)
    is_upgrade = new.template_version != old.template_version
    if patch is None and not is_upgrade:
        return Change(old.properties)
    secrets = read_secrets(connection, room.keys, old.id)
    full = unmasked(old.properties, secrets)
    own = known_to_schema(target, full)
    wanted = _with_secrets(old, full, patch or {})
    former = room.catalogue.of(connection, old).schema if is_upgrade else None
    merged = changed_properties(target.schema, own, wanted, former=former)
    check_no_mask(target.schema, merged)
    check_host_has(room, target, merged, full)
    whole = {**merged, **given_by_carrel(old)}
    places = secret_pointers(target.schema, whole, before=secrets)
    after = picked(whole, places)
    return Change(
        shown=masked(whole, after),
        secrets=after,
        secret_names=changed_secret_names(secrets, after),
        dropped=tuple(sorted(set(full) - set(whole))),
    )


def _target(room: Room, connection: Connection, old: Resource, new: Resource) -> Template:
    found = room.catalogue.find(
        connection, new.kind, new.template_parent, new.template_name, new.template_version
    )
    if found is None:
        raise UnknownVersion(
            f"Version {new.template_version} of the template {new.template_name} is not "
            "registered. Look at the template for its versions.",
            field="templateVersion",
        )
    is_upgrade = new.template_version != old.template_version
    if is_upgrade and (found.is_withdrawn or found.missing_driver):
        raise UnknownVersion(
            f"Version {new.template_version} of the template {new.template_name} cannot be used: "
            f"{found.withdrawal or found.missing_driver}",
            field="templateVersion",
        )
    return found


def _with_secrets(
    old: Resource, full: Mapping[str, Any], patch: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a patch with kept secrets in the place of their masks, and nothing Carrel's own.

    Raises `InvalidProperties` if it changes what Carrel gives.
    """
    wanted: dict[str, Any] = kept(dict(patch), dict(old.properties), dict(full))
    ours = SYSTEM_NAMES[old.kind] & wanted.keys()
    if foreign := sorted(name for name in ours if wanted[name] != full.get(name)):
        raise InvalidProperties(
            [(name, f"{name} is given by Carrel and cannot be changed.") for name in foreign]
        )
    return {name: value for name, value in wanted.items() if name not in ours}
