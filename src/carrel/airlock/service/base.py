"""What do all use cases of the airlock share: who may see a request, and how it moves."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import blake3
from sqlalchemy import Connection, update

from carrel.airlock import tables
from carrel.airlock.ports import Ground
from carrel.airlock.rules import (
    UNDER_REVIEW,
    AirlockPolicy,
    AirlockRequest,
    RequestFile,
    Status,
    check_move,
)
from carrel.airlock.rules.requests import part_of
from carrel.airlock.rules.states import IllegalMove
from carrel.airlock.service.records import count_approvals, load_request, no_request
from carrel.core.actors import Actor
from carrel.core.errors import Conflict, InvalidRequest, OutsideFailure
from carrel.core.ids import new_etag, new_id

CHUNK_BYTES = 1024 * 1024

SCAN = "airlock.scan"
DELIVER = "airlock.deliver"
FILE_AWAY = "airlock.file_away"
DISCARD = "airlock.discard"
WITHDRAW = "airlock.withdraw"
CLEAR_DESKS = "airlock.clear_desks"

WORK_OF = {
    Status.SUBMITTED: SCAN,
    Status.APPROVING: DELIVER,
    Status.REJECTING: FILE_AWAY,
    Status.BLOCKING: FILE_AWAY,
}
"""What a request in a state of Carrel's own waits for."""

TEXT_LIMIT = 10_000


class SealBroken(OutsideFailure):
    """A file is not what was sealed: nothing may cross."""

    code = "seal_broken"


class Room:
    """The ground under the use cases; see `Airlock` for the whole."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._database = ground.database
        self._audit = ground.audit
        self._clock = ground.clock
        self._queue = ground.queue
        self._store = ground.store
        self._boxes = ground.boxes

    @property
    def policy(self) -> AirlockPolicy:
        """The rules in force now, for hints; what was sealed keeps its own."""
        return self._ground.policy

    def _visible(
        self, connection: Connection, actor: Actor, request_id: str, *,
        lock: bool = False, whole: bool = True,
    ) -> AirlockRequest:  # fmt: skip
        """Return the request if the actor is a member of its workspace, else `NotFound`."""
        request = load_request(connection, request_id, lock=lock, whole=whole)
        if not (actor.is_system or actor.is_member(request.workspace_id)):
            raise no_request()
        return request

    def _record(
        self,
        connection: Connection,
        actor: Actor,
        action: str,
        request: AirlockRequest,
        **detail: Any,
    ) -> None:
        """Append an audit event about a request."""
        self._audit.append(
            connection,
            actor,
            f"airlock.{action}",
            request.id,
            workspace_id=request.workspace_id,
            **detail,
        )

    def _move(
        self,
        connection: Connection,
        actor: Actor,
        request: AirlockRequest,
        new: Status,
        message: str = "",
        **changes: Any,
    ) -> None:
        """Take a locked request to `new`, with its history row and its audit event.

        Raises `IllegalTransition`, `Denied`, or `Conflict` if somebody was faster.
        """
        check_move(request.status, new, part_of(actor, request))
        if new in {Status.APPROVING, Status.REJECTING}:
            check_reviewed(connection, request, new)
        now = self._clock.now()
        self._change(
            connection,
            actor,
            request,
            {"status": new.value, "status_message": message, "since": now, **changes},
        )
        connection.execute(
            tables.moves.insert(),
            {
                "id": new_id(),
                "request_id": request.id,
                "version": request.version + 1,
                "at": now,
                "actor_id": actor.id,
                "actor_name": actor.name,
                "old": request.status.value,
                "new": new.value,
                "message": message,
                "manifest_sha256": changes.get("manifest_sha256", request.manifest_sha256),
            },
        )
        has_ended = request.status in UNDER_REVIEW and new not in UNDER_REVIEW
        if has_ended and request.review_resources:
            self._clear_desks_soon(connection, request)
        self._record(
            connection,
            actor,
            new.value,
            request,
            was=request.status.value,
            type=request.type.value,
            manifest_sha256=changes.get("manifest_sha256", request.manifest_sha256),
            message=message,
        )

    def _change(
        self, connection: Connection, actor: Actor, request: AirlockRequest, changes: dict[str, Any]
    ) -> None:
        """Write columns of a request, if it is still the version that was read."""
        table = tables.requests
        done = connection.execute(
            update(table)
            .where(table.c.id == request.id, table.c.version == request.version)
            .values(
                updated_at=self._clock.now(),
                updated_by_id=actor.id,
                updated_by_name=actor.name,
                version=request.version + 1,
                etag=new_etag(),
                **changes,
            )
        )
        if done.rowcount != 1:
            raise Conflict("Somebody else changed this request a moment ago. Reload it and retry.")

    def _put_work(self, connection: Connection, kind: str, request: AirlockRequest) -> None:
        """Queue work for a request; one piece at a time runs per request."""
        payload = {"request": request.id, "workspace": request.workspace_id}
        self._queue.put(connection, kind, work_key(request.id), payload)

    def _clear_desks_soon(self, connection: Connection, request: AirlockRequest) -> None:
        """Queue the end of review resources, beside the request's own work and not before it."""
        payload = {"request": request.id, "workspace": request.workspace_id}
        self._queue.put(connection, CLEAR_DESKS, f"airlock-desks:{request.id}", payload)

    def _verify(self, request: AirlockRequest) -> None:
        """Raise `SealBroken` unless each file is what was sealed; one is open at a time."""
        for file in request.files:
            with self._store.open(request.id, file.stage, file.id) as content:
                check_seal(file, content)

    @contextmanager
    def _verified(self, request: AirlockRequest) -> Iterator[list[tuple[RequestFile, BinaryIO]]]:
        """Open every file, and yield them only if each is byte for byte what was sealed.

        What is read later comes from the same open file. Raises `SealBroken`.
        """
        with ExitStack() as stack:
            opened = [
                (file, stack.enter_context(self._store.open(request.id, file.stage, file.id)))
                for file in request.files
            ]
            for file, content in opened:
                check_seal(file, content)
            yield opened


