"""Does every request come to its end, whatever breaks on the way?"""

from dataclasses import replace

import pytest

from carrel.airlock.rules import Severity, Stage, Status
from carrel.airlock.scanners import standard_scanners
from carrel.airlock.service.base import SCAN
from carrel.airlock.service.records import load_policy
from carrel.airlock.stores import FolderStore, MemoryStore
from carrel.airlock.work import AirlockWork
from carrel.core.audit import verify
from carrel.core.errors import Conflict, OutsideFailure, Unavailable
from carrel.core.ids import new_id
from carrel.workspaces.events import WorkDiscarded
from tests.airlock import (
    SAFE_TABLE,
    SMALL_TABLE,
    Bench,
    BrokenScanner,
    Killed,
    QuarantiningScanner,
    killing,
)
from tests.factories import make_database

SEVEN = b"group,n\nold,120\nyoung,7\n"


@pytest.fixture
def database(tmp_path):
    made = make_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def bench(database) -> Bench:
    return Bench(database)


def status(bench, request) -> Status:
    return bench.airlock.get(bench.author, request.id).status


# What the scanners decide ------------------------------------------------------------


def test_a_broken_table_goes_back_to_its_author_with_the_reason(bench):
    request = bench.submitted("export", table__csv=b"group,n\nold,1,2\n")
    bench.run_work()
    returned = bench.airlock.get(bench.author, request.id)
    assert returned.status is Status.RETURNED
    assert returned.status_message.startswith("table.csv: Row 2 has 3 cells")
    bench.fill(request, table__csv=SAFE_TABLE)
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    assert status(bench, request) is Status.IN_REVIEW


def test_a_request_is_examined_under_the_policy_it_was_sealed_under(bench):
    request = bench.submitted("export", table__csv=SEVEN)
    lax = bench.settings.model_copy(update={"small_count_threshold": 2})
    bench.work = AirlockWork(replace(bench.ground, settings=lax), standard_scanners())
    bench.run_work()
    found = bench.airlock.list_findings(bench.reviewer, request.id)
    assert [(f.rule, f.row, f.column) for f in found if f.severity is Severity.FLAG] == [
        ("small_count", 3, 2)
    ]


def test_the_policy_of_a_seal_is_the_policy_its_hash_names(bench, database):
    request = bench.submitted("export", table__csv=SEVEN)
    with database.read() as connection:
        sealed = load_policy(connection, request)
    assert sealed == bench.airlock.policy
    assert sealed.sha256 == request.policy_sha256


def test_an_unknown_type_goes_back_and_an_import_may_be_of_any_type(bench):
    request = bench.submitted("export", model__onnx=b"\x08\x01")
    bench.run_work()
    assert status(bench, request) is Status.RETURNED
    assert bench.in_review("import", model__onnx=b"\x08\x01").status_message == ""


@pytest.mark.parametrize("direction", ["import", "export"])
def test_a_disguised_file_ends_in_quarantine(bench, direction):
    request = bench.submitted(direction, table__csv=b"PK\x03\x04 not a table", ok__txt=b"x")
    bench.run_work()
    blocked = bench.airlock.get(bench.author, request.id)
    assert blocked.status is Status.BLOCKED
    assert {stage for stage, _ in bench.store.objects(request.id)} == {Stage.BLOCKED}
    assert {file.stage for file in blocked.files} == {Stage.BLOCKED}


def test_a_scanner_that_breaks_down_could_not_tell(database):
    bench = Bench(database, scanners=[BrokenScanner()])
    request = bench.submitted("export", table__csv=SAFE_TABLE)
    bench.run_work()
    assert status(bench, request) is Status.RETURNED
    (found,) = bench.airlock.list_findings(bench.author, request.id)
    assert (found.rule, found.severity) == ("broke_down", Severity.CANNOT_TELL)


def test_the_heaviest_of_several_scanners_decides(database):
    bench = Bench(database, scanners=[BrokenScanner(), QuarantiningScanner()])
    request = bench.submitted("import", a__csv=b"a\n1\n")
    bench.run_work()
    assert status(bench, request) is Status.BLOCKED


def test_findings_are_bound_to_the_content_that_was_scanned(bench):
    request = bench.in_review("export", table__csv=SMALL_TABLE)
    findings = bench.airlock.list_findings(bench.reviewer, request.id)
    assert {found.scanner for found in findings} == {"small counts", "differencing"}
    for found in findings:
        assert (found.file, found.sha256) == ("table.csv", request.files[0].sha256)
        assert found.scanner_version


