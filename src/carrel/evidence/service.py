"""Which proofs were made, and what did they say?"""

from enum import StrEnum
from typing import Any

from sqlalchemy import Row, select

from carrel.core.actors import Actor
from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import Denied, NotFound
from carrel.core.ids import new_id
from carrel.core.paging import Page, Wanted, ordered, page_of
from carrel.evidence.rules import Proof, Report
from carrel.evidence.tables import proofs

PAGE_SIZE = 50


class ProofOrder(StrEnum):
    """What the list of proofs may be sorted by."""

    MADE = "madeAt"
    OPEN = "open"


NEWEST = Wanted(ProofOrder.MADE, is_ascending=False, limit=PAGE_SIZE)


class Proofs:
    """Keeps every proof; shows them to TRE administrators, because an open way is a secret."""

    def __init__(self, *, database: Database, audit: Audit, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def keep(self, actor: Actor, report: Report, *, seconds: float) -> Proof:
        """Keep `report`, which took `seconds`. Raises `Denied` unless the actor may prove."""
        _check_may_see(actor)
        proof = Proof(
            id=new_id(),
            made_at=self._clock.now(),
            made_by=actor.name,
            level=report.level,
            probes=len(report.lines),
            open=len(report.open),
            proven=report.proven,
            seconds=round(seconds, 3),
            skipped=list(report.skipped),
            report=report.to_json(),
        )
        values = {column.name: getattr(proof, column.name) for column in proofs.columns}
        with self._database.write() as connection:
            connection.execute(proofs.insert(), values)
            self._audit.append(
                connection,
                actor,
                "isolation.proved",
                proof.id,
                level=proof.level,
                probes=proof.probes,
                proven=proof.proven,
                open=[line.probe.id for line in report.open],
                skipped=list(report.skipped),
            )
        return proof

    def list(self, actor: Actor, part: Wanted[ProofOrder] = NEWEST) -> Page[Proof]:
        """Return the newest proofs first. Raises `Denied` for others than administrators."""
        _check_may_see(actor)
        keys = {ProofOrder.MADE: proofs.c.made_at, ProofOrder.OPEN: proofs.c.open}
        query = ordered(select(proofs), part, keys, proofs.c.id)
        with self._database.read() as connection:
            return page_of(connection.execute(query).all(), part, _proof)

    def get(self, actor: Actor, proof_id: str) -> Proof:
        """Return one proof. Raises `Denied`, `NotFound`."""
        _check_may_see(actor)
        with self._database.read() as connection:
            row = connection.execute(select(proofs).where(proofs.c.id == proof_id)).first()
        if row is None:
            raise NotFound("There is no such proof. The list of proofs is at /evidence.")
        return _proof(row)


def _check_may_see(actor: Actor) -> None:
    if not (actor.is_admin or actor.is_system):
        raise Denied("Only a TRE administrator may see which ways out were attacked.")


def _proof(row: Row[Any]) -> Proof:
    return Proof(**{column.name: getattr(row, column.name) for column in proofs.columns})
