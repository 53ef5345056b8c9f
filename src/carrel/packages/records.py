"""What do the doors for software write down? The only writer of this room's tables."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock

from sqlalchemy import Connection, Table, delete, func, select, update

from carrel.core.actors import system
from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database, add_up
from carrel.core.ids import new_id
from carrel.core.paging import Page, Wanted, ordered, page_of
from carrel.packages.egress_rules import ProxyAsk
from carrel.packages.rules import IndexFile
from carrel.packages.tables import (
    egress_bytes,
    egress_log,
    package_bytes,
    package_downloads,
    package_misses,
)

ACTOR = system("packages")
OPEN = "open"
"""The outcome of a connection that has not ended."""
MISS_WINDOW = timedelta(hours=24)
"""A name that upstream did not know is not asked for again, and counts, for this long."""
AGGREGATE_WINDOW = timedelta(minutes=10)
"""At most one audit event per workspace and class of refusal in this time."""


class DownloadOrder(StrEnum):
    """What the list of downloads may be sorted by."""

    FIRST = "first_at"
    NAME = "name"


class ContactOrder(StrEnum):
    """What the list of connections may be sorted by."""

    AT = "at"
    HOST = "host"


DOWNLOADS = Wanted(DownloadOrder.FIRST, is_ascending=False)
CONTACTS = Wanted(ContactOrder.AT, is_ascending=False)


@dataclass(frozen=True, slots=True)
class Download:
    """The first download of a file by a workspace."""

    workspace_id: str
    ecosystem: str
    name: str
    version: str
    filename: str
    digest: str
    first_at: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """A connection that was asked of the egress proxy."""

    id: str
    workspace_id: str
    at: datetime
    host: str
    port: int
    outcome: str
    """`open`, `closed`, or an `EgressReason`."""
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes into and out of a workspace through the doors for software, ever."""

    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass
class _Tally:
    count: int = 0
    event_at: datetime | None = None


