"""How do programs follow what was released: the key, the tickets?"""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from carrel.airlock.binding import AirlockDep, BoundDep
from carrel.airlock.rules.requests import HeldTicket
from carrel.airlock.verifying import fingerprint_of
from carrel.workspaces.routes.shapes import person_json
from carrel.workspaces.rules import Person

router = APIRouter(tags=["airlock"])
_REQUEST = "/workspaces/{workspace_id}/requests/{request_id}"


@router.get("/airlock/signing-key")
def show_signing_key(airlock: AirlockDep) -> dict[str, Any]:
    """Return the public key that releases are signed with; open to everybody."""
    key = airlock.signing_key()
    return {"algorithm": "ed25519", "publicKey": key, "sha256": fingerprint_of(key.encode())}


@router.get(f"{_REQUEST}/tickets")
def show_tickets(bound: BoundDep) -> dict[str, Any]:
    """Return the tickets to a release: yours, or all to an owner and a reviewer."""
    found = bound.airlock.tickets(bound.actor, bound.id)
    return {"tickets": [_ticket(ticket) for ticket in found]}


@router.delete(f"{_REQUEST}/tickets/{{ticket_id}}", status_code=204)
def revoke_ticket(ticket_id: UUID, bound: BoundDep) -> Response:
    """End a ticket before it is used."""
    bound.airlock.revoke_ticket(bound.actor, bound.id, str(ticket_id))
    return Response(status_code=204)


def _ticket(ticket: HeldTicket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "holder": person_json(Person(ticket.holder_id, ticket.holder_name)),
        "state": ticket.state,
        "madeWhen": ticket.made_at.timestamp(),
        "expiresWhen": ticket.expires_at.timestamp(),
        "endedWhen": ticket.ended_at and ticket.ended_at.timestamp(),
    }
