"""Does a session that ACRO 1.0.2 really wrote go through the airlock as claims, not as proof?

`acro_session/` is what `finalise()` wrote for 400 invented people: a suppressed frequency table, a
table of means, a regression, a histogram that fails, a custom output, and its own summaries.
"""

from pathlib import Path

import pytest

from carrel.airlock.rules import Severity, Status
from carrel.core.errors import Conflict, Denied, InvalidRequest
from tests.airlock import Bench

SESSION = Path(__file__).parent / "acro_session"
OUTPUTS = {
    "session/histogram_0.png",
    "session/note.txt",
    *(f"session/output_{name}.csv" for name in ("0_0", "1_0", "2_0", "2_1", "2_2")),
}


@pytest.fixture
def bench(database):
    return Bench(database)


def draft_with_session(bench: Bench, **changed: bytes):
    request = bench.draft("export")
    for file in sorted(SESSION.rglob("*")):
        if file.is_file():
            name = f"session/{file.relative_to(SESSION).as_posix()}"
            content = changed.get(file.name.replace(".", "__"), file.read_bytes())
            bench.runtime.put_outbox(bench.workspace, name, content)
            bench.airlock.add_from_outbox(bench.author, request.id, [name])
    return bench.airlock.get(bench.author, request.id)


def test_a_real_session_is_cut_down_to_its_outputs_with_claims(bench):
    request = draft_with_session(bench)
    files = bench.airlock.adopt_session(bench.author, request.id, "session")
    assert {file.name for file in files} == OUTPUTS
    after = bench.airlock.get(bench.author, request.id)
    assert {file.name for file in after.files} == OUTPUTS
    kept = {(stage, file_id) for stage, file_id in bench.store.objects(request.id)}
    assert {file_id for _, file_id in kept} == {file.id for file in after.files}
    [table] = [file for file in after.files if file.name.endswith("output_0_0.csv")]
    assert table.context["acro"]["variables"] == ["region", "sex"]
    assert "airlock.session_adopted" in bench.events(request)


def test_the_reviewer_sees_what_acro_objects_to(bench):
    request = draft_with_session(bench)
    bench.airlock.adopt_session(bench.author, request.id, "session/")
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    sealed = bench.airlock.get(bench.author, request.id)
    assert sealed.status is Status.IN_REVIEW, sealed.status_message
    findings = bench.airlock.list_findings(bench.reviewer, request.id)
    by_acro = {(one.file, one.rule, one.severity) for one in findings if "ACRO" in one.scanner}
    assert by_acro == {
        ("session/histogram_0.png", "acro_fail", Severity.FLAG),
        ("session/output_0_0.csv", "acro_exception", Severity.CHECK),
        ("session/output_1_0.csv", "acro_exception", Severity.CHECK),
    }


def test_a_changed_file_is_refused_and_the_draft_stays_whole(bench):
    table = (SESSION / "output_0_0.csv").read_bytes()
    request = draft_with_session(bench, output_0_0__csv=table.replace(b"D,,", b"D,9.0,"))
    with pytest.raises(InvalidRequest, match=r"output_0_0\.csv is not the file that ACRO wrote"):
        bench.airlock.adopt_session(bench.author, request.id, "session")
    assert bench.airlock.get(bench.author, request.id) == request


def test_a_folder_without_a_session_says_so(bench):
    request = draft_with_session(bench)
    with pytest.raises(InvalidRequest, match=r"no results\.json in this folder"):
        bench.airlock.adopt_session(bench.author, request.id, "elsewhere")


def test_only_the_author_of_a_draft_may(bench):
    request = draft_with_session(bench)
    for who in (bench.reviewer, bench.colleague):
        with pytest.raises(Denied):
            bench.airlock.adopt_session(who, request.id, "session")
    bench.airlock.adopt_session(bench.author, request.id, "session")
    bench.airlock.submit(bench.author, request.id)
    with pytest.raises(Conflict):
        bench.airlock.adopt_session(bench.author, request.id, "session")


def test_describing_an_output_keeps_the_claim(bench):
    request = draft_with_session(bench)
    bench.airlock.adopt_session(bench.author, request.id, "session")
    name = "session/output_0_0.csv"
    file = bench.airlock.describe_file(bench.author, request.id, name, {"text": "Counts."})
    assert file.context["text"] == "Counts."
    assert file.context["acro"]["uid"] == "output_0"
