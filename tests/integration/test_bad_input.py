"""Does bad input get a clear sentence, and is nothing lost by it? On a whole, real TRE."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.ids import new_id
from carrel.core.settings import child_environment
from tests.machine import Study, compute, make_study, make_workspace, start_lab

pytestmark = [pytest.mark.root, pytest.mark.machine]


@pytest.fixture(scope="module")
def study(tre: ThrowAwayTre, admin: Person) -> Study:
    return make_study(admin, f"Clumsy {new_id()[:6]}")


@pytest.fixture(scope="module")
def lab(study: Study) -> str:
    return start_lab(study, study.researcher)


def complaint(person: Person, method: str, path: str, **rest) -> tuple[int, str]:
    answer = person.request(method, path, **rest)
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    return answer.status_code, answer.json()["detail"]


def workspace_body(name: str, **properties) -> dict:
    given = {"display_name": name, "description": "Made by a test", **properties}
    return {"templateName": "restricted", "properties": given}


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"colour": "blue"}, "colour"),
        ({"disk_gib": "much"}, "disk_gib"),
        ({"disk_gib": -1}, "disk_gib"),
    ],
)
def test_a_wrong_property_is_named_and_nothing_is_created(admin: Person, properties, says):
    name = f"Wrong {new_id()[:6]}"
    status, sentence = complaint(
        admin, "POST", "/api/workspaces", json=workspace_body(name, **properties)
    )
    assert status in {400, 422}
    assert says in sentence
    assert name not in str(admin.get("/api/workspaces"))


def test_a_name_clash_says_so(tre, admin: Person):
    name = f"Twice {new_id()[:6]}"
    make_workspace(admin, name)
    status, sentence = complaint(admin, "POST", "/api/workspaces", json=workspace_body(name))
    assert status == 409
    assert name in sentence


def test_a_double_click_creates_one_workspace(admin: Person):
    name = f"Double {new_id()[:6]}"
    key = {"Idempotency-Key": new_id()}

    def click(_: int):
        return admin.request("POST", "/api/workspaces", json=workspace_body(name), headers=key)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(click, range(2)))
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["operation"]["resourceId"] for answer in answers}) == 1
    admin.wait(answers[0].json())


def test_a_stale_etag_loses_and_says_what_to_do(admin: Person, study: Study):
    path = f"/api/workspaces/{study.workspace}"
    etag = admin.get(path)["workspace"]["_etag"]
    change = {"properties": {"description": "First"}}
    first = admin.request("PATCH", path, json=change, headers={"etag": etag})
    assert first.status_code == 202
    admin.wait(first.json())
    change = {"properties": {"description": "Second"}}
    status, sentence = complaint(admin, "PATCH", path, json=change, headers={"etag": etag})
    assert status == 409
    assert "again" in sentence
    assert admin.get(path)["workspace"]["properties"]["description"] == "First"


PLANT = """import os, pathlib
box = pathlib.Path("/outbox")
(box / "good.txt").write_text("fine")
(box / "empty.txt").write_text("")
(box / "two\\nlines.txt").write_text("x")
for name, make in (
    ("link.txt", lambda p: p.symlink_to("/etc/passwd")),
    ("pipe.txt", lambda p: os.mkfifo(p)),
    ("hard.txt", lambda p: os.link(box / "good.txt", p)),
):
    path = box / name
    path.unlink(missing_ok=True)
    make(path)
other = box / "single.txt"
other.write_text("one link only")"""


@pytest.mark.parametrize(
    "path", ["link.txt", "pipe.txt", "hard.txt", "empty.txt", "two\nlines.txt", "../good.txt", ""]
)
def test_what_must_not_be_collected_is_refused_with_the_reason(tre, study: Study, lab, path):
    compute(tre, study.researcher, study.workspace, lab, [PLANT])
    request = study.researcher.raise_request(study.workspace, "export", "Odd files")
    base = f"/api/workspaces/{study.workspace}/requests/{request}"
    status, sentence = complaint(
        study.researcher, "POST", f"{base}/collect", json={"paths": [path]}
    )
    assert status in {400, 404, 422}
    assert len(sentence) > 20
    assert study.researcher.show_request(study.workspace, request)["files"] == []


def test_a_file_changed_after_sealing_leaves_as_it_was_sealed(tre, study: Study, lab):
    write = "import pathlib; pathlib.Path('/outbox/result.txt').write_text({!r})"
    compute(tre, study.researcher, study.workspace, lab, [write.format("sealed")])
    request = study.researcher.raise_request(study.workspace, "export", "Swapped later")
    study.researcher.collect(study.workspace, request, ["result.txt"])
    study.researcher.submit(study.workspace, request)
    compute(tre, study.researcher, study.workspace, lab, [write.format("swapped")])
    study.checker.review(study.workspace, request, approve=True, explanation="Seen and fine.")
    study.researcher.wait_for_request(study.workspace, request, "approved")
    files, _ = study.researcher.download_release(study.workspace, request)
    assert files["result.txt"] == b"sealed"


def test_a_double_submit_is_one_submission(study: Study):
    request = study.researcher.raise_request(study.workspace, "import", "Clicked twice")
    study.researcher.upload(study.workspace, request, "note.txt", b"hello")
    path = f"/api/workspaces/{study.workspace}/requests/{request}/submit"

    def click(_: int) -> int:
        return study.researcher.request("POST", path, json={}).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(click, range(2))) in ([200, 200], [200, 400])
    study.researcher.wait_for_request(study.workspace, request, "in_review")


def test_a_full_disk_inside_stops_the_writer_and_nobody_else(tre, admin: Person):
    study = make_study(admin, f"Full {new_id()[:6]}", disk_gib=1)
    lab = start_lab(study, study.researcher)
    fill = """import os, errno
written = 0
try:
    with open("/shared/fill", "wb", buffering=0) as file:
        while True:
            written += file.write(b"x" * 2**24)
except OSError as error:
    print(errno.errorcode[error.errno])
os.remove("/shared/fill")
print("freed")"""
    (printed,) = compute(tre, study.researcher, study.workspace, lab, [fill])
    assert printed.split() == ["ENOSPC", "freed"]
    assert admin.get("/api/health")


def test_a_taken_port_is_named_with_its_holder(tre: ThrowAwayTre, tmp_path):
    env = child_environment(CARREL_HOME=str(tmp_path / "home"))
    taken = str(tre.settings.portal_port)
    done = subprocess.run(
        [sys.executable, "-m", "carrel.cli.main", "up", "--port", taken],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert done.returncode != 0
    assert taken in done.stderr
    assert "process" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_bodies_get_sentences_and_no_500(admin: Person):
    for content in (b"", b"{", b"[]", b'"x"', b'{"templateName": 5}', b"\xff\xfe", b"null"):
        started = time.monotonic()
        answer = admin.request(
            "POST",
            "/api/workspaces",
            content=content,
            headers={"Content-Type": "application/json"},
        )
        assert 400 <= answer.status_code < 500, (content, answer.text)
        assert answer.json()["detail"], content
        assert time.monotonic() - started < 5