class Records:
    """Downloads, misses, refusals, bytes and connections. Thread-safe; every method may block.

    Every writer raises `Unavailable` if the database is away.
    """

    def __init__(self, database: Database, audit: Audit, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._lock = Lock()
        self._downloaded: set[tuple[str, str]] = set()
        self._tallies: dict[tuple[str, str, str], _Tally] = defaultdict(_Tally)
        self._bytes: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    # Downloads -----------------------------------------------------------------------------

    def has_downloaded(self, workspace_id: str, digest: str) -> bool:
        """Whether `add_download` recorded this in the life of this process; does not block."""
        return (workspace_id, digest) in self._downloaded

    def add_download(self, workspace_id: str, ecosystem: str, file: IndexFile) -> None:
        """Record that a workspace gets `file`, with its audit event if it is the first time."""
        row = {
            "workspace_id": workspace_id,
            "digest": file.digest,
            "ecosystem": ecosystem,
            "name": file.name,
            "version": file.version,
            "filename": file.filename,
        }
        table = package_downloads.c
        known = select(table.digest).where(
            table.workspace_id == workspace_id, table.digest == file.digest
        )
        with self._database.write() as connection:
            if connection.execute(known).first() is None:
                connection.execute(
                    package_downloads.insert().values(**row, first_at=self._clock.now())
                )
                self._audit.append(
                    connection,
                    ACTOR,
                    "package.downloaded",
                    f"{ecosystem}/{file.name}/{file.version}",
                    workspace_id=workspace_id,
                    filename=file.filename,
                    sha256=file.digest,
                )
        self._downloaded.add((workspace_id, file.digest))

    # Names that upstream does not know -----------------------------------------------------

    def is_missed(self, ecosystem: str, name: str) -> bool:
        """Whether upstream said lately that there is no such name."""
        table = package_misses.c
        query = select(table.name).where(
            table.ecosystem == ecosystem, table.name == name, table.at > self._since()
        )
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def count_misses(self, workspace_id: str) -> int:
        """Return how many unknown names the workspace lately sent upstream."""
        table = package_misses.c
        query = select(func.count()).where(
            table.workspace_id == workspace_id, table.at > self._since()
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def add_miss(self, workspace_id: str, ecosystem: str, name: str) -> None:
        """Record that a workspace's request sent an unknown name upstream."""
        table = package_misses.c
        with self._database.write() as connection:
            connection.execute(
                delete(package_misses).where(
                    table.workspace_id == workspace_id,
                    ((table.ecosystem == ecosystem) & (table.name == name))
                    | (table.at <= self._since()),
                )
            )
            connection.execute(
                package_misses.insert().values(
                    ecosystem=ecosystem, name=name, workspace_id=workspace_id, at=self._clock.now()
                )
            )
            self._audit.append(
                connection,
                ACTOR,
                "package.name_unknown",
                f"{ecosystem}/{name}",
                workspace_id=workspace_id,
            )

    def _since(self) -> datetime:
        return self._clock.now() - MISS_WINDOW

    # Refusals ------------------------------------------------------------------------------

    def add_refusal(self, workspace_id: str, action: str, reason: str) -> None:
        """Count a refusal; the first of its class is audited at once, the rest in sums.

        `action` is the audit's word, `package.refused` or `egress.refused`. What was asked for
        is not recorded: it is the workspace's text, and may be anything.
        """
        key = (workspace_id, action, reason)
        with self._lock:
            self._tallies[key].count += 1
        self._write_tallies([key])

    def flush_refusals(self, *, now: bool = False) -> None:
        """Audit the sums whose time has come; `now` for all of them, at the end."""
        with self._lock:
            keys = list(self._tallies)
        self._write_tallies(keys, even_early=now)

    def _write_tallies(
        self, keys: Sequence[tuple[str, str, str]], *, even_early: bool = False
    ) -> None:
        at = self._clock.now()
        with self._lock:
            due = {
                key: self._tallies[key].count
                for key in keys
                if self._tallies[key].count and (even_early or _is_due(self._tallies[key], at))
            }
            for key in due:
                self._tallies[key] = _Tally(0, at)
        try:
            self._write_refusals(due)
        except Exception:  # raised on: whatever failed, what was counted must not be lost
            with self._lock:
                for key, count in due.items():
                    self._tallies[key].count += count
                    self._tallies[key].event_at = None
            raise

    def _write_refusals(self, due: Mapping[tuple[str, str, str], int]) -> None:
        if not due:
            return
        with self._database.write() as connection:
            for (workspace_id, action, reason), count in due.items():
                self._audit.append(
                    connection, ACTOR, action, reason, workspace_id=workspace_id, count=count
                )

    # Bytes ---------------------------------------------------------------------------------

    def count_bytes(self, workspace_id: str, received_bytes: int, *, requests: int = 1) -> None:
        """Count an answer to a workspace in memory; `flush_bytes` writes it. Does not block."""
        with self._lock:
            counted = self._bytes[workspace_id]
            counted[0] += requests
            counted[1] += received_bytes

    def flush_bytes(self) -> None:
        """Add what was counted to the counters in the database."""
        with self._lock:
            counted, self._bytes = self._bytes, defaultdict(lambda: [0, 0])
        if not counted:
            return
        try:
            with self._database.write() as connection:
                for workspace_id, (requests, received) in sorted(counted.items()):
                    amounts = {"requests": requests, "received_bytes": received}
                    self._add(connection, package_bytes, workspace_id, amounts)
        except Exception:  # raised on: whatever failed, what was counted must not be lost
            with self._lock:
                for workspace_id, (requests, received) in counted.items():
                    self._bytes[workspace_id][0] += requests
                    self._bytes[workspace_id][1] += received
            raise

    # Connections of the egress proxy -------------------------------------------------------

    def open_connection(self, workspace_id: str, ask: ProxyAsk) -> str:
        """Log a connection before it is made; return the row's id for `close_connection`."""
        return self._log(workspace_id, ask, OPEN)

    def close_connection(
        self, row_id: str, outcome: str, *, sent_bytes: int, received_bytes: int
    ) -> None:
        """Complete the row of a connection that ended, or could not be made."""
        amounts = {"sent_bytes": sent_bytes, "received_bytes": received_bytes}
        with self._database.write() as connection:
            workspace_id = connection.execute(
                update(egress_log)
                .where(egress_log.c.id == row_id, egress_log.c.outcome == OPEN)
                .values(outcome=outcome, **amounts)
                .returning(egress_log.c.workspace_id)
            ).scalar_one_or_none()
            if workspace_id is not None:
                self._add(connection, egress_bytes, workspace_id, amounts)

    def refuse_connection(self, workspace_id: str, ask: ProxyAsk, outcome: str) -> None:
        """Log a connection that the rules forbid."""
        self._log(workspace_id, ask, outcome)

    def _add(
        self, connection: Connection, table: Table, workspace_id: str, amounts: Mapping[str, int]
    ) -> None:
        now = self._clock.now()
        add_up(connection, table, {"workspace_id": workspace_id}, amounts, {"updated_at": now})

    def _log(self, workspace_id: str, ask: ProxyAsk, outcome: str) -> str:
        row_id = new_id()
        with self._database.write() as connection:
            connection.execute(
                egress_log.insert().values(
                    id=row_id,
                    workspace_id=workspace_id,
                    at=self._clock.now(),
                    host=ask.host,
                    port=ask.port,
                    outcome=outcome,
                    sent_bytes=0,
                    received_bytes=0,
                )
            )
        return row_id


def _is_due(tally: _Tally, now: datetime) -> bool:
    return tally.event_at is None or now - tally.event_at >= AGGREGATE_WINDOW


# For other rooms ---------------------------------------------------------------------------


def list_downloads(
    connection: Connection, workspace_id: str, part: Wanted[DownloadOrder] = DOWNLOADS
) -> Page[Download]:
    """Return what a workspace has downloaded, newest first."""
    table = package_downloads.c
    keys = {DownloadOrder.FIRST: table.first_at, DownloadOrder.NAME: table.name}
    query = select(package_downloads).where(table.workspace_id == workspace_id)
    rows = connection.execute(ordered(query, part, keys, table.digest)).all()
    names = [each.name for each in fields(Download)]
    return page_of(rows, part, lambda row: Download(*(getattr(row, name) for name in names)))


def list_contacts(
    connection: Connection, workspace_id: str, part: Wanted[ContactOrder] = CONTACTS
) -> Page[Contact]:
    """Return the connections that a workspace asked for, newest first."""
    table = egress_log.c
    keys = {ContactOrder.AT: table.at, ContactOrder.HOST: table.host}
    query = select(egress_log).where(table.workspace_id == workspace_id)
    rows = connection.execute(ordered(query, part, keys, table.id)).all()
    names = [each.name for each in fields(Contact)]
    return page_of(rows, part, lambda row: Contact(*(getattr(row, name) for name in names)))


def traffic(connection: Connection, workspace_id: str | None = None) -> Mapping[str, Traffic]:
    """Return the bytes through both doors by workspace id, of one or of all, for the meters."""
    packages, egress = package_bytes.c, egress_bytes.c
    came = select(packages.workspace_id, packages.received_bytes)
    went = select(egress.workspace_id, egress.received_bytes, egress.sent_bytes)
    if workspace_id is not None:
        came = came.where(packages.workspace_id == workspace_id)
        went = went.where(egress.workspace_id == workspace_id)
    found = {space: Traffic(got, sent) for space, got, sent in connection.execute(went)}
    for space, got in connection.execute(came):
        other = found.get(space, Traffic())
        found[space] = Traffic(other.received_bytes + got, other.sent_bytes)
    return found
