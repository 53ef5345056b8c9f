"""Are downloads, misses, refusals and bytes written down once, whole, and with their events?"""

import pytest
from sqlalchemy import func, select

from carrel.core.audit import Audit, list_events
from carrel.packages.egress_rules import ProxyAsk
from carrel.packages.records import Records, Traffic, list_downloads, traffic
from carrel.packages.rules import IndexFile
from carrel.packages.tables import egress_bytes, egress_log, package_bytes, package_misses

FILE = IndexFile(
    name="demo",
    version="1.0",
    filename="demo-1.0-py3-none-any.whl",
    digest="0" * 64,
    url="https://files.example/demo",
    is_wheel=True,
)


@pytest.fixture
def records(database, clock) -> Records:
    return Records(database, Audit(clock), clock)


def events(database, action: str) -> list:
    with database.read() as connection:
        return [event for event in list_events(connection) if event.action == action]


def test_the_first_download_of_each_workspace_is_recorded(records, database, clock):
    for workspace in ("w1", "w1", "w2"):
        records.add_download(workspace, "pypi", FILE)
    Records(database, Audit(clock), clock).add_download("w1", "pypi", FILE)
    assert {event.workspace for event in events(database, "package.downloaded")} == {"w1", "w2"}
    assert len(events(database, "package.downloaded")) == 2
    with database.read() as connection:
        assert [each.filename for each in list_downloads(connection, "w1")] == [FILE.filename]
    assert records.has_downloaded("w1", FILE.digest)
    assert not records.has_downloaded("w3", FILE.digest)


def test_a_miss_counts_for_a_day(records, database, clock):
    records.add_miss("w1", "pypi", "nothing")
    records.add_miss("w1", "pypi", "nothing")
    assert records.is_missed("pypi", "nothing")
    assert not records.is_missed("npm", "nothing")
    assert records.count_misses("w1") == 1
    assert records.count_misses("w2") == 0
    clock.advance(86_400)
    assert not records.is_missed("pypi", "nothing")
    assert records.count_misses("w1") == 0
    records.add_miss("w1", "pypi", "else")
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(package_misses)).scalar() == 1
    assert len(events(database, "package.name_unknown")) == 3


def test_refusals_are_summed_by_class(records, database, clock):
    for _ in range(5):
        records.add_refusal("w1", "package.refused", "query_refused")
    records.add_refusal("w2", "package.refused", "query_refused")
    records.add_refusal("w1", "package.refused", "body_refused")
    records.flush_refusals()
    assert [event.detail["count"] for event in events(database, "package.refused")] == [1, 1, 1]
    clock.advance(600)
    records.flush_refusals()
    records.flush_refusals()
    first, *rest = events(database, "package.refused")
    assert (first.workspace, first.subject, first.detail["count"]) == ("w1", "query_refused", 4)
    assert len(rest) == 3


def test_sums_and_bytes_survive_a_database_that_is_away(records, database):
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_events RENAME TO away")
        connection.exec_driver_sql("ALTER TABLE package_bytes RENAME TO away_too")
    with pytest.raises(Exception):  # noqa: B017 - each database has its own error for this
        records.add_refusal("w1", "package.refused", "query_refused")
    records.count_bytes("w1", 10)
    with pytest.raises(Exception):  # noqa: B017
        records.flush_bytes()
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO audit_events")
        connection.exec_driver_sql("ALTER TABLE away_too RENAME TO package_bytes")
    records.flush_refusals()
    records.flush_bytes()
    [event] = events(database, "package.refused")
    assert event.detail["count"] == 1
    with database.read() as connection:
        assert traffic(connection)["w1"].received_bytes == 10


def test_bytes_never_run_backwards(records, database, clock):
    for size in (10, 20):
        records.count_bytes("w1", size)
        records.flush_bytes()
    again = Records(database, Audit(clock), clock)
    again.count_bytes("w1", 5, requests=0)
    again.flush_bytes()
    with database.read() as connection:
        row = connection.execute(select(package_bytes)).one()
    assert (row.requests, row.received_bytes) == (2, 35)


def test_connections_are_logged_before_and_after(records, database):
    row = records.open_connection("w1", ProxyAsk("example.org", 443, None))
    with database.read() as connection:
        assert connection.execute(select(egress_log.c.outcome)).scalar_one() == "open"
    records.close_connection(row, "closed", sent_bytes=3, received_bytes=7)
    records.refuse_connection("w1", ProxyAsk("10.0.0.1", 80, None), "private_address")
    with database.read() as connection:
        assert traffic(connection)["w1"].sent_bytes == 3
        assert traffic(connection)["w1"].received_bytes == 7
        outcomes = set(connection.execute(select(egress_log.c.outcome)).scalars())
    assert outcomes == {"closed", "private_address"}


def test_totals_are_one_row_per_workspace_however_much_moved(records, database):
    for workspace in ("w1", "w1", "w1", "w2"):
        row = records.open_connection(workspace, ProxyAsk("example.org", 443, None))
        for _ in range(2):  # closed twice counts once
            records.close_connection(row, "closed", sent_bytes=3, received_bytes=7)
        records.count_bytes(workspace, 10)
        records.flush_bytes()
    with database.read() as connection:
        assert len(connection.execute(select(egress_bytes)).all()) == 2
        assert traffic(connection) == {"w1": Traffic(51, 9), "w2": Traffic(17, 3)}
        assert traffic(connection, "w2") == {"w2": Traffic(17, 3)}
        assert traffic(connection, "w3") == {}
