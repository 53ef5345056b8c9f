"""What does a worker do for the airlock? Scan, deliver, file away, discard; each may be repeated.

Every piece of work converges: killed at any point and started again, it ends in the same state. A
status is written in one transaction with the next piece of work, so no request is ever without
somebody who takes it further.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import Connection, delete, exists, select, update

from carrel.airlock import tables
from carrel.airlock.examining import InPlace, examine, outcome
from carrel.airlock.ports import Ground, Guard, Scanner, Subject
from carrel.airlock.rules import (
    DEADLINES,
    AirlockPolicy,
    AirlockRequest,
    Direction,
    Finding,
    RequestFile,
    Severity,
    Stage,
    Status,
    verdict_of,
)
from carrel.airlock.rules.differencing import Released
from carrel.airlock.rules.names import inbox_folder
from carrel.airlock.rules.sidecar import TableMeta
from carrel.airlock.service.base import (
    CLEAR_DESKS,
    DELIVER,
    DISCARD,
    FILE_AWAY,
    SCAN,
    WITHDRAW,
    WORK_OF,
    check_seal,
)
from carrel.airlock.service.publishing import Publishing
from carrel.airlock.service.records import load_policy, load_request
from carrel.airlock.service.remembering import read_released, released_before, remember
from carrel.core.actors import system
from carrel.core.errors import CarrelError, NotFound, Unavailable
from carrel.core.ids import new_id
from carrel.core.queue import LeaseLost, Queue, WorkItem, work_items

Taker = Callable[[WorkItem, Queue], None]

log = structlog.get_logger()

UNEXPECTED_ATTEMPTS = 5
LONGEST_PAUSE_SECONDS = 60.0
_FILED = {
    Status.REJECTING: (Status.REJECTED, Stage.REJECTED),
    Status.BLOCKING: (Status.BLOCKED, Stage.BLOCKED),
}


class AirlockWork(Publishing):
    """The work of the queue kinds `airlock.*`."""

    def __init__(self, ground: Ground, scanners: Sequence[Scanner] | Guard) -> None:
        super().__init__(ground)
        self._guard = InPlace(scanners) if isinstance(scanners, Sequence) else scanners
        self._actor = system("airlock")

    def takers(self) -> Mapping[str, Taker]:
        """Return what takes each kind of work."""
        steps = {
            SCAN: self._scan,
            DELIVER: self._deliver,
            FILE_AWAY: self._file_away,
            DISCARD: self._discard,
            WITHDRAW: self._withdraw,
        }
        guarded = {kind: self._guarded(step) for kind, step in steps.items()}
        return {**guarded, CLEAR_DESKS: self._clear_desks}

    def recover(self) -> int:
        """Queue the work of requests that wait for Carrel and have none; returns how many.

        Called when a worker starts; also removes what killed uploads left in the store.
        """
        self._store.remove_partial()
        table = tables.requests
        queued = exists().where(work_items.c.key == "airlock:" + table.c.id)
        with self._database.write() as connection:
            waiting = select(table.c.id).where(table.c.status.in_(list(WORK_OF)), ~queued)
            ids = list(connection.execute(waiting).scalars())
            for request_id in ids:
                request = load_request(connection, request_id, lock=True)
                self._put_work(connection, WORK_OF[request.status], request)
        return len(ids)

    # Scanning ------------------------------------------------------------------------------

    def _scan(self, item: WorkItem, queue: Queue) -> None:
        request = self._waiting(item, queue, Status.SUBMITTED)
        if request is None:
            return
        with self._database.read() as connection:
            policy = load_policy(connection, request)
        request = self._restaged(request, Stage.SEALED)
        self._verify(request)
        with self._guard.opened() as scanners:
            findings = [
                found
                for file in request.files
                for found in examine(scanners, self._subject(request, file, policy))
            ]
        with queue.fenced(item) as connection:
            self._write_stage(connection, request, Stage.SEALED)
            self._write_findings(connection, request, findings)
            self._note_scans(connection, request, scanners, findings)
            self._move(connection, self._actor, request, *outcome(findings))
            if verdict_of(findings) is Severity.BLOCK:
                self._put_work(connection, FILE_AWAY, request)
            queue.complete(connection, item)

    def _subject(
        self, request: AirlockRequest, file: RequestFile, policy: AirlockPolicy
    ) -> Subject:
        return Subject(
            name=file.name,
            direction=request.type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            open=lambda: self._store.open(request.id, file.stage, file.id),
            policy=policy,
            context=file.context,
            earlier=partial(self._earlier, request, file, policy),
        )

    def _earlier(
        self, request: AirlockRequest, file: RequestFile, policy: AirlockPolicy, meta: TableMeta
    ) -> Sequence[Released]:
        """Return the tables that left before, and those that would leave with this file."""
        with self._database.read() as connection:
            before = released_before(connection, request, meta)
        files = request.files[: request.files.index(file)]
        return [*before, *self._tables(replace(request, files=files), policy)]

    def _tables(self, request: AirlockRequest, policy: AirlockPolicy) -> Sequence[Released]:
        found = []
        for file in request.files:
            if "table" in file.context:
                with self._store.open(request.id, file.stage, file.id) as content:
                    found.append(read_released(file, content, policy))
        return [table for table in found if table is not None]

    def _write_findings(
        self, connection: Connection, request: AirlockRequest, findings: Sequence[Finding]
    ) -> None:
        table = tables.findings
        connection.execute(
            delete(table).where(table.c.request_id == request.id, table.c.seal == request.seal)
        )
        rows = [
            {
                "id": new_id(),
                "request_id": request.id,
                "seal": request.seal,
                "position": position,
                "file": found.file,
                "sha256": found.sha256,
                "scanner": found.scanner,
                "scanner_version": found.scanner_version,
                "rule": found.rule,
                "severity": found.severity.value,
                "sentence": found.sentence,
                "row": found.row,
                "column": found.column,
            }
            for position, found in enumerate(findings)
        ]
        if rows:
            connection.execute(table.insert(), rows)

    # Delivering and filing away ------------------------------------------------------------

    def _deliver(self, item: WorkItem, queue: Queue) -> None:
        request = self._waiting(item, queue, Status.APPROVING)
        if request is None:
            return
        request = self._restaged(request, Stage.APPROVED)
        if request.type is Direction.IMPORT:
            self._deliver_import(request)
            leaving: Sequence[Released] = ()
        else:
            self._verify(request)
            with self._database.read() as connection:
                policy = load_policy(connection, request)
            leaving = self._tables(request, policy)
        with queue.fenced(item) as connection:
            self._write_stage(connection, request, Stage.APPROVED)
            remember(connection, request, leaving, self._clock.now())
            self._move(connection, self._actor, request, Status.APPROVED, request.status_message)
            if request.type is Direction.EXPORT:
                self._publish(connection, request.id)
            queue.complete(connection, item)

    def _deliver_import(self, request: AirlockRequest) -> None:
        folder = inbox_folder(request.title, request.id)
        with self._verified(request) as opened:
            try:
                for file, content in opened:
                    self._boxes.deliver_inbox(
                        request.workspace_id, f"{folder}/{file.name}", content
                    )
                    check_seal(file, content)
            except NotFound as error:
                raise Unavailable(
                    "The workspace is not ready to take files; delivery goes on when it is."
                ) from error
            except Unavailable:
                raise
            except CarrelError:
                self._boxes.remove_inbox(request.workspace_id, folder)
                raise

    def _file_away(self, item: WorkItem, queue: Queue) -> None:
        request = self._waiting(item, queue, *_FILED)
        if request is None:
            return
        status, stage = _FILED[request.status]
        request = self._restaged(request, stage)
        with queue.fenced(item) as connection:
            self._write_stage(connection, request, stage)
            self._move(connection, self._actor, request, status, request.status_message)
            queue.complete(connection, item)

    # Taking away ---------------------------------------------------------------------------

    def _discard(self, item: WorkItem, queue: Queue) -> None:
        self._store.drop(item.payload["request"])
        with queue.fenced(item) as connection:
            queue.complete(connection, item)

    def _withdraw(self, item: WorkItem, queue: Queue) -> None:
        request = self._waiting(item, queue, Status.REVOKED)
        if request is None:
            return
        folder = inbox_folder(request.title, request.id)
        self._boxes.remove_inbox(request.workspace_id, folder)
        with queue.fenced(item) as connection:
            self._record(connection, self._actor, "withdrawn", request)
            queue.complete(connection, item)

    def _clear_desks(self, item: WorkItem, queue: Queue) -> None:
        with queue.fenced(item) as connection:
            request = self._find(connection, item)
            if request is None:
                queue.complete(connection, item)
                return
        try:
            for desk in request.review_resources:
                self._ground.desks.remove(desk)
        except CarrelError as error:  # the request itself goes its way all the same
            log.warning("airlock.desk_stays", error=str(error), detail=error.log_detail)
            with queue.fenced(item) as connection:
                self._again(connection, item, queue)
            return
        with queue.fenced(item) as connection:
            self._record(connection, self._actor, "review_resources_removed", request)
            queue.complete(connection, item)

    # Shared --------------------------------------------------------------------------------

    def _waiting(self, item: WorkItem, queue: Queue, *statuses: Status) -> AirlockRequest | None:
        """Return the item's request if it waits for this work; otherwise drop the item."""
        with queue.fenced(item) as connection:
            try:
                request = load_request(connection, item.payload["request"])
            except NotFound:
                request = None
            if request is not None and request.status in statuses:
                return request
            queue.complete(connection, item)
        return None

    def _restaged(self, request: AirlockRequest, stage: Stage) -> AirlockRequest:
        """Move every file to `stage`; files moved by a killed worker are found there."""
        for file in request.files:
            if file.stage is not stage:
                self._store.move(request.id, file.id, file.stage, stage)
        moved = replace(request, files=[replace(file, stage=stage) for file in request.files])
        listed = {(stage, file.id) for file in request.files}
        for found in self._store.objects(request.id):
            if found not in listed:  # what a killed upload or a replaced file left
                self._store.delete(request.id, *found)
        return moved

    def _write_stage(self, connection: Connection, request: AirlockRequest, stage: Stage) -> None:
        connection.execute(
            update(tables.files)
            .where(tables.files.c.request_id == request.id)
            .values(stage=stage.value)
        )

    def _guarded(self, step: Taker) -> Taker:
        def take(item: WorkItem, queue: Queue) -> None:
            try:
                step(item, queue)
            except LeaseLost:
                raise
            except CarrelError as error:
                self._failed(item, queue, error)
            except Exception as error:  # a bug: no request may wait for ever because of it
                log.exception("airlock.unexpected", kind=item.kind, request=item.payload["request"])
                self._failed(item, queue, _unexpected(item, error))

        return take

    def _failed(self, item: WorkItem, queue: Queue, error: CarrelError) -> None:
        """Try again later, or end in the state that the rules name."""
        log.warning("airlock.failed", kind=item.kind, error=str(error), detail=error.log_detail)
        with queue.fenced(item) as connection:
            request = self._find(connection, item)
            deadline = DEADLINES.get(request.status) if request else None
            if request is None or deadline is None:
                self._again(connection, item, queue)
                return
            late = self._clock.now() - request.since > timedelta(seconds=deadline.seconds)
            if isinstance(error, Unavailable) and not late:
                self._note(connection, request, str(error))
                self._again(connection, item, queue)
                return
            new, why = Status.FAILED, str(error)
            if isinstance(error, Unavailable):
                new, why = deadline.then, deadline.sentence
            self._move(connection, self._actor, request, new, why)
            queue.complete(connection, item)

    def _find(self, connection: Connection, item: WorkItem) -> AirlockRequest | None:
        try:
            return load_request(connection, item.payload["request"], lock=True)
        except NotFound:
            return None

    def _again(self, connection: Connection, item: WorkItem, queue: Queue) -> None:
        pause = min(2.0 ** min(item.attempts - 1, 10), LONGEST_PAUSE_SECONDS)
        queue.postpone(connection, item, delay_seconds=pause)

    def _note(self, connection: Connection, request: AirlockRequest, message: str) -> None:
        """Tell people why it takes longer; the request stays the version it is."""
        connection.execute(
            update(tables.requests)
            .where(tables.requests.c.id == request.id)
            .values(status_message=message)
        )


def _unexpected(item: WorkItem, error: Exception) -> CarrelError:
    sentence = "Something unexpected went wrong; tell an administrator."
    kind = Unavailable if item.attempts < UNEXPECTED_ATTEMPTS else CarrelError
    return kind(sentence, log_detail=repr(error))
