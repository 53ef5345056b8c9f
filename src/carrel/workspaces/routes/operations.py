"""How do programs follow, cancel and retry operations?"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from carrel.core.actors import Actor
from carrel.core.clock import monotonic
from carrel.core.errors import NotFound
from carrel.core.web import ActorDep, Audience, answers_once, for_audience
from carrel.workspaces.routes.bodies import WorkspacesDep
from carrel.workspaces.routes.shapes import accepted, answer, operation_json
from carrel.workspaces.rules import Operation
from carrel.workspaces.service import Workspaces

router = APIRouter(tags=["operations"])

LOOK_SECONDS = 0.2
ALIVE_SECONDS = 15.0
"""A comment is sent at least so often, so that nobody between closes the stream."""
LONGEST_SECONDS = 600.0
"""Then the stream ends; a client that still cares comes back."""


@router.get("/operations/{operation_id}")
@for_audience(Audience.CORE, with_memberships=True)
def get_operation(operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Return an operation with its steps, also after its resource is gone."""
    found = workspaces.get_operation(actor, str(operation_id))
    return answer({"operation": operation_json(found)})


@router.post("/operations/{operation_id}/cancel", status_code=202)
def cancel_operation(operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Stop an operation between two steps and remove what it had made."""
    return accepted(workspaces.cancel_operation(actor, str(operation_id)))


@router.post("/operations/{operation_id}/retry", status_code=202)
def retry_operation(operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Try a failed operation again from its first step."""
    return accepted(workspaces.retry_operation(actor, str(operation_id)))


@router.get("/operations/{operation_id}/events")
@answers_once
@for_audience(Audience.CORE, with_memberships=True)
def follow_operation(
    operation_id: UUID, request: Request, actor: ActorDep, workspaces: WorkspacesDep
) -> StreamingResponse:
    """Send the operation as a server-sent event whenever it changes, until it has ended."""
    first = workspaces.get_operation(actor, str(operation_id))
    return StreamingResponse(
        _events(request, workspaces, actor, first),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    request: Request, workspaces: Workspaces, actor: Actor, operation: Operation
) -> AsyncIterator[bytes]:
    shown, ends_at, quiet_since = b"", monotonic() + LONGEST_SECONDS, monotonic()
    while True:
        body = orjson.dumps(operation_json(operation))
        if body != shown:
            shown, quiet_since = body, monotonic()
            yield b"event: operation\ndata: " + body + b"\n\n"
        if operation.is_final or monotonic() > ends_at or await request.is_disconnected():
            return
        if monotonic() - quiet_since > ALIVE_SECONDS:
            quiet_since = monotonic()
            yield b": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)
        try:
            operation = await run_in_threadpool(workspaces.get_operation, actor, operation.id)
        except NotFound:
            return
