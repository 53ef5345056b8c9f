"""Does a request keep its promises, on both databases: sealed, reviewed by another, used once?"""

import hashlib
import io
import threading
import zipfile
from dataclasses import replace

import orjson
import pytest

from carrel.airlock import tables  # noqa: F401 - the database fixture makes them
from carrel.airlock.rules import Severity, Stage, Status
from carrel.core.actors import WorkspaceRole, system
from carrel.core.audit import verify
from carrel.core.errors import (
    BadRequest,
    CarrelError,
    Conflict,
    Denied,
    IllegalTransition,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
)
from carrel.core.settings import Settings
from tests.airlock import SAFE_TABLE, SMALL_TABLE, Bench, pieces


@pytest.fixture
def bench(database) -> Bench:
    return Bench(database)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# The story --------------------------------------------------------------------------------------


def test_an_import_is_delivered_as_it_was_sealed(bench):
    request = bench.in_review("import", data__csv=b"a,b\n1,2\n", plan__md=b"# Plan\n")
    assert bench.runtime.inbox(bench.workspace) == {}
    bench.approve(request)
    bench.run_work()
    folder = f"my-result-{request.id[:8]}"
    assert bench.runtime.inbox(bench.workspace) == {
        f"{folder}/data.csv": b"a,b\n1,2\n",
        f"{folder}/plan.md": b"# Plan\n",
    }
    assert bench.airlock.get(bench.author, request.id).status is Status.APPROVED


def test_an_export_is_flagged_returned_mended_approved_and_released(bench):
    request = bench.in_review("export", table__csv=SMALL_TABLE, note__txt=b"As planned.")
    findings = bench.airlock.list_findings(bench.reviewer, request.id)
    assert [(f.file, f.row, f.column) for f in findings if f.severity is Severity.FLAG] == [
        ("table.csv", 3, 2)
    ]
    bench.airlock.return_to_author(bench.reviewer, request.id, "Hide the small cell")
    bench.fill(request, table__csv=SAFE_TABLE)
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    again = bench.airlock.get(bench.author, request.id)
    assert again.seal == 2
    assert again.manifest_sha256 != request.manifest_sha256
    assert request.manifest_sha256 in {entry.manifest_sha256 for entry in again.history}
    mended = bench.airlock.list_findings(bench.author, again.id)
    assert [f.rule for f in mended if f.file == "table.csv"] == ["cannot_compare"]
    bench.approve(again)
    bench.run_work()
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    with zipfile.ZipFile(
        io.BytesIO(bench.downloaded(bench.author, ticket.token, as_archive=True))
    ) as archive:
        assert archive.namelist() == [
            "carrel-manifest.json",
            "ro-crate-metadata.json",
            "ro-crate-metadata.json.sig",
            "carrel-signing-key.pem",
            "table.csv",
            "note.txt",
        ]
        assert archive.read("table.csv") == SAFE_TABLE
        record = orjson.loads(archive.read("carrel-manifest.json"))
    assert record["manifest_sha256"] == again.manifest_sha256
    assert record["policy_sha256"] == again.policy_sha256
    assert {f["name"]: f["sha256"] for f in record["manifest"]["files"]} == {
        "table.csv": sha256(SAFE_TABLE),
        "note.txt": sha256(b"As planned."),
    }
    assert record["reviews"][0]["reviewer"] == bench.reviewer.name
    assert verify(bench.database).intact
    assert bench.events(request) == [
        "airlock.created",
        "airlock.file_added",
        "airlock.file_added",
        "airlock.submitted",
        "airlock.in_review",
        "airlock.returned",
        "airlock.file_added",
        "airlock.submitted",
        "airlock.in_review",
        "airlock.approval_in_progress",
        "airlock.approved",
        "airlock.ticket_made",
        "airlock.released",
    ]


def test_the_same_release_is_always_the_same_bytes(bench):
    request = bench.approved("export", a__csv=SAFE_TABLE, b__txt=b"x")
    tickets = [bench.airlock.release_ticket(bench.author, request.id) for _ in range(2)]
    one, other = (
        bench.downloaded(bench.author, ticket.token, as_archive=True) for ticket in tickets
    )
    assert one == other


