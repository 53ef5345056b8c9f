"""How does a workspace or service come by its range of addresses?

The range is noted in the transaction that makes the resource, and in which nobody else asks for
anything; so no two overlap, however many are made at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.errors import BadRequest
from carrel.workspaces.addresses import (
    CUSTOM,
    DEFAULT_SIZE,
    custom_network,
    free_network,
    prefix_of,
    span,
)
from carrel.workspaces.rules import Resource, ResourceKind
from carrel.workspaces.service.base import Room
from carrel.workspaces.service.given import ADDRESS, ADDRESS_SIZE, ADDRESSES
from carrel.workspaces.store import change_version, find_resource, person, taken_spans


def choose_range(
    room: Room, connection: Connection, resource: Resource
) -> tuple[IPv4Network, Mapping[str, Any]]:
    """Return a free range for a new resource, and the properties that say so.

    Raises `InvalidRequest` for an unknown size or a custom range that cannot be, `Conflict` if
    none is left.
    """
    taken = [*taken_spans(connection), span(room.settings.core_address_space)]
    size = str(resource.properties.get(ADDRESS_SIZE, DEFAULT_SIZE)).lower()
    if size == CUSTOM:
        network = custom_network(resource.properties.get(ADDRESS), taken)
    else:
        network = free_network(taken, room.settings.workspace_address_pool, prefix_of(size))
    if resource.kind is ResourceKind.WORKSPACE:
        return network, {ADDRESS: str(network), ADDRESSES: [str(network)]}
    return network, {ADDRESS: str(network)}


def tell_workspace(
    room: Room, connection: Connection, actor: Actor, service: Resource, network: IPv4Network
) -> None:
    """Add a new service's range to its workspace's `address_spaces`, as a change of it.

    Raises `BadRequest` if the workspace has no such property.
    """
    workspace = find_resource(connection, service.workspace_id or "", is_locked=True)
    held = workspace.properties.get(ADDRESSES) if workspace else None
    if workspace is None or not isinstance(held, list):
        raise BadRequest(
            "The workspace has no property address_spaces, so this service cannot have a range "
            "of addresses in it. Upgrade the workspace to a template version that has one.",
            field=f"properties.{ADDRESS}",
        )
    changed = replace(
        workspace,
        properties={**workspace.properties, ADDRESSES: [*held, str(network)]},
        updated_at=room.clock.now(),
        updated_by=person(actor),
    )
    saved = change_version(connection, workspace, changed)
    room.note(
        connection, actor, saved, "changed", changed=[ADDRESSES], version=saved.version,
        service=service.id,
    )  # fmt: skip
