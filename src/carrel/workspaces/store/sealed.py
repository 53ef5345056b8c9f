"""How do secret properties and address ranges get into their tables, and out of them?"""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from carrel.core.database import canonical_json
from carrel.core.secrets import KeyRing
from carrel.workspaces.addresses import Span, span
from carrel.workspaces.rules import Resource
from carrel.workspaces.tables import address_ranges, resource_secrets


def read_secrets(connection: Connection, keys: KeyRing, resource_id: str) -> dict[str, Any]:
    """Return the secret values of a resource, by JSON pointer."""
    query = select(resource_secrets).where(resource_secrets.c.resource_id == resource_id)
    return {
        row.pointer: orjson.loads(
            keys.decrypt(row.sealed, context=_context(resource_id, row.pointer))
        )
        for row in connection.execute(query)
    }


def write_secrets(
    connection: Connection, keys: KeyRing, resource_id: str, values: Mapping[str, Any]
) -> None:
    """Keep exactly these secret values of a resource, by JSON pointer, each sealed by itself."""
    forget_secrets(connection, resource_id)
    for pointer, value in values.items():
        text = canonical_json(value)
        sealed = keys.encrypt(text, context=_context(resource_id, pointer))
        connection.execute(
            resource_secrets.insert(),
            {"resource_id": resource_id, "pointer": pointer, "sealed": sealed},
        )


def forget_secrets(connection: Connection, resource_id: str) -> None:
    """Erase the secret values of a resource."""
    mine = resource_secrets.c.resource_id == resource_id
    connection.execute(delete(resource_secrets).where(mine))


def _context(resource_id: str, pointer: str) -> str:
    return f"{resource_id}:{pointer}"


def taken_spans(connection: Connection) -> list[Span]:
    """Return every range that a living resource holds."""
    query = select(address_ranges.c.first, address_ranges.c.last)
    return [(row.first, row.last) for row in connection.execute(query)]


def write_range(connection: Connection, resource: Resource, network: IPv4Network) -> None:
    """Note that a resource holds a range."""
    first, last = span(network)
    connection.execute(
        address_ranges.insert(),
        {
            "resource_id": resource.id,
            "workspace_id": resource.workspace_id or resource.id,
            "cidr": str(network),
            "first": first,
            "last": last,
        },
    )


def give_back_range(connection: Connection, resource_id: str) -> str:
    """Give a resource's range back; returns it, or "" if it held none."""
    mine = address_ranges.c.resource_id == resource_id
    cidr = connection.execute(select(address_ranges.c.cidr).where(mine)).scalar_one_or_none()
    connection.execute(delete(address_ranges).where(mine))
    return cidr or ""
