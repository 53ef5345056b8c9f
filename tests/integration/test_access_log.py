"""Does the log say, in one line for each API request, who asked for what?"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from carrel.core import logs
from carrel.core.ids import new_id
from tests.api import World, make_world
from tests.factories import make_database
from tests.tokens import make_mill


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = make_database(tmp_path)
    made = make_world(database, tmp_path)
    database.close()
    yield made
    made.close()


def lines(text: str) -> list[dict]:
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") in ("request", "request refused")]


def test_each_request_is_one_line_with_who_and_what(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    session = world.as_person("rosa")
    rosa = world.carrel.people.find_account_by_name("rosa")
    token = make_mill(tmp_path, world.carrel.settings, world.clock).token(rosa.id)
    logs.configure("serve")
    capsys.readouterr()
    workspace_id = new_id()
    world.client.get(
        f"/api/workspaces/{workspace_id}",
        headers={**session, "X-Request-ID": "request-of-rosa"},
    )
    world.client.get("/api/me", headers={"Authorization": f"Bearer {token}"})
    world.client.get("/api/me")
    text = capsys.readouterr().err
    refused, *requests = lines(text)[:1] + [
        line for line in lines(text) if line["event"] == "request"
    ]
    assert (refused["actor"], refused["request_id"]) == (rosa.id, "request-of-rosa")
    said = [
        (line["route"], line["status"], line.get("actor"), line.get("audience"))
        for line in requests
    ]
    assert said == [
        ("/api/workspaces/{workspace_id}", 404, rosa.id, "session"),
        ("/api/me", 200, rosa.id, "core"),
        ("/api/me", 401, None, None),
    ]
    assert requests[0]["request_id"] == "request-of-rosa"
    assert all(line["ms"] >= 0 and line["method"] == "GET" for line in requests)
    assert token not in text
