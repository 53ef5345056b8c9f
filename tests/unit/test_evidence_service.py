"""Are proofs kept, with their audit event, and shown to administrators alone?"""

from dataclasses import replace

import pytest

from carrel.core import audit
from carrel.core.actors import Actor, TreRole, system
from carrel.core.audit import Audit
from carrel.core.database import Database
from carrel.core.errors import Denied, NotFound
from carrel.evidence.rules import Line, Outcome, Probe, Report
from carrel.evidence.service import NEWEST, Proofs

ADMIN = Actor("a", "Ada", frozenset({TreRole.ADMIN}))
USER = Actor("u", "Ulf", frozenset({TreRole.USER}))
PROBE = Probe("net-x", "1", "connect", "tcp", frozenset({"ENETUNREACH"}))
OPEN = Outcome("open", "connected")
REPORT = Report([Line(PROBE, OPEN, OPEN)], "A", ["gateway: not asked for"])


@pytest.fixture
def proofs(database, clock):
    return Proofs(database=database, audit=Audit(clock), clock=clock)


def test_a_kept_proof_reads_back_the_same(proofs):
    kept = proofs.keep(system("prove"), REPORT, seconds=12.3456)
    assert proofs.get(ADMIN, kept.id) == kept
    assert proofs.list(ADMIN) == [kept]
    assert (kept.open, kept.proven, kept.probes, kept.seconds) == (1, 0, 1, 12.346)
    assert kept.report == REPORT.to_json()


def test_keeping_a_proof_leaves_an_audit_event_that_names_the_open_ways(proofs, database: Database):
    kept = proofs.keep(ADMIN, REPORT, seconds=1)
    with database.read() as connection:
        (event,) = audit.list_events(connection)
    assert (event.action, event.subject) == ("isolation.proved", kept.id)
    assert event.detail["open"] == ["net-x"]


def test_the_newest_proof_comes_first(proofs, clock):
    first = proofs.keep(ADMIN, REPORT, seconds=1)
    clock.advance(60)
    second = proofs.keep(ADMIN, REPORT, seconds=1)
    assert [proof.id for proof in proofs.list(ADMIN)] == [second.id, first.id]
    assert [proof.id for proof in proofs.list(ADMIN, replace(NEWEST, limit=1))] == [second.id]


def test_only_administrators_see_or_keep_proofs(proofs):
    kept = proofs.keep(ADMIN, REPORT, seconds=1)
    for forbidden in (
        lambda: proofs.list(USER),
        lambda: proofs.get(USER, kept.id),
        lambda: proofs.keep(USER, REPORT, seconds=1),
    ):
        with pytest.raises(Denied):
            forbidden()
    with pytest.raises(NotFound):
        proofs.get(ADMIN, "nothing")
