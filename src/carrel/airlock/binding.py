"""Which request is meant by an address, and may this person know of it? Asked before any route."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from anyio import from_thread
from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from carrel.airlock.rules import AirlockRequest
from carrel.airlock.service import Airlock
from carrel.airlock.service.records import no_request
from carrel.core.actors import Actor
from carrel.core.errors import InvalidRequest
from carrel.core.settings import Settings
from carrel.core.web import ActorDep, provide

AirlockDep = Annotated[Airlock, Depends(provide(Airlock))]

FORM_SPARE_BYTES = 2**20
"""What a form may hold besides its files."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A request that lies in the workspace of the address, and a member who asks for it."""

    airlock: Airlock
    actor: Actor
    request: AirlockRequest

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id


def bound(workspace_id: UUID, request_id: UUID, actor: ActorDep, airlock: AirlockDep) -> Bound:
    """Return the request of an address. Raises `NotFound` if it lies in another workspace."""
    request = airlock.get(actor, str(request_id))
    if request.workspace_id != str(workspace_id):
        raise no_request()
    return Bound(airlock, actor, request)


BoundDep = Annotated[Bound, Depends(bound)]


def check_form_size(request: Request) -> None:
    """Refuse a browser's form that is larger than any request, before anything of it is kept."""
    settings: Settings = request.app.state.settings
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > settings.request_bytes_limit + FORM_SPARE_BYTES:
        raise InvalidRequest(
            f"These files are larger than the {settings.request_bytes_limit} bytes that one "
            "request holds. Choose fewer, and raise a second request.",
            field="files",
        )


def pulled(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Yield an arriving body inside a worker thread, piece by piece.

    Raises `InvalidRequest` if the sender goes away in the middle.
    """
    while True:
        try:
            piece = from_thread.run(_next, stream)
        except ClientDisconnect as error:
            raise InvalidRequest(
                "The upload broke off. Nothing was kept; send it again."
            ) from error
        if piece is None:
            return
        yield piece


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)
