"""How do people watch an operation live, cancel it, or try it again?"""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from carrel.core.clock import monotonic
from carrel.core.errors import NotFound, TooManyRequests
from carrel.core.web import see_other
from carrel.workspaces.access import may_open
from carrel.workspaces.pages.desk import Desk, DeskDep
from carrel.workspaces.pages.views import KIND_NAMES, operation_title, page_of
from carrel.workspaces.rules import Operation, Power, Resource
from carrel.workspaces.streams import Follower

router = APIRouter(prefix="/operations/{operation_id}")

LOOK_SECONDS = 5.0
"""So often at least it looks whether the browser is still there."""
STREAM_SECONDS = 45.0
"""Then the browser connects again, and its session is checked again."""


@router.get("")
def show_operation(desk: DeskDep, operation_id: str) -> Response:
    """Show an operation with its steps."""
    operation = desk.workspaces.get_operation(desk.actor, operation_id)
    return desk.page("workspaces/operation.html", **_values(desk, operation))


@router.get("/stream")
def stream_operation(desk: DeskDep, operation_id: str) -> Response:
    """Send the live part of the page whenever it changed (server-sent events, HTML standard)."""
    desk.workspaces.get_operation(desk.actor, operation_id)
    return StreamingResponse(_events(desk, operation_id), media_type="text/event-stream")


@router.post("/cancel")
def cancel(desk: DeskDep, operation_id: str) -> Response:
    """Ask the operation to stop and undo what it made."""
    desk.workspaces.cancel_operation(desk.actor, operation_id)
    return see_other(f"/operations/{operation_id}")


@router.post("/retry")
def retry(desk: DeskDep, operation_id: str) -> Response:
    """Try a failed operation again."""
    operation = desk.workspaces.retry_operation(desk.actor, operation_id)
    return see_other(f"/operations/{operation.id}")


async def _events(desk: Desk, operation_id: str) -> AsyncIterator[str]:
    yield "retry: 500\n\n"
    try:
        with desk.workspaces.streams.following(desk.actor.id, operation_id) as follower:
            async for event in _followed(desk, operation_id, follower):
                yield event
    except TooManyRequests:  # the browser asks again, and another page may be closed by then
        return


async def _followed(desk: Desk, operation_id: str, follower: Follower) -> AsyncIterator[str]:
    deadline, sent = monotonic() + STREAM_SECONDS, ""
    while monotonic() < deadline and not await desk.request.is_disconnected():
        part, is_final = await run_in_threadpool(_part, desk, operation_id)
        if part != sent:
            sent = part
            yield "event: part\n" + "".join(f"data: {line}\n" for line in part.split("\n")) + "\n"
        if is_final:
            yield "event: end\ndata:\n\n"
            return
        await follower.wait(LOOK_SECONDS)


def _part(desk: Desk, operation_id: str) -> tuple[str, bool]:
    """Return the live part as HTML, and whether it changes no more."""
    operation = desk.workspaces.get_operation(desk.actor, operation_id)
    page = desk.page("workspaces/_operation.html", **_values(desk, operation))
    return bytes(page.body).decode(), operation.is_final


def _find(desk: Desk, operation: Operation) -> Resource | None:
    try:
        return desk.workspaces.get_resource(desk.actor, operation.resource_id)
    except NotFound:
        return None


def _values(desk: Desk, operation: Operation) -> dict[str, Any]:
    resource = _find(desk, operation)
    is_running = resource is not None and resource.power is Power.RUNNING
    return {
        "operation": operation,
        "resource": resource,
        "title": operation_title(operation, resource),
        "page": page_of(resource) if resource else "/",
        "kind": KIND_NAMES[resource.kind] if resource else "resource",
        "can_open": is_running and resource is not None and may_open(desk.actor, resource),
        "seconds": (operation.updated_at - operation.created_at).total_seconds(),
    }