def test_rejected_files_are_filed_away(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    bench.airlock.review(
        bench.reviewer,
        request.id,
        approve=False,
        explanation="Not a result",
        seen_manifest_sha256=request.manifest_sha256,
    )
    bench.run_work()
    rejected = bench.airlock.get(bench.author, request.id)
    assert rejected.status is Status.REJECTED
    assert rejected.status_message == "Not a result"
    assert {stage for stage, _ in bench.store.objects(request.id)} == {Stage.REJECTED}


# What breaks --------------------------------------------------------------------------------------


def test_a_full_disk_in_the_workspace_is_waited_for(bench):
    request = bench.in_review("import", data__csv=b"a\n1\n")
    bench.approve(request)
    bench.runtime.fail_next("deliver_inbox", Unavailable("The workspace's disk is full."))
    bench.run_work()
    waiting = bench.airlock.get(bench.author, request.id)
    assert waiting.status is Status.APPROVING
    assert waiting.status_message == "The workspace's disk is full."
    bench.clock.advance(60)
    bench.run_work()
    assert status(bench, request) is Status.APPROVED


def test_a_workspace_that_is_not_ready_is_waited_for_and_given_up_in_time(bench):
    request = bench.in_review("import", data__csv=b"a\n1\n")
    bench.approve(request)
    bench.runtime.remove(bench.workspace)
    for _ in range(3):
        bench.run_work()
        assert status(bench, request) is Status.APPROVING
        bench.clock.advance(60)
    bench.clock.advance(86_400)
    bench.run_work()
    failed = bench.airlock.get(bench.author, request.id)
    assert failed.status is Status.FAILED
    assert "Raise a new request" in failed.status_message
    assert bench.claim() is None


def test_a_delivery_that_fails_for_good_leaves_nothing_in_the_inbox(bench):
    request = bench.in_review("import", a__csv=b"a\n1\n", b__csv=b"b\n2\n")
    bench.approve(request)
    deliver = bench.runtime.deliver_inbox

    class SecondFails:
        count = 0

        def __getattr__(self, name):
            return getattr(bench.runtime, name)

        def deliver_inbox(self, *args):
            self.count += 1
            if self.count == 2:
                raise OutsideFailure("The inbox cannot be written.")
            deliver(*args)

    bench.work._boxes = SecondFails()
    bench.run_work()
    assert status(bench, request) is Status.FAILED
    assert bench.runtime.inbox(bench.workspace) == {}


def test_a_scan_that_cannot_read_the_store_gives_the_request_back_in_time(bench):
    request = bench.submitted("export", table__csv=SAFE_TABLE)

    class Away:
        def __getattr__(self, name):
            raise Unavailable("The store is away.")

    bench.work._store = Away()
    bench.run_work()
    assert status(bench, request) is Status.SUBMITTED
    bench.clock.advance(3601)
    bench.run_work()
    returned = bench.airlock.get(bench.author, request.id)
    assert returned.status is Status.RETURNED
    assert "submit again" in returned.status_message
    bench.work._store = bench.store
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    assert status(bench, request) is Status.IN_REVIEW


def test_a_bug_is_retried_a_few_times_and_then_ends_the_request(bench):
    request = bench.submitted("export", table__csv=SAFE_TABLE)

    class Buggy:
        def __getattr__(self, name):
            raise KeyError(name)

    bench.work._store = Buggy()
    for _ in range(5):
        assert status(bench, request) is Status.SUBMITTED
        bench.run_work()
        bench.clock.advance(61)
    assert status(bench, request) is Status.FAILED
    assert bench.claim() is None


def test_work_that_got_lost_is_queued_again(bench):
    request = bench.submitted("export", table__csv=SAFE_TABLE)
    item = bench.claim()
    with bench.queue.fenced(item) as connection:
        bench.queue.complete(connection, item)
    assert bench.run_work() == 0
    assert bench.work.recover() == 1
    assert bench.work.recover() == 0
    bench.run_work()
    assert status(bench, request) is Status.IN_REVIEW


def test_a_second_worker_cannot_write_over_the_first(bench):
    request = bench.submitted("export", table__csv=SAFE_TABLE)
    old = bench.claim()
    bench.clock.advance(11)
    bench.run_work()
    assert status(bench, request) is Status.IN_REVIEW
    with pytest.raises(Exception, match="taken over"):
        bench.work.takers()[old.kind](old, bench.queue)
    assert len(bench.airlock.get(bench.author, request.id).history) == 2


# Killed at every boundary ------------------------------------------------------------


def run_with_kills(bench: Bench, part: str, at: int) -> bool:
    """Work until nothing is left, killed once at call number `at`; says whether it was killed."""
    mortal = killing(getattr(bench, part), at)
    setattr(bench.work, {"store": "_store", "runtime": "_boxes"}[part], mortal)
    while True:
        item = bench.claim()
        if item is None:
            return mortal.is_dead
        try:
            bench.work.takers()[item.kind](item, bench.queue)
        except Killed:
            bench.clock.advance(11)


END = {
    "import": (Status.APPROVED, Stage.APPROVED),
    "export": (Status.APPROVED, Stage.APPROVED),
    "rejected": (Status.REJECTED, Stage.REJECTED),
    "blocked": (Status.BLOCKED, Stage.BLOCKED),
}
FILES = {"a__csv": b"a,n\nx,100\n", "b__csv": b"b,n\ny,200\n"}


@pytest.mark.parametrize("kind", END)
@pytest.mark.parametrize("part", ["store", "runtime"])
@pytest.mark.parametrize("make_store", [lambda path: MemoryStore(), FolderStore])
def test_killed_at_every_call_a_request_ends_as_if_nothing_had_happened(
    tmp_path, database, part, kind, make_store
):
    at, died = 0, True
    while died:
        scanners = [QuarantiningScanner()] if kind == "blocked" else None
        bench = Bench(database, store=make_store(tmp_path / f"store{at}"), scanners=scanners)
        request = bench.submitted("import" if kind == "import" else "export", **FILES)
        died = run_with_kills(bench, part, at)
        if kind != "blocked":
            seen = bench.airlock.get(bench.reviewer, request.id)
            assert seen.status is Status.IN_REVIEW
            bench.airlock.review(
                bench.reviewer,
                request.id,
                approve=kind != "rejected",
                explanation="because",
                seen_manifest_sha256=seen.manifest_sha256,
            )
            died = run_with_kills(bench, part, at) or died
        check_ended(bench, request, kind)
        at += 1
    assert verify(database).intact
    assert at > (3 if part == "store" else 0)


def check_ended(bench: Bench, request, kind: str) -> None:
    ended = bench.airlock.get(bench.author, request.id)
    assert (ended.status, {file.stage for file in ended.files}) == (END[kind][0], {END[kind][1]})
    assert bench.store.objects(request.id) == sorted((END[kind][1], f.id) for f in ended.files)
    assert [entry.new for entry in ended.history].count(END[kind][0]) == 1
    inbox = bench.runtime.inbox(bench.workspace)
    assert sorted(inbox.values()) == (sorted(FILES.values()) if kind == "import" else [])
    if kind == "export":
        ticket = bench.airlock.release_ticket(bench.author, request.id)
        assert FILES["a__csv"] in bench.downloaded(bench.author, ticket.token, as_archive=True)


def give_up(bench: Bench) -> None:
    """Put the next piece of work aside and discard it, as an administrator does."""
    item = bench.claim()
    with bench.queue.fenced(item) as connection:
        bench.queue.park(connection, item, "it always fails")
    with bench.database.write() as connection:
        letter = bench.queue.get_dead(connection, item.id)
        bench.queue.discard(connection, letter)
        bench.ground.events.publish(
            connection, WorkDiscarded(letter.kind, letter.payload, "Ada Admin")
        )


def test_given_up_scanning_returns_the_request_to_its_author(bench):
    request = bench.submitted("export", table__csv=SAFE_TABLE)
    give_up(bench)
    returned = bench.airlock.get(bench.author, request.id)
    assert returned.status is Status.RETURNED
    assert "Given up by Ada Admin" in returned.status_message
    assert bench.work.recover() == 0
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    assert bench.airlock.get(bench.author, request.id).status is Status.IN_REVIEW


def test_given_up_delivery_fails_the_request_and_releases_nothing(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    bench.approve(request)
    give_up(bench)
    failed = bench.airlock.get(bench.author, request.id)
    assert failed.status is Status.FAILED
    assert bench.work.recover() == 0
    with pytest.raises(Conflict):
        bench.airlock.release_ticket(bench.author, request.id)


def test_work_that_is_given_up_twice_changes_nothing_more(bench):
    request = bench.submitted("export", table__csv=SAFE_TABLE)
    give_up(bench)
    late = WorkDiscarded(SCAN, {"request": request.id}, "Ada Admin")
    before = bench.airlock.get(bench.author, request.id)
    with bench.database.write() as connection:
        bench.ground.events.publish(connection, late)
        bench.ground.events.publish(
            connection, WorkDiscarded(SCAN, {"request": new_id()}, "Ada Admin")
        )
    assert bench.airlock.get(bench.author, request.id) == before
