"""How does a person get from the portal to a tool? With a ticket that works once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from carrel.core.actors import Actor
from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import Denied, NotAuthenticated
from carrel.core.ids import fingerprint, new_secret
from carrel.core.settings import Settings
from carrel.gateway.ports import Endpoints
from carrel.gateway.rules import TICKET_SECONDS
from carrel.gateway.tables import gateway_tickets
from carrel.gateway.volumes import Volume


@dataclass(frozen=True, slots=True)
class Entry:
    """Whose session may enter which tool, from a ticket."""

    session_id: str
    workspace_id: str
    resource_id: str


class Entrance:
    """The use cases of the gateway room; the only writer of its tickets."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        clock: Clock,
        settings: Settings,
        endpoints: Endpoints,
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._endpoints = endpoints

    def launch(self, actor: Actor, resource_id: str) -> str:
        """Return an address that opens the actor's tool once, within 30 seconds.

        Raises what `Endpoints.endpoint_for` raises.
        """
        if actor.session_id is None:
            raise Denied("Only a signed-in person can open a tool.")
        endpoint = self._endpoints.endpoint_for(actor, resource_id)
        ticket = new_secret()
        now = self._clock.now()
        with self._database.write() as connection:
            connection.execute(gateway_tickets.delete().where(gateway_tickets.c.expires_at <= now))
            connection.execute(
                gateway_tickets.insert(),
                {
                    "ticket_hash": fingerprint(ticket),
                    "session_id": actor.session_id,
                    "workspace_id": endpoint.workspace_id,
                    "resource_id": resource_id,
                    "expires_at": now + timedelta(seconds=TICKET_SECONDS),
                },
            )
            self._audit.append(
                connection,
                actor,
                "tool.opened",
                resource_id,
                workspace_id=endpoint.workspace_id,
                session=actor.session_id,
            )
        return f"{self._settings.gateway_url(endpoint.workspace_id)}/enter?ticket={ticket}"

    def redeem(self, ticket: str) -> Entry:
        """Return what the ticket is for, and make it worthless. Raises `NotAuthenticated`."""
        wanted = gateway_tickets.c.ticket_hash == fingerprint(ticket)
        with self._database.write() as connection:
            row = connection.execute(
                gateway_tickets.delete().where(wanted).returning(gateway_tickets)
            ).one_or_none()
        if row is None or row.expires_at <= self._clock.now():
            raise NotAuthenticated(
                "This link to the tool was used before or is too old. "
                "Open the tool from the portal again."
            )
        return Entry(row.session_id, row.workspace_id, row.resource_id)

    def record_refusal(
        self, actor: Actor, workspace_id: str, resource_id: str, *, path: str
    ) -> None:
        """Record that a closed way in or out was tried. `path` is the route, not the file."""
        with self._database.write() as connection:
            self._audit.append(
                connection,
                actor,
                "tool.transfer_refused",
                resource_id,
                workspace_id=workspace_id,
                route=path,
            )

    def record_volumes(self, volumes: Sequence[Volume]) -> None:
        """Record which sessions received much data from a tool within an hour."""
        if not volumes:
            return
        with self._database.write() as connection:
            for volume in volumes:
                self._audit.append(
                    connection,
                    volume.actor,
                    "tool.much_received",
                    volume.resource_id,
                    workspace_id=volume.workspace_id,
                    session=volume.actor.session_id,
                    bytes=volume.received_bytes,
                )
