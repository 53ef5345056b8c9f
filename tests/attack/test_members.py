"""Can members and strangers reach what is not theirs, by any door?"""

import pytest

from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.ids import new_id
from tests.machine import Study, compute, make_study, start_lab

pytestmark = [pytest.mark.root, pytest.mark.machine]


@pytest.fixture(scope="module")
def mine(tre: ThrowAwayTre, admin: Person) -> Study:
    return make_study(admin, f"Mine {new_id()[:6]}")


@pytest.fixture(scope="module")
def other(tre: ThrowAwayTre, admin: Person) -> Study:
    return make_study(admin, f"Other {new_id()[:6]}")


@pytest.fixture(scope="module")
def labs(mine: Study, other: Study) -> dict[str, str]:
    return {
        "researcher": start_lab(mine, mine.researcher),
        "second": start_lab(mine, mine.second),
        "stranger": start_lab(other, other.researcher),
    }


PLANT = """import pathlib
home = pathlib.Path.home()
(home / "private.txt").write_text("only mine")
pathlib.Path("/shared/common.txt").write_text("for all of us")
print(home)"""

LOOK = """import os, pathlib
def seen(root):
    try:
        return sorted(str(p) for p in pathlib.Path(root).rglob("*.txt"))
    except OSError as error:
        return [type(error).__name__]
print(seen("/shared"))
print(seen("/home"), sorted(os.listdir("/home")))"""


def test_members_share_the_shared_folder_and_nothing_else(tre, mine, other, labs):
    (home,) = compute(tre, mine.researcher, mine.workspace, labs["researcher"], [PLANT])
    assert home.startswith("/home/")
    (seen,) = compute(tre, mine.second, mine.workspace, labs["second"], [LOOK])
    assert "/shared/common.txt" in seen
    assert "private.txt" not in seen
    assert home.strip() not in seen
    (seen,) = compute(tre, other.researcher, other.workspace, labs["stranger"], [LOOK])
    assert "common.txt" not in seen
    assert "private.txt" not in seen


PROBE_OTHER_TOOL = """import urllib.request, urllib.error
def ask(port):
    try:
        url = f"http://127.0.0.1:{port}{path}"
        return urllib.request.urlopen(url, timeout=2).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return type(error).__name__
"""


def test_another_members_tool_does_not_answer_without_its_token(tre, mine, labs):
    base = f"/ws/{mine.workspace}/{labs['researcher']}/api/contents"
    code = (
        f"path = {base!r}\n{PROBE_OTHER_TOOL}"
        "print([s for s in (ask(p) for p in range(20000, 20010)) if s not in ('URLError',)])"
    )
    (answers,) = compute(tre, mine.second, mine.workspace, labs["second"], [code])
    assert "200" not in answers
    assert "403" in answers, "The control: the tool is there and refuses."


def test_a_member_cannot_open_another_members_tool(tre, mine, labs):
    for person in (mine.second, mine.owner, mine.checker):
        status = tool_status(tre, person, mine.workspace, labs["researcher"])
        assert status == 404
    assert tool_status(tre, mine.researcher, mine.workspace, labs["researcher"]) == 200


def tool_status(tre: ThrowAwayTre, person: Person, workspace: str, lab: str) -> int:
    base, host = tre.gateway_address(workspace, lab)
    return person.request("GET", f"{base}api/status", headers={"Host": host}).status_code


def test_a_stranger_gets_404_from_every_route_of_the_workspace(mine, other, labs):
    stranger, w, s = other.researcher, mine.workspace, mine.service
    lab = labs["researcher"]
    request = mine.researcher.raise_request(w, "import", "Mine")
    paths = [
        f"/api/workspaces/{w}",
        f"/api/workspaces/{w}/workspace-services",
        f"/api/workspaces/{w}/workspace-services/{s}",
        f"/api/workspaces/{w}/workspace-services/{s}/user-resources",
        f"/api/workspaces/{w}/workspace-services/{s}/user-resources/{lab}",
        f"/api/workspaces/{w}/operations",
        f"/api/workspaces/{w}/history",
        f"/api/workspaces/{w}/users",
        f"/api/workspaces/{w}/requests",
        f"/api/workspaces/{w}/requests/{request}",
        f"/api/workspaces/{w}/requests/{request}/findings",
        f"/api/workspaces/{w}/outbox",
        f"/api/workspaces/{other.workspace}/workspace-services/{s}",
        f"/api/workspaces/{other.workspace}/requests/{request}",
    ]
    assert {path: stranger.request("GET", path).status_code for path in paths} == dict.fromkeys(
        paths, 404
    )


def test_a_stranger_cannot_open_the_tool(tre, mine, other, labs):
    assert tool_status(tre, other.researcher, mine.workspace, labs["researcher"]) == 404
    assert tool_status(tre, other.researcher, other.workspace, labs["researcher"]) == 404
