"""Is input that no honest client sends refused with a clear 4xx, and is nothing changed by it?"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from carrel.core.actors import TreRole
from carrel.core.database import Database, metadata
from tests.api import World, make_world

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
TEN_MEGABYTES = 10 * 2**20


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = make_world(database, tmp_path)
    yield made
    made.close()


def everything(world: World) -> dict[str, list[Any]]:
    """Return the rows of every table; sessions are seen again by every request."""
    with world.carrel.database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in metadata.sorted_tables
            if table.name != "sessions"
        }


def creation(**properties: Any) -> bytes:
    given = {"display_name": "Study", "description": "Made by a test", **properties}
    return json.dumps({"templateName": "restricted", "properties": given}).encode()


def nested(depth: int) -> bytes:
    deep = "[" * depth + "]" * depth
    return b'{"templateName": "restricted", "properties": {"display_name": ' + deep.encode() + b"}}"


def doubled(key: bytes) -> bytes:
    return creation().replace(key, key + b': "x", ' + key)


BODIES = {
    "one byte too many": (creation() + b" " * 2**20, JSON, 413),
    "a property of 10 MB": (creation(display_name="x" * TEN_MEGABYTES), JSON, 413),
    "a property of half a megabyte": (creation(display_name="x" * 2**19), JSON, 422),
    "65 levels": (nested(65), JSON, 422),
    "a hundred thousand levels": (nested(100_000), JSON, 422),
    "a form": (b"templateName=restricted", FORM, 415),
    "no type": (creation(), {}, 415),
    "xml": (b"<a/>", {"content-type": "application/xml"}, 415),
    "a key twice": (doubled(b'"templateName"'), JSON, 422),
    "a property twice": (doubled(b'"display_name"'), JSON, 422),
    "NaN": (creation(disk_gib=float("nan")), JSON, 422),
    "infinity": (creation(disk_gib=float("inf")), JSON, 422),
    "1e400": (creation(disk_gib=1).replace(b": 1}", b": 1e400}"), JSON, 422),
    "2^53": (creation(disk_gib=2**53), JSON, 422),
    "NUL in a text": (creation(display_name="a\0b"), JSON, 422),
    "half a surrogate pair": (creation(display_name="\ud800"), JSON, 422),
    "no UTF-8": (creation().replace(b"Study", b"St\xfcdy"), JSON, 422),
    "a list": (b"[]", JSON, 422),
    "a number": (b"1", JSON, 422),
    "null": (b"null", JSON, 422),
    "nothing": (b"", JSON, 422),
    "half of it": (creation()[:20], JSON, 422),
    "two documents": (creation() * 2, JSON, 422),
    "a field that is unknown": (b'{"templateName": "restricted", "owner": "x"}', JSON, 422),
    "a property that is unknown": (creation(colour="blue"), JSON, 400),
}  # fmt: skip


@pytest.mark.parametrize("what", BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(world: World, what: str):
    body, headers, status = BODIES[what]
    admin = world.as_person("ada", TreRole.ADMIN)
    before = everything(world)
    answer = world.client.post("/api/workspaces", content=body, headers={**admin, **headers})
    assert answer.status_code == status, answer.text[:500]
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert 15 < len(problem["detail"]) < 1000
    assert everything(world) == before


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/workspaces?colour=blue", 422),
        ("/api/workspaces?dry_run=true&dry_run=false", 422),
        ("/api/workspaces?dry_run=%00", 400),
        ("/api/workspaces?dry_run=%FF", 400),
        ("/api/workspaces/%00", 400),
        ("/api/workspaces/..%2f..%2fetc%2fpasswd", 404),
        ("/api/workspaces/1;DROP TABLE resources", 405),
        ("/api/workspaces?" + "x" * 2000 + "=1", 422),
        ("/api/workspaces?dry_run=" + "t" * 2000, 422),
    ],
)
def test_a_bad_address_is_refused_and_changes_nothing(world: World, address: str, status: int):
    admin = world.as_person("ada", TreRole.ADMIN)
    before = everything(world)
    answer = world.client.post(address, content=creation(), headers={**admin, **JSON})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert everything(world) == before


@pytest.mark.parametrize("accept", ["image/png", "text/html", "application/xml;q=1, */*;q=0"])
def test_what_nobody_could_read_is_not_begun(world: World, accept: str):
    admin = world.as_person("ada", TreRole.ADMIN)
    before = everything(world)
    headers = {**admin, **JSON, "accept": accept}
    answer = world.client.post("/api/workspaces", content=creation(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert everything(world) == before


def test_one_resource_is_sent_again_only_if_it_changed(world: World):
    admin = world.as_person("ada", TreRole.ADMIN)
    path = f"/api/workspaces/{world.make(admin, '/api/workspaces', 'restricted')}"
    first = world.client.get(path, headers=admin)
    tag = first.headers["etag"]
    assert tag.startswith(f'"{first.json()["workspace"]["_etag"]}.')
    same = world.client.get(path, headers={**admin, "if-none-match": tag})
    assert (same.status_code, same.content) == (304, b"")
    change = {"properties": {"description": "Changed"}}
    changed = world.client.patch(path, json=change, headers={**admin, "etag": "*"})
    assert changed.status_code == 202
    again = world.client.get(path, headers={**admin, "if-none-match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


def test_the_root_answers_like_azuretres(world: World):
    for path in ("/", "/ping", "/api", "/api/", "/api/ping"):
        assert world.client.get(path).json() == "pong"
    metadata_of = world.client.get("/.metadata").json()
    assert world.client.get("//api//.metadata").json() == metadata_of
    scope = f"api://{metadata_of['api_client_id']}/user_impersonation"
    assert metadata_of["api_root_scope"] == scope
    names = ["Cosmos DB", "Service Bus", "Resource Processor"]
    for path in ("/health", "/api/health"):
        answer = world.client.get(path)
        assert answer.status_code == 200
        assert [each["service"] for each in answer.json()["services"]] == names


def test_swagger_can_be_switched_off(database: Database, tmp_path: Path):
    world = make_world(database, tmp_path, swagger=False)
    some = "/api/workspaces/0a0b0c0d-0000-4000-8000-000000000000/docs"
    for path in ("/api/docs", "/api/docs/oauth2-redirect", some):
        answer = world.client.get(path)
        assert answer.status_code == 403
        assert answer.json()["detail"].startswith("Swagger is disabled.")
    world.close()


def test_swagger_knows_the_client_and_the_scope(world: World):
    made = world.client.get("/.metadata").json()
    page = world.client.get("/api/docs").text
    assert made["api_client_id"] in page
    assert made["api_root_scope"] in page
    workspace = "0a0b0c0d-0000-4000-8000-000000000000"
    page = world.client.get(f"/api/workspaces/{workspace}/docs").text
    assert f"api://{workspace}/user_impersonation" in page
    assert world.client.get("/api/workspaces/nonsense/docs").status_code == 422
