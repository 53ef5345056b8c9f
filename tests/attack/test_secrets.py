"""Does a secret that people give lie readable anywhere outside the process that needs it?

Secrets are planted wherever Carrel takes one. Then everything that outlives a request, or leaves
the TRE in an answer, is searched for them, raw and in the encodings in which things travel.
"""

import base64
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from sqlalchemy import select

from carrel.core.actors import TreRole, WorkspaceRole
from carrel.core.audit import export_lines
from carrel.core.database import Database, metadata
from carrel.core.ids import new_secret
from carrel.people.actors import actor_of
from carrel.workspaces.rules import ResourceKind
from tests.api import PASSWORD, World, make_world
from tests.templates import add_template, make_template

K = ResourceKind
SECRET = {"type": "string", "sensitive": True, "updateable": True, "minLength": 8}
ACCOUNTS = {
    "type": "object",
    "updateable": True,
    "properties": {
        "host": {"type": "string"},
        "login": {"type": "object", "properties": {"password": SECRET}},
    },
}
PROPERTIES = {
    "key": SECRET,
    "accounts": ACCOUNTS,
    "users": {
        "type": "array",
        "updateable": True,
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "password": SECRET},
        },
    },
    "mode": {"type": "string", "enum": ["plain", "signed"], "default": "plain", "updateable": True},
}
CONDITION = {
    "allOf": [
        {
            "if": {"properties": {"mode": {"const": "signed"}}, "required": ["mode"]},
            "then": {"properties": {"signing_key": SECRET}},
        }
    ]
}
PIPELINE = {
    "pipeline": {
        "install": [
            {"stepId": "main"},
            {
                "stepId": "tell",
                "stepTitle": "Tell the register",
                "resourceTemplateName": "register",
                "resourceType": "shared-service",
                "resourceAction": "upgrade",
                "properties": [
                    {
                        "name": "entries",
                        "type": "array",
                        "arraySubstitutionAction": "append",
                        "arrayMatchField": "name",
                        "value": {
                            "name": "{{ resource.id }}",
                            "url": "https://u:{{ resource.properties.key }}@host",
                        },
                    }
                ],
            },
        ]
    }
}
REGISTER = {
    "entries": {"type": "array", "updateable": True, "items": {"type": "object"}, "default": []}
}


def planted(name: str) -> str:
    """Return a secret that must be escaped nearly everywhere, around a part that is not."""
    return f'{name}"é\\ <{new_secret(12)}> &+'