def test_a_single_file_leaves_as_itself(bench):
    request = bench.approved("export", results__table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    opened = bench.airlock.open_release(bench.author, ticket.token, as_archive=False)
    assert b"".join(opened.content) == SAFE_TABLE
    assert (opened.filename, opened.sha256) == ("results.table.csv", sha256(SAFE_TABLE))
    opened.close()


# Who may do what ----------------------------------------------------------------------------------


def acts(bench, request):
    """Every use case about one request, as somebody would try it."""
    airlock = bench.airlock
    seen = request.manifest_sha256
    return {
        "get": lambda who: airlock.get(who, request.id),
        "findings": lambda who: airlock.list_findings(who, request.id),
        "manifest": lambda who: airlock.get_manifest(who, request.id),
        "content": lambda who: airlock.open_content(who, request.id, "table.csv"),
        "add": lambda who: airlock.add_file(who, request.id, "x.csv", [b"x"]),
        "collect": lambda who: airlock.add_from_outbox(who, request.id, ["table.csv"]),
        "remove": lambda who: airlock.remove_file(who, request.id, "table.csv"),
        "describe": lambda who: airlock.describe_file(who, request.id, "table.csv", {}),
        "amend": lambda who: airlock.amend(who, request.id, title="t", justification="j"),
        "submit": lambda who: airlock.submit(who, request.id),
        "cancel": lambda who: airlock.cancel(who, request.id),
        "return": lambda who: airlock.return_to_author(who, request.id, "no"),
        "approve": lambda who: airlock.review(
            who, request.id, approve=True, explanation="ok", seen_manifest_sha256=seen
        ),
        "reject": lambda who: airlock.review(
            who, request.id, approve=False, explanation="no", seen_manifest_sha256=seen
        ),
        "revoke": lambda who: airlock.revoke(who, request.id, "no"),
        "ticket": lambda who: airlock.release_ticket(who, request.id),
    }


LOOKS = {"get", "findings", "manifest"}


@pytest.mark.parametrize("status", [Status.DRAFT, Status.IN_REVIEW, Status.APPROVED])
def test_a_stranger_learns_nothing_about_a_request(bench, status):
    make = {
        Status.DRAFT: bench.draft,
        Status.IN_REVIEW: bench.in_review,
        Status.APPROVED: bench.approved,
    }
    request = make[status]("export", table__csv=SAFE_TABLE)
    for act in acts(bench, request).values():
        with pytest.raises(NotFound, match="no such airlock request"):
            act(bench.stranger)
    with pytest.raises(NotFound):
        bench.airlock.list(bench.stranger, bench.workspace)
    with pytest.raises(NotFound):
        bench.airlock.list_outbox(bench.stranger, bench.workspace)
    with pytest.raises(NotFound):
        bench.airlock.create(bench.stranger, bench.workspace, type="export", title="t")
    assert bench.airlock.list_mine(bench.stranger) == []


@pytest.mark.parametrize("status", [Status.DRAFT, Status.IN_REVIEW, Status.APPROVED])
def test_a_colleague_looks_on_and_changes_nothing(bench, status):
    make = {
        Status.DRAFT: bench.draft,
        Status.IN_REVIEW: bench.in_review,
        Status.APPROVED: bench.approved,
    }
    request = make[status]("export", table__csv=SAFE_TABLE)
    for name, act in acts(bench, request).items():
        if name not in LOOKS:
            with pytest.raises((Denied, IllegalTransition, Conflict)):
                act(bench.colleague)
    assert bench.airlock.get(bench.colleague, request.id).version == request.version


def test_nobody_reviews_their_own_request_whatever_their_roles(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    everything = replace(bench.author, workspace_roles={bench.workspace: frozenset(WorkspaceRole)})
    for name in ("approve", "reject", "return", "content"):
        with pytest.raises(Denied, match="somebody else must review"):
            acts(bench, request)[name](everything)


def test_the_author_never_reads_an_export_through_the_airlock(bench):
    """What could be read here would have left without a review."""
    request = bench.draft("export", table__csv=SAFE_TABLE)
    steps = [
        lambda: None,
        lambda: bench.airlock.submit(bench.author, request.id),
        bench.run_work,
        lambda: bench.approve(bench.airlock.get(bench.author, request.id)),
        bench.run_work,
    ]
    for step in steps:
        step()
        for who in (bench.author, bench.colleague, bench.owner):
            with pytest.raises(Denied):
                bench.airlock.open_content(who, request.id, "table.csv")


def test_a_reviewer_reads_what_is_sealed_and_it_is_recorded(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    file, content = bench.airlock.open_content(bench.reviewer, request.id, "table.csv")
    with content:
        assert content.read() == SAFE_TABLE
    assert file.sha256 == sha256(SAFE_TABLE)
    assert bench.events(request)[-1] == "airlock.file_viewed"


def test_a_draft_is_not_shown_to_a_reviewer(bench):
    request = bench.draft("import", data__csv=b"secret")
    with pytest.raises(Conflict):
        bench.airlock.open_content(bench.reviewer, request.id, "data.csv")


def test_a_manager_may_not_raise_requests_and_an_author_who_lost_the_role_may_not_act(bench):
    with pytest.raises(Denied):
        bench.airlock.create(bench.reviewer, bench.workspace, type="export", title="t")
    request = bench.draft("export", table__csv=SAFE_TABLE)
    demoted = replace(
        bench.author,
        workspace_roles={bench.workspace: frozenset({WorkspaceRole.AIRLOCK_MANAGER})},
    )
    with pytest.raises(Denied):
        bench.airlock.submit(demoted, request.id)


def test_a_closed_airlock_takes_no_requests(bench):
    request = bench.draft("export", table__csv=SAFE_TABLE)
    bench.policies.closed.add(bench.workspace)
    with pytest.raises(Denied, match="closed"):
        bench.airlock.create(bench.author, bench.workspace, type="export", title="t")
    with pytest.raises(Denied, match="closed"):
        bench.airlock.submit(bench.author, request.id)


# Sealing ----------------------------------------------------------------------------------------


def test_later_changes_in_the_outbox_change_nothing(bench):
    request = bench.draft("export", table__csv=SAFE_TABLE)
    bench.runtime.put_outbox(bench.workspace, "table.csv", SMALL_TABLE)
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    _, content = bench.airlock.open_content(bench.reviewer, request.id, "table.csv")
    with content:
        assert content.read() == SAFE_TABLE


def test_nothing_can_be_changed_after_submission(bench):
    request = bench.submitted("export", table__csv=SAFE_TABLE)
    for name in ("collect", "remove", "describe", "amend"):
        with pytest.raises(Conflict, match="sealed"):
            acts(bench, request)[name](bench.author)


def test_a_reviewer_decides_about_what_they_saw(bench):
    first = bench.in_review("export", table__csv=SAFE_TABLE)
    bench.airlock.return_to_author(bench.reviewer, first.id, "Add a note")
    bench.fill(first, note__txt=b"Here.")
    bench.airlock.submit(bench.author, first.id)
    bench.run_work()
    with pytest.raises(Conflict, match="not the files sealed now"):
        bench.approve(first)
    bench.approve(bench.airlock.get(bench.reviewer, first.id))


def test_a_swapped_file_never_crosses(bench):
    request = bench.in_review("import", data__csv=b"a,b\n1,2\n", more__csv=b"c\n3\n")
    bench.store.overwrite(request.id, Stage.SEALED, request.files[1].id, b"a,b\n6,6\n")
    with pytest.raises(CarrelError, match="not the file that was sealed"):
        bench.airlock.open_content(bench.reviewer, request.id, "more.csv")
    bench.approve(request)
    bench.run_work()
    after = bench.airlock.get(bench.author, request.id)
    assert after.status is Status.FAILED
    assert "not the file that was sealed" in after.status_message
    assert bench.runtime.inbox(bench.workspace) == {}


def test_a_file_swapped_after_approval_does_not_leave(bench):
    request = bench.approved("export", a__csv=SAFE_TABLE, b__txt=b"x")
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    bench.store.overwrite(request.id, Stage.APPROVED, request.files[0].id, SMALL_TABLE)
    with pytest.raises(CarrelError, match="not the file that was sealed"):
        bench.airlock.open_release(bench.author, ticket.token)


def test_a_flag_needs_a_reason_to_be_overruled(bench):
    request = bench.in_review("export", table__csv=SMALL_TABLE)
    with pytest.raises(InvalidRequest, match="flagged"):
        bench.approve(request, explanation=" ")
    bench.approve(request, explanation="These are hospitals, not people.")


def test_rejecting_returning_and_revoking_need_a_reason(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    with pytest.raises(InvalidRequest, match="why you reject"):
        bench.airlock.review(
            bench.reviewer,
            request.id,
            approve=False,
            explanation="",
            seen_manifest_sha256=request.manifest_sha256,
        )
    with pytest.raises(InvalidRequest, match="should change"):
        bench.airlock.return_to_author(bench.reviewer, request.id, "")
    with pytest.raises(InvalidRequest, match="withdrawn"):
        bench.airlock.revoke(bench.reviewer, request.id, "")


# Tickets ----------------------------------------------------------------------------------------


def test_a_ticket_works_once(bench):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    bench.downloaded(bench.author, ticket.token)
    with pytest.raises(Conflict, match="used already"):
        bench.airlock.open_release(bench.author, ticket.token)


def test_a_ticket_is_its_persons_alone(bench):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    for who in (bench.owner, bench.colleague, bench.reviewer, bench.stranger):
        with pytest.raises(NotFound):
            bench.airlock.open_release(who, ticket.token)
    with pytest.raises(NotFound):
        bench.airlock.open_release(bench.author, "guessed")
    assert bench.downloaded(bench.author, ticket.token) == SAFE_TABLE


def test_a_ticket_grows_old(bench):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    bench.clock.advance(bench.settings.release_ticket_minutes * 60 - 1)
    bench.airlock.open_release(bench.author, ticket.token).close()
    late = bench.airlock.release_ticket(bench.author, request.id)
    bench.clock.advance(bench.settings.release_ticket_minutes * 60)
    with pytest.raises(Denied, match="too old"):
        bench.airlock.open_release(bench.author, late.token)


def test_revoking_stops_tickets_old_and_new(bench):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    bench.airlock.revoke(bench.reviewer, request.id, "A mistake")
    with pytest.raises(Denied, match="revoked"):
        bench.airlock.open_release(bench.author, ticket.token)
    with pytest.raises(Denied, match="revoked"):
        bench.airlock.release_ticket(bench.author, request.id)


def test_a_member_who_left_cannot_use_a_ticket(bench):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    with pytest.raises(NotFound):
        bench.airlock.open_release(replace(bench.author, workspace_roles={}), ticket.token)


def test_an_owner_may_take_a_release_out_and_an_import_is_not_downloaded(bench):
    export = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.owner, export.id)
    assert bench.downloaded(bench.owner, ticket.token) == SAFE_TABLE
    brought = bench.approved("import", data__csv=b"a\n1\n")
    with pytest.raises(Conflict, match="inbox"):
        bench.airlock.release_ticket(bench.author, brought.id)


def test_revoking_an_import_takes_it_out_of_the_inbox(bench):
    request = bench.approved("import", data__csv=b"a\n1\n")
    bench.airlock.revoke(bench.reviewer, request.id, "Wrong file")
    bench.run_work()
    assert bench.runtime.inbox(bench.workspace) == {}


# Files ------------------------------------------------------------------------------------------


def test_an_export_takes_no_upload_and_an_import_collects_nothing(bench):
    with pytest.raises(Denied, match="outbox"):
        bench.airlock.add_file(bench.author, bench.draft("export").id, "a.csv", [b"x"])
    with pytest.raises(Denied, match="uploaded"):
        bench.airlock.add_from_outbox(bench.author, bench.draft("import").id, ["a.csv"])


def test_a_file_of_the_same_name_replaces_and_of_a_like_name_is_refused(bench):
    request = bench.draft("import", data__csv=b"one")
    bench.fill(request, data__csv=b"two!")
    (file,) = bench.airlock.get(bench.author, request.id).files
    assert (file.size_bytes, file.sha256) == (4, sha256(b"two!"))
    assert len(bench.store.objects(request.id)) == 1
    with pytest.raises(InvalidRequest, match="same name to some systems"):
        bench.airlock.add_file(bench.author, request.id, "DATA.CSV", [b"x"])
    assert len(bench.store.objects(request.id)) == 1


def test_an_empty_file_is_refused_and_leaves_nothing(bench):
    request = bench.draft("import")
    with pytest.raises(InvalidRequest, match="empty"):
        bench.airlock.add_file(bench.author, request.id, "a.csv", [])
    assert bench.store.objects(request.id) == []


def test_limits_are_kept_and_leave_nothing(database):
    bench = Bench(
        database, settings=Settings(tre_name="T", request_file_limit=2, request_bytes_limit=100)
    )
    request = bench.draft("import", a__csv=b"x" * 60)
    with pytest.raises(InvalidRequest, match="40 more bytes"):
        bench.airlock.add_file(bench.author, request.id, "b.csv", pieces(b"x" * 41, 7))
    bench.fill(request, a__csv=b"y" * 90, b__csv=b"z" * 10)
    with pytest.raises(InvalidRequest):
        bench.airlock.add_file(bench.author, request.id, "c.csv", [b"x"])
    bench.airlock.remove_file(bench.author, request.id, "b.csv")
    bench.fill(request, c__csv=b"x")
    with pytest.raises(InvalidRequest, match="2 files at the most"):
        bench.airlock.add_file(bench.author, request.id, "d.csv", [b"x"])
    assert len(bench.store.objects(request.id)) == 2


def test_a_broken_upload_leaves_nothing_and_the_old_file_stays(bench):
    request = bench.draft("import", data__csv=b"one")

    def broken():
        yield b"two"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        bench.airlock.add_file(bench.author, request.id, "data.csv", broken())
    (file,) = bench.airlock.get(bench.author, request.id).files
    assert file.sha256 == sha256(b"one")
    assert len(bench.store.objects(request.id)) == 1


def test_an_upload_that_ends_after_submission_does_not_get_in(bench):
    request = bench.draft("import", data__csv=b"one")

    def slow():
        yield b"late"
        bench.airlock.submit(bench.author, request.id)

    with pytest.raises(Conflict, match="sealed"):
        bench.airlock.add_file(bench.author, request.id, "late.csv", slow())
    assert len(bench.store.objects(request.id)) == 1
    assert len(bench.airlock.get(bench.author, request.id).files) == 1


def test_what_the_outbox_refuses_is_refused_with_its_reason(bench):
    bench.runtime.put_outbox(bench.workspace, "link.csv", refused="it is a symbolic link")
    bench.runtime.put_outbox(bench.workspace, ".hidden", b"x")
    listed = {f.path: f.refused for f in bench.airlock.list_outbox(bench.author, bench.workspace)}
    assert listed["link.csv"] == "it is a symbolic link"
    assert "dot" in listed[".hidden"]
    request = bench.draft("export")
    for path, reason in (("link.csv", "symbolic"), (".hidden", "dot"), ("../x", "relative")):
        with pytest.raises(InvalidRequest, match=reason):
            bench.airlock.add_from_outbox(bench.author, request.id, [path])
    with pytest.raises(NotFound):
        bench.airlock.add_from_outbox(bench.author, request.id, ["absent.csv"])


@pytest.mark.parametrize(
    ("title", "justification", "kind", "field"),
    [
        ("", "j", "export", "title"),
        ("two\nlines", "j", "export", "title"),
        ("x" * 201, "j", "export", "title"),
        ("t", "x" * 10_001, "export", "justification"),
        ("t", "j", "sideways", "type"),
    ],
)
def test_a_request_that_does_not_fit_names_its_field(bench, title, justification, kind, field):
    with pytest.raises(InvalidRequest) as caught:
        bench.airlock.create(
            bench.author, bench.workspace, type=kind, title=title, justification=justification
        )
    assert caught.value.field == field


def test_a_list_shows_the_newest_settled_requests_and_all_that_wait(bench):
    waiting = bench.in_review("import", a__csv=b"x")
    settled = []
    for _ in range(3):
        bench.clock.advance(1)
        settled.append(bench.draft("import").id)
        bench.airlock.cancel(bench.author, settled[-1])
    for found in (
        bench.airlock.list(bench.reviewer, bench.workspace, settled_limit=2),
        bench.airlock.list_mine(bench.reviewer, settled_limit=2),
    ):
        assert [request.id for request in found] == [*settled[:0:-1], waiting.id]


def test_an_incomplete_request_cannot_be_submitted(bench):
    with pytest.raises(InvalidRequest, match="at least one file"):
        bench.airlock.submit(bench.author, bench.draft("export").id)
    bare = bench.airlock.create(bench.author, bench.workspace, type="import", title="t")
    bench.fill(bare, a__csv=b"x")
    with pytest.raises(InvalidRequest, match="justification"):
        bench.airlock.submit(bench.author, bare.id)
    bench.airlock.amend(bench.author, bare.id, title="t", justification="because")
    bench.airlock.submit(bench.author, bare.id)


@pytest.mark.parametrize(
    "context", [{"other": 1}, {"columns": {"n": "magic"}}, {"columns": 3}, {"text": 3}]
)
def test_a_context_must_be_of_the_known_form(bench, context):
    request = bench.draft("export", table__csv=SAFE_TABLE)
    with pytest.raises(InvalidRequest, match="context"):
        bench.airlock.describe_file(bench.author, request.id, "table.csv", context)


def test_a_declared_statistic_reaches_the_scanner(bench):
    request = bench.draft("export", table__csv=b"group,years\nold,40\nyoung,5\n")
    bench.airlock.describe_file(
        bench.author, request.id, "table.csv", {"columns": {"years": "time"}}
    )
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    findings = bench.airlock.list_findings(bench.reviewer, request.id)
    assert {found.severity for found in findings} == {Severity.CHECK}
    assert len(findings) == 2


# At the same time ---------------------------------------------------------------------------------


def at_once(*acts) -> list[object]:
    """Start every act at the same moment; returns results and errors."""
    barrier, outcomes = threading.Barrier(len(acts)), []

    def run(act):
        barrier.wait()
        try:
            outcomes.append(act())
        except CarrelError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def check_one_wins(outcomes: list[object]) -> None:
    lost = [outcome for outcome in outcomes if isinstance(outcome, CarrelError)]
    assert len(lost) == len(outcomes) - 1, outcomes
    assert all(isinstance(error, Conflict) and str(error) for error in lost), outcomes


def test_of_two_submissions_one_wins(bench):
    request = bench.draft("export", table__csv=SAFE_TABLE)
    check_one_wins(at_once(*[lambda: bench.airlock.submit(bench.author, request.id)] * 4))
    assert bench.airlock.get(bench.author, request.id).seal == 1


def test_of_two_decisions_one_wins(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    other = replace(bench.reviewer, id="another-reviewer", name="Another")
    tried = acts(bench, request)
    check_one_wins(
        at_once(
            lambda: tried["approve"](bench.reviewer),
            lambda: tried["approve"](other),
            lambda: tried["reject"](other),
            lambda: tried["cancel"](bench.author),
        )
    )
    assert len(bench.airlock.get(bench.author, request.id).history) == 3


def test_of_two_downloads_with_one_ticket_one_wins(bench):
    request = bench.approved("export", table__csv=SAFE_TABLE)
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    check_one_wins(at_once(*[lambda: bench.downloaded(bench.author, ticket.token)] * 4))


# The end ----------------------------------------------------------------------------------------


def test_cancelling_deletes_the_files(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    bench.airlock.cancel(bench.author, request.id)
    bench.run_work()
    assert bench.store.objects(request.id) == []


def test_a_deleted_workspace_leaves_no_request_and_no_file_but_its_record(bench):
    requests = [
        bench.draft("import", a__csv=b"x"),
        bench.approved("export", table__csv=SAFE_TABLE),
        bench.submitted("export", table__csv=SAFE_TABLE),
    ]
    with bench.database.write() as connection:
        bench.airlock.drop_workspace(connection, bench.workspace)
    bench.run_work()
    for request in requests:
        assert bench.store.objects(request.id) == []
        with pytest.raises(NotFound):
            bench.airlock.get(system("test"), request.id)
        assert "airlock.created" in bench.events(request)
    assert bench.claim() is None
    assert verify(bench.database).intact


# What AzureTRE's clients use besides ------------------------------------------------------------


def test_a_member_cannot_take_out_what_another_keeps_private(bench):
    mine = bench.policies.host_member(bench.workspace, bench.author.id).uid
    for path, uid in (("mine.csv", mine), ("theirs.csv", mine + 10_000), ("shared.csv", None)):
        bench.runtime.put_outbox(bench.workspace, path, SAFE_TABLE, private_to=uid)
    request = bench.draft("export")
    listed = {f.path: f.refused for f in bench.airlock.list_outbox(bench.author, bench.workspace)}
    assert {path for path, refused in listed.items() if refused} == {"theirs.csv"}
    bench.airlock.add_from_outbox(bench.author, request.id, ["mine.csv", "shared.csv"])
    with pytest.raises(InvalidRequest, match="private to another member"):
        bench.airlock.add_from_outbox(bench.author, request.id, ["theirs.csv"])
    kept = bench.airlock.get(bench.author, request.id).files
    assert [file.name for file in kept] == ["mine.csv", "shared.csv"]


def desk(bench, request):
    return bench.airlock.open_desk(bench.reviewer, request.id, lambda: "https://link")


def test_a_reviewer_gets_one_resource_that_goes_with_the_decision(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    shown, operation = desk(bench, request)
    (made,) = shown.review_resources
    assert (made.reviewer_id, operation.resource_id) == (bench.reviewer.id, made.user_resource_id)
    with pytest.raises(Conflict, match="it runs"):
        desk(bench, request)
    bench.desks.healthy = False
    (second,) = desk(bench, request)[0].review_resources
    assert bench.desks.removed == [made]
    bench.approve(request)
    bench.run_work()
    assert bench.desks.removed == [made, second]
    assert "airlock.review_resources_removed" in bench.events(request)


def test_nobody_else_gets_a_review_resource_and_none_before_a_review(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    for who in (bench.author, bench.owner, bench.colleague):
        with pytest.raises(Denied):
            bench.airlock.open_desk(who, request.id, lambda: "")
    with pytest.raises(BadRequest, match="during a review"):
        desk(bench, bench.draft("import"))


def test_a_resource_that_cannot_be_removed_does_not_hold_the_request_up(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    desk(bench, request)
    remove, bench.desks.remove = bench.desks.remove, failing
    bench.approve(request)
    bench.run_work()
    assert bench.airlock.get(bench.author, request.id).status is Status.APPROVED
    bench.desks.remove = remove
    bench.clock.advance(120)
    bench.run_work()
    assert len(bench.desks.removed) == 1


def failing(_resource):
    raise Conflict("It is busy.")


def test_a_link_ends_with_its_persons_place(bench):
    request = bench.draft("import", a__csv=b"x")
    link = bench.airlock.make_link(bench.author, request.id)
    assert bench.airlock.follow_link(link.token, request.id).actor == bench.author
    bench.people[bench.author.id] = replace(bench.author, workspace_roles={})
    with pytest.raises(NotAuthenticated):
        bench.airlock.follow_link(link.token, request.id)
    del bench.people[bench.author.id]
    with pytest.raises(NotAuthenticated):
        bench.airlock.follow_link(link.token, request.id)


def test_pieces_count_before_they_are_a_file(database):
    bench = Bench(database, settings=Settings(request_bytes_limit=100))
    request = bench.draft("import")
    link = bench.airlock.make_link(bench.author, request.id)
    use = bench.airlock.follow_link(link.token, request.id)
    bench.airlock.add_block(use, "a.bin", "QQ==", [b"x" * 60])
    with pytest.raises(InvalidRequest):
        bench.airlock.add_block(use, "b.bin", "QQ==", [b"x" * 60])
    bench.airlock.add_block(use, "a.bin", "QQ==", [b"y" * 40])
    assert bench.airlock.join_blocks(use, "a.bin", ["QQ=="]).size_bytes == 40
    assert len(bench.store.objects(request.id)) == 1


def test_an_airlock_that_is_closed_and_a_workspace_that_is_not_there_yet(bench):
    bench.policies.closed.add(bench.workspace)
    with pytest.raises(Denied) as refused:
        bench.draft("import")
    assert refused.value.status == 405
    bench.policies.closed.clear()
    bench.policies.undeployed.add(bench.workspace)
    with pytest.raises(Conflict, match=r"Workspace is not deployed\."):
        bench.draft("import")


def test_a_decision_without_a_manifest_says_so(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    decided = bench.airlock.review(bench.reviewer, request.id, approve=True, explanation="ok")
    (review,) = decided.reviews
    assert (review.has_named_seal, review.manifest_sha256) == (False, request.manifest_sha256)
