"""Do commands print what they should where they should, and fail with a sentence and a status?"""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from carrel.cli import client, groups, main, output, properties, sample, setup, target
from carrel.core.errors import (
    CarrelError,
    Conflict,
    Denied,
    InvalidRequest,
    IsolationNotEnforced,
    NotAuthenticated,
    NotFound,
    Unavailable,
)
from carrel.core.settings import load

WORKSPACE = {
    "id": "11111111-1111-4111-8111-111111111111",
    "templateName": "restricted",
    "templateVersion": "1.0.0",
    "deploymentStatus": "deployed",
    "isEnabled": True,
    "_etag": "e1",
    "resourcePath": "/workspaces/11111111-1111-4111-8111-111111111111",
    "properties": {"display_name": "Heart [failure]", "description": "x"},
    "updatedWhen": 1767225600.0,
    "user": {"name": "Ada"},
}
OPERATION = {
    "id": "22222222-2222-4222-8222-222222222222",
    "resourceId": WORKSPACE["id"],
    "resourcePath": WORKSPACE["resourcePath"],
    "action": "install",
    "status": "deploying",
    "message": "",
    "steps": [{"stepTitle": "Prepare", "status": "deploying", "message": "half way"}],
}


class Tre:
    """A stand-in for the API: canned answers by method and path, and what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        tre = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                tre.asked.append((f"{self.command} {self.path}", dict(self.headers), body))
                answers = tre.answers.get(f"{self.command} {path}", [(404, {"detail": "Absent."})])
                status, given = answers.pop(0) if len(answers) > 1 else answers[0]
                raw = b"" if given is None else json.dumps(given).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815 - the library's names

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, what: str, *answers: tuple[int, Any]) -> None:
        self.answers[what] = list(answers)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person with a home folder of their own and no TRE on this machine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CARREL_HOME", str(tmp_path / "tre"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def tre(person: Path) -> Iterator[Tre]:
    made = Tre()
    made.answer("GET /api/workspaces", (200, {"workspaces": [WORKSPACE]}))
    made.answer(f"GET /api{WORKSPACE['resourcePath']}", (200, {"workspace": WORKSPACE}))
    client.keep(client.Login(made.url, "", "a-token", "ada"))
    yield made
    made.close()


def test_global_options_may_stand_anywhere():
    assert target.hoist(["up", "--port", "1", "--home", "/x", "--url=u"]) == [
        "--home", "/x", "--url=u", "up", "--port", "1",
    ]  # fmt: skip
    assert target.hoist(["a", "--", "--home", "x"]) == ["a", "--", "--home", "x"]


def test_only_the_named_command_is_loaded():
    assert groups._named(["--home", "up", "status", "--json"]) == "status"
    assert groups._named(["--help", "status"]) is None
    assert groups._named(["nonsense"]) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("x"), 2),
        (NotAuthenticated("x"), 3),
        (Denied("x"), 4),
        (NotFound("x"), 5),
        (Conflict("x"), 6),
        (Unavailable("x"), 1),
        (IsolationNotEnforced("x"), 1),
    ],
)
def test_every_error_has_its_exit_status(error: CarrelError, status: int):
    assert main.exit_code(error) == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NotAuthenticated), (403, Denied), (404, NotFound), (409, Conflict),
     (422, InvalidRequest), (503, Unavailable)],
)  # fmt: skip
def test_a_problem_document_becomes_its_error(status: int, kind: type[CarrelError]):
    body = {"detail": "Do this.", "field": "name", "request_id": "r"}
    error = client.problem(httpx.Response(status, json=body))
    assert type(error) is kind
    assert str(error).startswith("Do this.")
    assert error.field == "name"


def test_without_a_login_the_status_is_three(capsys: pytest.CaptureFixture[str]):
    assert main.run(["workspace", "list"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "carrel login" in printed.err


def test_wrong_usage_is_two(capsys: pytest.CaptureFixture[str]):
    assert main.run(["workspace", "show"]) == 2
    assert main.run(["nonsense"]) == 2
    assert capsys.readouterr().out == ""


def test_nothing_listening_is_a_sentence(capsys: pytest.CaptureFixture[str]):
    client.keep(client.Login("http://127.0.0.1:9", "", "t", "ada"))
    assert main.run(["workspace", "list"]) == 1
    assert "Nothing answers at http://127.0.0.1:9" in capsys.readouterr().err


def test_json_stands_alone_on_standard_output(tre: Tre, capsys: pytest.CaptureFixture[str]):
    assert main.run(["workspace", "list", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"workspaces": [WORKSPACE]}
    assert printed.err == ""
    assert tre.asked[0][1]["Authorization"] == "Bearer a-token"


def test_names_are_printed_as_they_are(tre: Tre, capsys: pytest.CaptureFixture[str]):
    """Square brackets are markup to rich; a name must not be."""
    assert main.run(["workspace", "list"]) == 0
    assert "Heart [failure]" in capsys.readouterr().out


def test_a_workspace_is_found_by_name_and_by_id(tre: Tre, capsys: pytest.CaptureFixture[str]):
    assert main.run(["workspace", "show", "heart [FAILURE]", "--json"]) == 0
    by_name = capsys.readouterr().out
    assert main.run(["workspace", "show", str(WORKSPACE["id"]), "--json"]) == 0
    assert capsys.readouterr().out == by_name
    assert main.run(["workspace", "show", "other"]) == 5


def test_an_ambiguous_name_is_a_conflict(tre: Tre, capsys: pytest.CaptureFixture[str]):
    tre.answer("GET /api/workspaces", (200, {"workspaces": [WORKSPACE, WORKSPACE]}))
    assert main.run(["workspace", "show", "Heart [failure]"]) == 6


def test_creating_watches_the_operation(tre: Tre, capsys: pytest.CaptureFixture[str]):
    path = f"/api{OPERATION['resourcePath']}/operations/{OPERATION['id']}"
    tre.answer("POST /api/workspaces", (202, {"operation": OPERATION}))
    done = {**OPERATION, "status": "deployed"}
    tre.answer(f"GET {path}", (200, {"operation": OPERATION}), (200, {"operation": done}))
    assert main.run(["workspace", "create", "Heart", "-p", "size=4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["operation"]["status"] == "deployed"
    sent = json.loads(tre.asked[0][2])
    assert sent["templateName"] == "restricted"
    assert sent["properties"] == {
        "size": 4,
        "display_name": "Heart",
        "description": "Heart",
        "workspace_owner_object_id": "",
    }


def test_an_operation_that_fails_is_status_one(tre: Tre, capsys: pytest.CaptureFixture[str]):
    failed = {**OPERATION, "status": "deployment_failed", "message": "The disk is full."}
    tre.answer("POST /api/workspaces", (202, {"operation": failed}))
    assert main.run(["workspace", "create", "Heart"]) == 1
    assert "The disk is full." in capsys.readouterr().err


def test_a_deleted_resource_counts_as_done(tre: Tre, capsys: pytest.CaptureFixture[str]):
    """As in AzureTRE, the operation of what is gone is not found."""
    gone = {**OPERATION, "action": "uninstall", "status": "deleting"}
    tre.answer(f"DELETE /api{WORKSPACE['resourcePath']}", (200, {"operation": gone}))
    assert main.run(["workspace", "delete", "Heart [failure]", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["operation"]["status"] == "deleted"


def test_a_change_carries_the_etag_it_saw(tre: Tre, capsys: pytest.CaptureFixture[str]):
    stale = {"detail": "Somebody else changed it.", "status": 409}
    tre.answer(f"PATCH /api{WORKSPACE['resourcePath']}", (409, stale))
    assert main.run(["workspace", "disable", "Heart [failure]"]) == 6
    assert tre.asked[-1][1]["etag"] == "e1"
    assert "Somebody else changed it." in capsys.readouterr().err


def test_signing_in_keeps_a_private_token(
    person: Path, tre: Tre, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    tre.answer(
        "POST /api/sign-in", (200, {"token": "fresh", "account": {"display_name": "Ada A."}})
    )
    assert main.run(["login", "ada", "--password-stdin", "--url", tre.url]) == 0
    printed = capsys.readouterr()
    assert "fresh" not in printed.out + printed.err
    [kept] = (person / ".config" / "carrel").glob("*.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(tre.asked[-1][2]) == {"username": "ada", "password": "secret"}
    tre.answer("POST /api/sign-out", (204, None))
    assert main.run(["logout"]) == 0
    assert not kept.exists()


def test_a_fault_is_never_a_traceback(person: Path, tre: Tre, capsys: pytest.CaptureFixture[str]):
    tre.answer("GET /api/workspaces", (200, ["not", "what", "was", "promised"]))
    assert main.run(["workspace", "list"]) == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err + printed.out
    assert "Traceback" in (person / "tre" / "logs" / "cli.log").read_text()


def test_own_password_and_authenticator_app_by_commands(
    tre: Tre, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("old one\nnew one\nmine\n"))
    for path in ("password", "totp/confirm", "totp/remove"):
        tre.answer(f"POST /api/me/{path}", (204, None))
    tre.answer("POST /api/me/totp", (201, {"uri": "otpauth://totp/x"}))
    assert main.run(["account", "password", "change"]) == 0
    assert json.loads(tre.asked[-1][2]) == {"old": "old one", "new": "new one"}
    capsys.readouterr()
    assert main.run(["account", "totp", "start"]) == 0
    assert capsys.readouterr().out == "otpauth://totp/x\n"
    assert main.run(["account", "totp", "confirm", "123456"]) == 0
    assert json.loads(tre.asked[-1][2]) == {"code": "123456"}
    assert main.run(["account", "totp", "remove"]) == 0
    assert json.loads(tre.asked[-1][2]) == {"password": "mine"}


def test_an_administrator_helps_by_commands(tre: Tre, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a new one\n"))
    tre.answer("GET /api/accounts", (200, {"accounts": [{"id": "i1", "username": "rosa"}]}))
    tre.answer("POST /api/accounts/i1/password", (204, None))
    tre.answer("DELETE /api/accounts/i1/totp", (204, None))
    assert main.run(["account", "password", "reset", "rosa"]) == 0
    assert json.loads(tre.asked[-1][2]) == {"password": "a new one"}
    assert main.run(["account", "totp", "remove", "rosa"]) == 0
    assert tre.asked[-1][0] == "DELETE /api/accounts/i1/totp"


REQUEST = f"/api{WORKSPACE['resourcePath']}/requests/r1"
SEAL = "ab12" * 16


def review(*arguments: str) -> int:
    return main.run(["airlock", "review", "Heart [failure]", "r1", "--approve", "-m", "ok",
                     *arguments])  # fmt: skip


def an_airlock_request(**changed: Any) -> dict[str, Any]:
    request = {
        "id": "r1", "title": "Table", "type": "export", "status": "in_review",
        "businessJustification": "Paper", "manifestSha256": SEAL,
    }  # fmt: skip
    return {"airlockRequest": {**request, **changed}, "allowedUserActions": []}


def test_a_review_names_the_seal_that_was_seen(tre: Tre, capsys: pytest.CaptureFixture[str]):
    tre.answer(f"GET {REQUEST}", (200, an_airlock_request()))
    tre.answer(f"POST {REQUEST}/review", (200, an_airlock_request(status="approved")))
    assert review() == 2, "without --manifest"
    assert review("--manifest", SEAL[:11]) == 2, "too short"
    assert review("--manifest", "f" * 64) == 6, "another seal"
    assert "Another seal is in force now" in capsys.readouterr().err
    assert not [what for what, _, _ in tre.asked if what.startswith("POST")]
    assert review("--manifest", SEAL[:12]) == 0
    assert json.loads(tre.asked[-1][2])["manifestSha256"] == SEAL


def sent(tre: Tre) -> Any:
    return json.loads(tre.asked[-1][2])


def test_reviewers_decide_together_by_commands(tre: Tre, capsys: pytest.CaptureFixture[str]):
    bench = {
        "turn": "independent", "reviewers": 2, "submitted": [], "comments": [],
        "files": [{"name": "a.csv", "change": "new", "vote": "approved", "others": {},
                   "outcome": None}],
    }  # fmt: skip
    tre.answer(f"GET {REQUEST}", (200, an_airlock_request()))
    tre.answer(f"GET {REQUEST}/bench", (200, bench))
    tre.answer(f"PUT {REQUEST}/votes", (200, bench))
    tre.answer(f"POST {REQUEST}/comments", (201, {"comment": {"id": "c1"}}))
    tre.answer(f"POST {REQUEST}/comments/c1/publish", (200, {"comment": {"id": "c1"}}))
    tre.answer(f"PUT {REQUEST}/groups/Main%20tables", (200, {"groups": []}))
    done = an_airlock_request(detailedStatus="reviewed")
    tre.answer(f"POST {REQUEST}/submitted-review", (200, done))
    tre.answer(f"POST {REQUEST}/decide", (200, done))
    here = ["Heart [failure]", "r1"]
    assert main.run(["airlock", "bench", *here]) == 0
    assert main.run(["airlock", "vote", *here, "a.csv", "change"]) == 0
    assert sent(tre) == {"file": "a.csv", "vote": "changes_requested"}
    assert main.run(["airlock", "vote", *here, "a.csv", "perhaps"]) == 2
    assert main.run(["airlock", "comment", *here, "Row 3", "--public"]) == 0
    assert sent(tre) == {"text": "Row 3", "group": "", "public": True}
    assert main.run(["airlock", "comment", *here, "c1", "--publish"]) == 0
    assert main.run(["airlock", "group", *here, "Main tables", "a.csv", "--context", "Ages"]) == 0
    assert sent(tre) == {"files": ["a.csv"], "context": "Ages", "controls": ""}
    assert main.run(["airlock", "submit-review", *here, "--manifest", SEAL[:12], "-m", "ok"]) == 0
    assert sent(tre) == {"explanation": "ok", "manifestSha256": SEAL}
    assert main.run(["airlock", "decide", *here, "approve", "--manifest", SEAL]) == 0
    assert sent(tre)["decision"] == "approve"
    assert main.run(["airlock", "decide", *here, "maybe", "--manifest", SEAL]) == 2
    assert "a.csv" in capsys.readouterr().out


def test_an_administrator_changes_a_policy_by_command(tre: Tre):
    policy = {"reviewers": 1, "blinded": False, "exportTypes": [".csv"]}
    found = {"policy": policy, "version": 3, "sha256": SEAL, "decidedBy": "", "decidedWhen": None}
    path = REQUEST.split("/requests/", maxsplit=1)[0] + "/airlock-policy"
    tre.answer(f"GET {path}", (200, found))
    tre.answer(f"PUT {path}", (200, found))
    assert main.run(["airlock", "policy", "Heart [failure]"]) == 0
    changed = ["-s", "reviewers=2", "-s", "blinded=true", "-s", "exportTypes=.csv,.txt"]
    assert main.run(["airlock", "policy", "Heart [failure]", *changed]) == 0
    assert sent(tre) == {
        "reviewers": 2, "blinded": True, "exportTypes": [".csv", ".txt"], "version": 3,
    }  # fmt: skip


def test_a_reviewer_sees_a_file(tre: Tre, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tre.answer(f"GET {REQUEST}/files/a%20b.csv/content", (200, {"n": 12}))
    view = ["airlock", "view", "Heart [failure]", "r1", "a b.csv"]
    assert main.run(view) == 0
    assert capsys.readouterr().out == '{"n": 12}'
    target = tmp_path / "seen.csv"
    assert main.run([*view, "--save", str(target)]) == 0
    assert target.read_text() == '{"n": 12}'
    assert main.run([*view, "--save", str(target)]) == 6


def test_a_justification_is_what_the_person_gave(tre: Tre):
    requests = f"/api{WORKSPACE['resourcePath']}/requests"
    tre.answer(f"POST {requests}", (201, an_airlock_request()))
    tre.answer(f"GET {REQUEST}", (200, an_airlock_request()))
    tre.answer(f"PATCH {REQUEST}", (200, an_airlock_request()))
    assert main.run(["airlock", "new", "Heart [failure]", "export", "Table"]) == 0
    assert json.loads(tre.asked[-1][2])["businessJustification"] == ""
    assert main.run(["airlock", "amend", "Heart [failure]", "r1", "--justification", "Why"]) == 0
    assert json.loads(tre.asked[-1][2]) == {"title": "Table", "businessJustification": "Why"}
    assert main.run(["airlock", "amend", "Heart [failure]", "r1"]) == 2


def test_properties_are_json_where_they_can_be(tmp_path: Path):
    file = tmp_path / "p.json"
    file.write_text('{"a": 1, "b": [1]}')
    assert properties.read(["a=x", "c=true", "d=4", "e=1=2"], file, name="N") == {
        "a": "x", "b": [1], "c": True, "d": 4, "e": "1=2", "display_name": "N",
    }  # fmt: skip


def test_a_property_without_a_value_is_refused():
    with pytest.raises(InvalidRequest, match="NAME=VALUE"):
        properties.read(["nonsense"])


def test_settings_are_changed_in_their_file_and_the_rest_stays(tmp_path: Path):
    home = tmp_path / "tre"
    home.mkdir()
    (home / "carrel.toml").write_text('tre_name = "Mine"\nportal_port = 1000\n# a remark\n')
    changed = setup.configure(load(home), {"portal_port": 9443, "gateway_port": 9444})
    assert (changed.portal_port, changed.gateway_port, changed.tre_name) == (9443, 9444, "Mine")
    assert "# a remark" in (home / "carrel.toml").read_text()


def test_demo_logins_are_private_and_read_back(tmp_path: Path):
    setup.write_logins(tmp_path, {"admin": "pw-1", "olivia": "pw-2"})
    assert setup.read_logins(tmp_path) == {"admin": "pw-1", "olivia": "pw-2"}
    assert (tmp_path / setup.LOGINS).stat().st_mode & 0o777 == 0o600


def test_the_demo_patients_are_always_the_same_and_plausible():
    rows = [line.split(",") for line in sample.dataset().decode().splitlines()]
    assert sample.dataset() == sample.dataset()
    assert len(rows) == sample.PATIENTS + 1
    assert all(24 <= int(row[1]) <= 80 and int(row[4]) > 0 for row in rows[1:])
    assert {row[5] for row in rows[1:]} == {"0", "1"}


def test_sizes_and_times_are_for_people():
    assert [output.size(number) for number in (0, 1023, 1536, 5 * 2**30)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 GiB",
    ]  # fmt: skip
    assert output.moment(1767225600.0) == "2026-01-01 00:00:00"
    assert output.moment(None) == ""


def test_the_status_is_shown_though_the_database_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CARREL_HOME", str(tmp_path))
    (tmp_path / "carrel.db").mkdir()
    assert main.run(["status"]) == 1
    shown = capsys.readouterr()
    assert "gateway" in shown.out
    assert "Isolation" in shown.out
    assert "Workspaces  unknown" in shown.out
    assert "The database does not answer" in shown.err
    assert main.run(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["workspaces"] is None


def test_the_server_decides_whether_an_approval_needs_an_explanation(tre: Tre):
    tre.answer(f"GET {REQUEST}", (200, an_airlock_request()))
    tre.answer(f"POST {REQUEST}/review", (200, an_airlock_request(status="approved")))
    words = ["airlock", "review", "Heart [failure]", "r1", "--approve", "--manifest", SEAL]
    assert main.run(words) == 0
    assert json.loads(tre.asked[-1][2])["decisionExplanation"] == ""


def test_a_dry_run_shows_the_plan_and_waits_for_nothing(
    tre: Tre, capsys: pytest.CaptureFixture[str]
):
    plan = {
        "action": "upgrade",
        "steps": [{"stepTitle": "Make its network", "resourceId": WORKSPACE["id"]}],
        "changes": [{"property": "disk_gib", "from": 10, "to": 20}],
        "warnings": ["It restarts nothing."],
    }
    tre.answer(f"PATCH /api{WORKSPACE['resourcePath']}", (200, {"plan": plan}))
    asked = ["workspace", "update", "Heart [failure]", "-p", "disk_gib=20", "--dry-run"]
    assert main.run(asked) == 0
    shown = capsys.readouterr().out
    assert "disk_gib" in shown
    assert "Make its network" in shown
    assert "restarts nothing" in shown
    assert tre.asked[-1][0].endswith("?dry_run=true")
    assert main.run([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"plan": plan}


def test_a_forced_change_says_so_to_the_server(tre: Tre):
    tre.answer(f"PATCH /api{WORKSPACE['resourcePath']}", (202, {"operation": OPERATION}))
    asked = ["workspace", "update", WORKSPACE["id"], "--template-version", "2.0.0", "--force"]
    assert main.run([*asked, "--no-wait", "--json"]) == 0
    assert tre.asked[-1][0].endswith("?force_version_update=true")


@pytest.mark.parametrize("group", ["workspace", "service", "resource", "shared-service"])
def test_every_kind_of_resource_has_the_same_commands(group: str):
    common = {"show", "update", "enable", "disable", "delete", "action"}
    common |= {"operations", "history", "usage", "list", "create"}
    whole: Any = typer.main.get_command(groups.build())
    assert common <= set(whole.commands[group].commands)


def test_any_route_can_be_called(tre: Tre, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    tre.answer("POST /api/things", (200, {"made": True}))
    body = tmp_path / "body.json"
    body.write_text('{"a": 1}')
    assert main.run(["api", "post", "things", "--body", f"@{body}", "-q", "x=1"]) == 0
    assert json.loads(capsys.readouterr().out) == {"made": True}
    what, _, sent = tre.asked[-1]
    assert what == "POST /api/things?x=1"
    assert json.loads(sent) == {"a": 1}
    assert main.run(["api", "BREW", "things"]) == 2
    assert main.run(["api", "post", "things", "--body", "{"]) == 2


def test_an_unwell_tre_is_status_one(tre: Tre, capsys: pytest.CaptureFixture[str]):
    services = [{"service": "Cosmos DB", "status": "Not OK", "message": "It is away."}]
    tre.answer("GET /api/health", (200, {"services": services}))
    assert main.run(["health"]) == 1
    assert "It is away." in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_learns_the_commands(shell: str, capsys: pytest.CaptureFixture[str]):
    assert main.run(["completion", shell]) == 0
    assert "_CARREL_COMPLETE" in capsys.readouterr().out


def test_completion_knows_commands_and_the_names_of_workspaces(tre: Tre):
    def completed(words: str, place: int) -> list[str]:
        asked = {"_CARREL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        carrel = Path(sys.executable).with_name("carrel")
        ran = subprocess.run(
            [carrel], env={**os.environ, **asked}, capture_output=True, text=True, check=True
        )
        return ran.stdout.splitlines()

    assert "workspace" in completed("carrel work", 1)
    assert completed("carrel workspace cre", 2) == ["create"]
    assert completed("carrel workspace show Hea", 3) == [WORKSPACE["properties"]["display_name"]]