def looks(secret: str) -> set[bytes]:
    """Return the forms in which a secret may lie somewhere."""
    core = secret.partition("<")[2].partition(">")[0] or secret
    texts = {secret, core, quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    texts.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    found = {text.encode() for text in texts}
    for text in (secret, core):
        for shift in range(3):  # wherever in a base64 text it begins
            whole = base64.b64encode(b"x" * shift + text.encode())
            middle = whole[4:-4]
            found |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return {each for each in found if len(each) >= 8}


class Vault:
    """What was planted, and what came out."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.secrets: list[str] = []
        self.answers: list[str] = []
        world.client.event_hooks["response"].append(self._hear)

    def _hear(self, answer: httpx.Response) -> None:
        answer.read()
        self.answers.append(f"{answer.headers}\n{answer.text}")

    def plant(self, name: str) -> str:
        """Return a new secret that must not be found again."""
        self.secrets.append(planted(name))
        return self.secrets[-1]

    def check(self, where: str, content: bytes) -> None:
        for secret in self.secrets:
            for form in looks(secret):
                assert form not in content, f"{where} holds {secret} as {form!r}"


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = make_world(database, tmp_path)
    room = made.carrel.workspaces
    schema = {**CONDITION, **PIPELINE}
    add_template(room, make_template(K.SHARED_SERVICE, "register", REGISTER))
    add_template(room, make_template(K.WORKSPACE, "vault", PROPERTIES, schema=CONDITION))
    add_template(room, make_template(K.SERVICE, "vault", PROPERTIES, schema=schema))
    yield made
    made.close()


def values(vault: Vault, name: str) -> dict[str, Any]:
    return {
        "key": vault.plant(f"{name}-key"),
        "accounts": {"host": "h", "login": {"password": vault.plant(f"{name}-nested")}},
        "users": [
            {"name": "a", "password": vault.plant(f"{name}-first")},
            {"name": "b", "password": vault.plant(f"{name}-second")},
        ],
        "mode": "signed",
        "signing_key": vault.plant(f"{name}-conditional"),
    }


def everywhere(world: World, home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all that outlives a request: tables, files, backup, the audit export."""
    with world.carrel.database.read() as connection:
        for table in metadata.sorted_tables:
            rows = [tuple(map(str, row)) for row in connection.execute(select(table))]
            yield f"table {table.name}", "\n".join(map(str, rows)).encode()
            raw = connection.exec_driver_sql(f'SELECT * FROM "{table.name}"')
            text = "\n".join("\t".join(map(str, row)) for row in raw)
            yield f"raw table {table.name}", text.encode()
    yield "audit export", "\n".join(export_lines(world.carrel.database)).encode()
    if world.carrel.database.is_sqlite:
        source = world.carrel.database.url.removeprefix("sqlite:///")
        with sqlite3.connect(source) as plain:
            plain.execute("VACUUM INTO ?", (str(home / "backup.db"),))
        plain.close()
    for path in home.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            yield f"file {path.name}", path.read_bytes()


def test_no_secret_lies_readable_anywhere(world, tmp_path, capfd, caplog):
    vault = Vault(world)
    admin = world.as_person("ada", TreRole.ADMIN)
    vault.secrets += [PASSWORD, admin["Authorization"].removeprefix("Bearer ")]
    client, headers = world.client, {**admin, "etag": "*", "Idempotency-Key": "k"}
    world.make(admin, "/api/shared-services", "register")

    # At creation, and sent twice with a key.
    given = {"display_name": "V", "description": "v", **values(vault, "made")}
    body = {"templateName": "vault", "properties": given}
    first = client.post("/api/workspaces", json=body, headers=headers)
    again = client.post("/api/workspaces", json=body, headers=headers)
    assert first.json() == again.json(), "the key works over secrets too"
    world.work()
    path = f"/api/workspaces/{first.json()['operation']['resourceId']}"

    # By patches, a kept mask, a rehearsal, and refused ones.
    new = values(vault, "patched")
    part = {"host": "x", "login": {"password": vault.plant("part")}}
    for patch in (new, {"key": "REDACTED", "accounts": part}):
        answer = client.patch(path, json={"properties": patch}, headers=headers)
        assert answer.status_code == 202, answer.text
    tried = {"properties": {"key": vault.plant("tried")}}
    assert client.patch(f"{path}?dry_run=true", json=tried, headers=headers).status_code == 200
    for wrong in (
        {"key": [vault.plant("wrong-type")]},
        {"key": "REDACTED", "unknown": vault.plant("unknown")},
        {"users": [{"name": "a", "password": {"x": vault.plant("wrong-nested")}}]},
        {"accounts": {"host": "h", "login": {"password": vault.plant("x")[:4]}}},
    ):
        refused = client.patch(path, json={"properties": wrong}, headers=headers)
        assert refused.status_code == 400, refused.text
    malformed = {"properties": vault.plant("malformed")}
    assert client.patch(path, json=malformed, headers=headers).status_code == 422

    # Through a pipeline, into a shared service whose schema calls nothing sensitive.
    services = f"{path}/workspace-services"
    own = values(vault, "service")
    service = f"{services}/{world.make(admin, services, 'vault', **own)}"
    (register,) = client.get("/api/shared-services", headers=admin).json()["sharedServices"]
    (entry,) = register["properties"]["entries"]
    assert entry == {"name": service.rsplit("/", 1)[1], "url": "REDACTED"}

    # Of people and applications.
    people = world.carrel.people
    account = people.find_account_by_name("ada")
    assert account is not None
    with world.carrel.database.read() as connection:
        ada = actor_of(connection, account.id)
    assert ada is not None
    uri = people.start_totp(ada)
    vault.secrets.append(uri.partition("secret=")[2].partition("&")[0])
    _, secret = people.create_application(ada, name="robot")
    vault.secrets.append(secret)
    wrong_password = vault.plant("wrong-password")
    client.post("/api/sign-in", json={"username": "ada", "password": wrong_password})

    # What people can read of it all.
    for each in (path, service, "/api/workspaces", services, "/api/shared-services", "/api/audit"):
        client.get(each, headers=admin)
        for end in ("history", "operations"):
            client.get(f"{each}/{end}", headers=admin)
    shown = client.get(path, headers=admin).json()["workspace"]["properties"]
    assert shown["key"] == shown["signing_key"] == "REDACTED"
    assert shown["accounts"] == {"host": "x", "login": {"password": "REDACTED"}}
    assert [each["password"] for each in shown["users"]] == ["REDACTED", "REDACTED"]

    # The values are there for those who need them.
    room = world.carrel.workspaces
    with world.carrel.database.read() as connection:
        resource = room.get_resource(ada, path.rsplit("/", 1)[1])
        full = room.reveal(connection, resource)
        told = room.reveal(connection, room.get_resource(ada, register["id"]))
    assert told["entries"][0]["url"] == f"https://u:{own['key']}@host"
    assert full["key"] == new["key"]
    assert full["users"] == new["users"]

    for where, content in everywhere(world, tmp_path):
        vault.check(where, content)
    for number, answer in enumerate(vault.answers):
        vault.check(f"answer {number}", answer.encode())
    printed = capfd.readouterr()
    logged = printed.out + printed.err + caplog.text
    assert "request" in logged, "the log was listened to"
    vault.check("the log", logged.encode())


def test_the_search_finds_what_lies_open(world, tmp_path):
    """The control: the same search, and a secret that nothing protects."""
    vault = Vault(world)
    admin = world.as_person("ada", TreRole.ADMIN)
    world.make(admin, "/api/workspaces", "vault", description=vault.plant("open"))
    with pytest.raises(AssertionError, match="holds"):
        for where, content in everywhere(world, tmp_path):
            vault.check(where, content)


def test_the_secrets_of_what_is_deleted_are_erased(world):
    vault = Vault(world)
    admin = world.as_person("ada", TreRole.ADMIN)
    path = f"/api/workspaces/{world.make(admin, '/api/workspaces', 'vault', **values(vault, 'x'))}"
    sealed = metadata.tables["resource_secrets"]
    with world.carrel.database.read() as connection:
        assert len(connection.execute(select(sealed)).all()) == 5
    world.client.patch(path, json={"isEnabled": False}, headers={**admin, "etag": "*"})
    world.work()
    world.client.delete(path, headers=admin)
    world.work()
    with world.carrel.database.read() as connection:
        assert connection.execute(select(sealed)).all() == []


def test_a_member_who_may_not_read_a_secret_cannot_send_it_elsewhere(world):
    """A mask in an entry that was not the secret's own is refused, not filled in."""
    vault = Vault(world)
    admin = world.as_person("ada", TreRole.ADMIN)
    made = world.make(admin, "/api/workspaces", "vault", workspace_owner_object_id="")
    path = f"/api/workspaces/{made}/workspace-services"
    owner = world.join("olivia", made, WorkspaceRole.OWNER)
    world.make(admin, "/api/shared-services", "register")
    service = f"{path}/{world.make(owner, path, 'vault', **values(vault, 'x'))}"
    stolen = {"properties": {"users": [{"name": "eve", "password": "REDACTED"}]}}
    answer = world.client.patch(service, json=stolen, headers={**owner, "etag": "*"})
    assert (answer.status_code, "users.0.password" in answer.text) == (400, True)