def check_reviewed(connection: Connection, request: AirlockRequest, new: Status) -> None:
    """Raise `IllegalMove` unless the reviews are there that the policy of the seal wants.

    Whoever calls has asked already; this is asked of the rows, at the one place where all pass.
    """
    is_ready = request.reviewers == 1 or request.status is Status.REVIEWED
    needed = request.reviewers if new is Status.APPROVING else 0
    if not is_ready or count_approvals(connection, request) < needed:
        raise IllegalMove(
            f"This request needs {request.reviewers} reviews by people other than its author "
            "before it can be decided. Submit yours, or wait for the others."
        )


def limited_text(text: str, field: str) -> str:
    """Return what somebody wrote, without the space around it. Raises `InvalidRequest`."""
    stripped = text.strip()
    if len(stripped) > TEXT_LIMIT or "\x00" in stripped:
        raise InvalidRequest(
            f"The {field} must be text of at most {TEXT_LIMIT} characters.", field=field
        )
    return stripped


def work_key(request_id: str) -> str:
    """Return the key under which a request's work is queued, one piece at a time."""
    return f"airlock:{request_id}"


def check_seal(file: RequestFile, content: BinaryIO) -> None:
    """Raise `SealBroken` unless the content is what was sealed; leaves it at its beginning."""
    sha256, blake = hashlib.sha256(), blake3.blake3()
    content.seek(0)
    for chunk in chunks(content):
        sha256.update(chunk)
        blake.update(chunk)
    content.seek(0)
    found = (sha256.hexdigest(), blake.hexdigest() if file.blake3 else "")
    if found != (file.sha256, file.blake3):
        raise SealBroken(
            f"{file.name} is not the file that was sealed. Nothing crossed the boundary; tell an "
            "administrator, and raise a new request.",
            log_detail=f"file {file.id}: sealed {file.sha256} {file.blake3}, found {found}",
        )


def chunks(content: BinaryIO) -> Iterator[bytes]:
    """Yield a file in pieces."""
    while chunk := content.read(CHUNK_BYTES):
        yield chunk
