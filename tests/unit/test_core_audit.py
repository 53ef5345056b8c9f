"""Does the audit chain show every tampering?"""

import pytest
from sqlalchemy import text

from carrel.core import audit as chain
from carrel.core.actors import system
from carrel.core.audit import Audit
from carrel.core.database import Database


@pytest.fixture
def filled(database: Database, clock) -> Database:
    audit = Audit(clock)
    for number in range(5):
        with database.write() as connection:
            audit.append(
                connection, system("test"), "thing.made", f"s{number}", workspace_id="w1", n=number
            )
    return database


def test_an_untouched_chain_is_intact(filled):
    outcome = chain.verify(filled)
    assert outcome.intact
    assert outcome.events == 5


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("UPDATE audit_events SET body = replace(body, 's2', 'x2') WHERE seq = 3", 3),
        ("DELETE FROM audit_events WHERE seq = 2", 2),
        ("UPDATE audit_events SET seq = 9 WHERE seq = 5", 5),
        ("UPDATE audit_events SET hash = replace(hash, '0', '1') WHERE seq = 4", 4),
    ],
)
def test_tampering_is_found_where_it_happened(filled, change, broken_at):
    with filled.write() as connection:
        connection.execute(text(change))
    assert chain.verify(filled).broken_at == broken_at


def test_an_export_verifies_offline_and_a_changed_one_does_not(filled):
    lines = list(chain.export_lines(filled))
    assert chain.verify_lines(lines).intact
    lines[1] = lines[1].replace("s1", "s9")
    assert chain.verify_lines(lines).broken_at == 2
    assert chain.verify_lines([*lines[:1], "garbage"]).broken_at == 2


def test_the_event_vanishes_with_the_change_that_failed(filled, clock):
    with pytest.raises(ZeroDivisionError), filled.write() as connection:
        Audit(clock).append(connection, system("test"), "thing.made", "s9")
        raise ZeroDivisionError
    assert chain.verify(filled).events == 5


def test_events_are_listed_newest_first_and_by_workspace(filled, clock):
    with filled.write() as connection:
        Audit(clock).append(connection, system("test"), "thing.made", "other", workspace_id="w2")
    with filled.read() as connection:
        events = chain.list_events(connection, workspace_id="w1", limit=2)
        assert [event.subject for event in events] == ["s4", "s3"]
        older = chain.list_events(connection, workspace_id="w1", before=events[-1].seq)
        assert [event.subject for event in older] == ["s2", "s1", "s0"]
        assert [e.subject for e in chain.list_events(connection, workspace_id="w2")] == ["other"]
