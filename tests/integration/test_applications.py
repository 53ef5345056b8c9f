"""Are applications accounts like others, but with a secret instead of a password?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carrel.core.actors import Actor, TreRole, WorkspaceRole, system
from carrel.core.audit import list_events
from carrel.core.database import Database
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotAuthenticated, NotFound
from carrel.core.ids import new_id
from carrel.people.service import People
from tests.api import World, make_world
from tests.tokens import make_mill

SYSTEM = system("tests")
OFFICE = "192.0.2.1"


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = make_world(database, tmp_path)
    yield made
    made.close()


@pytest.fixture
def people(world: World) -> People:
    return world.carrel.people


def test_the_secret_is_told_once_and_stored_nowhere(world: World):
    admin = world.as_person("ada", TreRole.ADMIN)
    answer = world.client.post("/api/applications", json={"name": "Nightly"}, headers=admin)
    assert answer.status_code == 201
    secret, made = answer.json()["secret"], answer.json()["application"]
    assert world.carrel.people.check_application(
        made["client_id"], secret, client=OFFICE
    ) == made["account_id"]  # fmt: skip
    listed = world.client.get("/api/applications", headers=admin)
    assert listed.json()["applications"] == [made]
    assert secret not in listed.text
    with world.carrel.database.read() as connection:
        said = [str(row) for row in connection.exec_driver_sql("SELECT * FROM applications")]
        said += [str(event) for event in list_events(connection)]
    assert not any(secret in line for line in said)


def test_only_the_right_secret_in_force_proves_an_application(world: World, people: People):
    made, secret = people.create_application(SYSTEM, name="Nightly", secret_days=1)
    other, _ = people.create_application(SYSTEM, name="Weekly")

    def holds(client_id: str, offered: str, client: str = OFFICE) -> bool:
        return people.check_application(client_id, offered, client=client) is not None

    assert holds(made.client_id, secret)
    assert not holds(made.client_id, secret + "x")
    assert not holds(made.client_id, "")
    assert not holds(other.client_id, secret)
    assert not holds(new_id(), secret, "192.0.2.2")
    assert not holds(new_id(), "", "192.0.2.2")
    people.set_application_active(SYSTEM, made.client_id, active=False)
    assert not holds(made.client_id, secret, "192.0.2.3")
    people.set_application_active(SYSTEM, made.client_id, active=True)
    assert holds(made.client_id, secret, "192.0.2.3")
    world.clock.advance(24 * 3600)
    assert not holds(made.client_id, secret, "192.0.2.4")


def test_guesses_are_slowed_by_address_so_that_nobody_locks_an_application_out(people: People):
    made, secret = people.create_application(SYSTEM, name="Nightly")
    for _ in range(5):
        assert people.check_application(made.client_id, "wrong", client=OFFICE) is None
    with pytest.raises(Denied, match="Wait"):
        people.check_application(made.client_id, secret, client=OFFICE)
    assert people.check_application(made.client_id, secret, client="192.0.2.9")


def test_a_new_secret_ends_the_old_one_and_its_tokens(world: World, people: People, tmp_path: Path):
    made, old = people.create_application(SYSTEM, name="Nightly")
    mill = make_mill(tmp_path, world.carrel.settings, world.clock)
    token = {
        "Authorization": f"Bearer {mill.token(made.account_id, scp=None, idtyp='app')}",
    }
    assert world.client.get("/api/workspaces", headers=token).status_code == 200
    world.clock.advance(5)
    _, new = people.rotate_secret(SYSTEM, made.client_id)
    assert people.check_application(made.client_id, old, client=OFFICE) is None
    assert people.check_application(made.client_id, new, client=OFFICE)
    assert world.client.get("/api/workspaces", headers=token).status_code == 401


def test_a_deleted_application_is_gone_with_its_roles_and_tokens(
    world: World, people: People, tmp_path: Path
):
    admin = world.as_person("ada", TreRole.ADMIN)
    space = world.make(admin, "/api/workspaces", "restricted")
    made, secret = people.create_application(SYSTEM, name="Nightly")
    people.assign_role(SYSTEM, space, made.account_id, WorkspaceRole.RESEARCHER)
    mill = make_mill(tmp_path, world.carrel.settings, world.clock)
    claims = mill.claims(made.account_id, space, scp=None, idtyp="app")
    token = {"Authorization": f"Bearer {mill.sealed(claims)}"}
    path = f"/api/workspaces/{space}/workspace-services"
    assert world.client.get(path, headers=token).status_code == 200
    answer = world.client.delete(f"/api/applications/{made.client_id}", headers=admin)
    assert answer.status_code == 204
    assert world.client.get(path, headers=token).status_code == 401
    assert people.check_application(made.client_id, secret, client=OFFICE) is None
    assert made.account_id not in {member.account_id for member in people.members_for_system(space)}
    again = world.client.delete(f"/api/applications/{made.client_id}", headers=admin)
    assert again.status_code == 404


def test_an_application_has_no_password_and_cannot_sign_in(people: People):
    made, _ = people.create_application(SYSTEM, name="Nightly")
    username = people.get_account(SYSTEM, made.account_id).username
    with pytest.raises(Conflict, match="new secret"):
        people.reset_password(SYSTEM, made.account_id, "three random words")
    with pytest.raises(NotAuthenticated):
        people.sign_in(username, "three random words", client=OFFICE)
    with pytest.raises(NotAuthenticated), people._database.write() as connection:
        people.begin_session(connection, made.account_id, kind="api", client=OFFICE)


def test_an_application_does_not_count_as_the_last_administrator(world: World, people: People):
    world.as_person("ada", TreRole.ADMIN)
    ada = people.find_account_by_name("ada")
    assert ada is not None
    people.create_application(SYSTEM, name="Robot", tre_roles=frozenset(TreRole))
    with pytest.raises(Conflict, match="last active"):
        people.set_active(SYSTEM, ada.id, active=False)


@pytest.mark.parametrize("days", [0, -1, 731])
def test_a_secret_holds_for_a_bounded_time(people: People, days: int):
    with pytest.raises(InvalidRequest) as caught:
        people.create_application(SYSTEM, name="Nightly", secret_days=days)
    assert caught.value.field == "secret_days"


def test_only_administrators_have_anything_to_do_with_applications(people: People):
    made, _ = people.create_application(SYSTEM, name="Nightly")
    rosa = Actor(id=new_id(), name="Rosa", tre_roles=frozenset({TreRole.USER}))
    for attempt in (
        lambda: people.create_application(rosa, name="Mine"),
        lambda: people.list_applications(rosa),
        lambda: people.get_application(rosa, made.client_id),
        lambda: people.rotate_secret(rosa, made.client_id),
        lambda: people.set_application_active(rosa, made.client_id, active=False),
        lambda: people.delete_application(rosa, made.client_id),
    ):
        with pytest.raises(Denied):
            attempt()


# Users of a workspace ----------------------------------------------------------------------------


def test_several_people_get_a_role_together_or_nobody_does(world: World, people: People):
    admin = world.as_person("ada", TreRole.ADMIN)
    space = world.make(admin, "/api/workspaces", "restricted", workspace_owner_object_id="")
    ids = []
    for name in ("rosa", "tom"):
        world.as_person(name)
        ids.append(people.find_account_by_name(name).id)
    path = f"/api/workspaces/{space}/users/assign"
    body = {"role_id": "WorkspaceResearcher", "user_ids": [*ids, new_id()]}
    assert world.client.post(path, json=body, headers=admin).status_code == 404
    assert people.members_for_system(space) == []
    body["user_ids"] = ids
    answer = world.client.post(path, json=body, headers=admin)
    assert (answer.status_code, answer.json()) == (202, body)
    assert {member.account_id for member in people.members_for_system(space)} == set(ids)


@pytest.mark.parametrize(
    ("policy", "owner", "admin"), [("owners", 202, 202), ("admins", 403, 202), ("off", 403, 403)]
)
def test_who_gives_roles_is_a_setting(
    database: Database, tmp_path: Path, policy: str, owner: int, admin: int
):
    world = make_world(database, tmp_path, user_management=policy)
    ada = world.as_person("ada", TreRole.ADMIN)
    space = world.make(ada, "/api/workspaces", "restricted", workspace_owner_object_id="")
    olga = world.join("olga", space, WorkspaceRole.OWNER)
    world.as_person("rosa")
    rosa = world.carrel.people.find_account_by_name("rosa")
    body = {"role_id": "WorkspaceResearcher", "user_ids": [rosa.id]}
    here = f"/api/workspaces/{space}"
    client = world.client
    assert client.post(f"{here}/users/assign", json=body, headers=olga).status_code == owner
    assert client.post(f"{here}/users/assign", json=body, headers=ada).status_code == admin
    roles = client.get(f"{here}/roles", headers=ada)
    assert roles.status_code == (403 if policy == "off" else 200)
    found = client.get(f"{here}/assignable-users", headers=ada, params={"filter": "ROS"})
    if policy == "off":
        assert found.json()["detail"].startswith("User management is switched off")
    else:
        line = {"id": rosa.id, "displayName": "Rosa", "userPrincipalName": "rosa", "email": ""}
        assert found.json() == {"assignable_users": [line]}
    assert client.get(f"{here}/users", headers=ada).status_code == 200
    world.close()


@pytest.mark.parametrize("path", ["users", "roles", "assignable-users", "scopeid"])
def test_a_workspace_that_is_not_there_has_no_users(world: World, path: str):
    admin = world.as_person("ada", TreRole.ADMIN)
    answer = world.client.get(f"/api/workspaces/{new_id()}/{path}", headers=admin)
    assert answer.status_code == 404


def test_the_scope_of_a_workspace_is_told_to_whom_may_know_of_it(world: World):
    admin = world.as_person("ada", TreRole.ADMIN)
    space = world.make(admin, "/api/workspaces", "restricted")
    path = f"/api/workspaces/{space}/scopeid"
    answer = world.client.get(path, headers=admin)
    assert answer.json() == {"workspaceAuth": {"scopeId": f"api://{space}"}}
    assert world.client.get(path, headers=world.as_person("tom")).status_code == 404
    member = world.join("rosa", space, WorkspaceRole.RESEARCHER)
    assert world.client.get(path, headers=member).status_code == 200


def test_an_unknown_application_is_not_found(people: People):
    with pytest.raises(NotFound):
        people.get_application(SYSTEM, new_id())
