"""How do programs follow operations live? Server-sent events (HTML standard, 9.2)."""

from collections.abc import AsyncIterator, Callable, Sequence

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from carrel.core.actors import Actor
from carrel.core.clock import monotonic
from carrel.core.errors import CarrelError, Unavailable
from carrel.core.web import Authenticator
from carrel.workspaces.routes.shapes import operation_json
from carrel.workspaces.rules import Operation
from carrel.workspaces.service import Workspaces
from carrel.workspaces.streams import Follower

ALIVE_SECONDS = 10.0
"""A comment is sent at least so often, so that nobody between closes the stream, and so that
somebody who lost access by time is noticed."""
LONGEST_SECONDS = 600.0
"""Then the stream ends; a client that still cares comes back, and names what it saw last."""

Look = Callable[[Actor], Sequence[Operation]]


def follow_one(
    request: Request, workspaces: Workspaces, actor: Actor, operation_id: str
) -> StreamingResponse:
    """Send one operation whenever it changes, until it has ended.

    The id of an event is the operation's revision: a client that comes back with
    `Last-Event-ID` gets nothing twice.
    """
    workspaces.get_operation(actor, operation_id)  # refused before the stream begins

    def look(asking: Actor) -> Sequence[Operation]:
        return [workspaces.get_operation(asking, operation_id)]

    return _answer(_Stream(request, workspaces, actor, look, operation_id))


def follow_mine(request: Request, workspaces: Workspaces, actor: Actor) -> StreamingResponse:
    """Send every operation of the actor that runs, whenever it changes, and when it has ended.

    The id of an event is a time: a client that comes back with `Last-Event-ID` gets what changed
    since.
    """

    def look(asking: Actor) -> Sequence[Operation]:
        return workspaces.list_running_operations(asking)

    return _answer(_Stream(request, workspaces, actor, look, None))


def _answer(stream: "_Stream") -> StreamingResponse:
    return StreamingResponse(
        stream.events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class _Stream:
    """One client that follows."""

    def __init__(
        self,
        request: Request,
        workspaces: Workspaces,
        actor: Actor,
        look: Look,
        operation_id: str | None,
    ) -> None:
        self._request = request
        self._workspaces = workspaces
        self._actor = actor
        self._look = look
        self._operation_id = operation_id
        self._sent: dict[str, int] = {}
        last = request.headers.get("last-event-id", "")
        self._last_id = int(last) if last.isdigit() and len(last) < 20 else 0

    async def events(self) -> AsyncIterator[bytes]:
        """Yield events and comments until there is nothing more to say, or nobody to hear it."""
        try:
            with self._workspaces.streams.following(self._actor.id, self._operation_id) as one:
                async for chunk in self._follow(one):
                    yield chunk
        except Unavailable:
            return
        except CarrelError as error:  # access was lost, or too many follow: the reason is the end
            body = orjson.dumps({"detail": str(error), "status": error.status})
            yield b"event: refused\ndata: " + body + b"\n\n"

    async def _follow(self, follower: Follower) -> AsyncIterator[bytes]:
        ends_at = monotonic() + LONGEST_SECONDS
        while monotonic() < ends_at and not await self._request.is_disconnected():
            found = await run_in_threadpool(self._read)
            for operation in found:
                yield self._event(operation)
            if self._operation_id is not None and any(each.is_final for each in found):
                return
            if not await follower.wait(ALIVE_SECONDS):
                yield b": still here\n\n"

    def _read(self) -> list[Operation]:
        """Return what changed since it was last sent, for whoever the sender now is."""
        authenticator: Authenticator = self._request.app.state.authenticator
        asking = authenticator.authenticate(self._request)
        if asking is None or asking.id != self._actor.id:
            raise CarrelError("You are not signed in any more.")
        found = list(self._look(asking))
        if self._operation_id is None:  # those that have ended since are told of once more
            running = {each.id for each in found}
            ended = [each for each in self._sent if each not in running]
            found += [self._workspaces.get_operation(asking, each) for each in ended]
        return [each for each in found if self._is_new(each)]

    def _is_new(self, operation: Operation) -> bool:
        known = self._sent.get(operation.id)
        if operation.is_final and self._operation_id is None:
            self._sent.pop(operation.id, None)
        else:
            self._sent[operation.id] = operation.revision
        if known is None and self._event_id(operation) <= self._last_id:
            return operation.is_final
        return known != operation.revision

    def _event_id(self, operation: Operation) -> int:
        if self._operation_id is not None:
            return operation.revision
        return int(operation.updated_at.timestamp() * 1_000_000)

    def _event(self, operation: Operation) -> bytes:
        self._last_id = max(self._last_id, self._event_id(operation))
        body = orjson.dumps(operation_json(operation))
        return b"event: operation\nid: %d\ndata: %s\n\n" % (self._last_id, body)
