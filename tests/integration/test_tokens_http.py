"""Are access tokens taken by the right routes, and every wrong one refused without a change?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.audit import audit_events, list_events
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.ids import new_id
from carrel.people.tokens.identity import TreIdentity
from carrel.people.tokens.refusals import MOST_REFUSALS
from tests.api import World, make_world
from tests.factories import make_database
from tests.tokens import STRANGE_KEY, Mill, bad_tokens, make_mill

SYSTEM = system("tests")


class Site:
    """A TRE with people and a workspace, and who makes tokens for it."""

    def __init__(self, world: World, mill: Mill) -> None:
        self.world = world
        self.mill = mill
        self.people = world.carrel.people
        admin = world.as_person("ada", TreRole.ADMIN)
        self.workspace_id = world.make(
            admin, "/api/workspaces", "restricted", workspace_owner_object_id=""
        )
        world.join("olga", self.workspace_id, WorkspaceRole.OWNER)
        world.join("rosa", self.workspace_id, WorkspaceRole.RESEARCHER)
        world.as_person("tom")

    def id_of(self, username: str) -> str:
        found = self.people.find_account_by_name(username)
        assert found is not None
        return found.id

    def core(self, username: str) -> dict[str, str]:
        return bearer(self.mill.token(self.id_of(username)))

    def inside(self, username: str, workspace_id: str | None = None) -> dict[str, str]:
        audience = workspace_id or self.workspace_id
        return bearer(self.mill.token(self.id_of(username), audience))

    def status(self, method: str, path: str, headers: dict[str, str]) -> int:
        return self.world.client.request(method, path, headers=headers).status_code

    def events(self, action: str) -> list[dict]:
        with self.world.carrel.database.read() as connection:
            found = list_events(connection, limit=1000)
        return [dict(event.detail) for event in found if event.action == action]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def make_site(database: Database, home: Path, **settings) -> Site:
    world = make_world(database, home, **settings)
    return Site(world, make_mill(home, world.carrel.settings, world.clock))


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    made = make_site(database, tmp_path)
    yield made
    made.world.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for tests that leave everything as it was."""
    home = tmp_path_factory.mktemp("site")
    database = make_database(home)
    made = make_site(database, home)
    yield made
    made.world.close()
    database.close()


# Bad tokens ------------------------------------------------------------------------------------

NOBODYS_MILL = Mill(
    TreIdentity(new_id(), new_id(), "https://localhost/x/v2.0"), STRANGE_KEY, "k", ManualClock()
)
KINDS = sorted(bad_tokens(NOBODYS_MILL, new_id()))


def rows(site: Site) -> dict[str, int]:
    """How many lines every table has, but the audit record."""
    with site.world.carrel.database.read() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
            if table is not audit_events
        }


@pytest.mark.parametrize("name", KINDS)
def test_a_bad_token_is_refused_and_changes_nothing(shared: Site, name: str):
    account_id = shared.id_of("ada")
    token, words = bad_tokens(shared.mill, account_id)[name]
    before = rows(shared)
    body = {"name": "Intruder", "tre_roles": ["TREAdmin"]}
    answer = shared.world.client.post("/api/applications", json=body, headers=bearer(token))
    assert answer.status_code == 401, answer.text
    assert answer.json()["detail"].startswith(words)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert rows(shared) == before


def test_the_good_token_that_the_bad_ones_differ_from_is_taken(shared: Site):
    assert shared.status("GET", "/api/applications", shared.core("ada")) == 200


def test_clocks_may_differ_a_little(shared: Site):
    now = shared.mill.clock.now().timestamp()
    late = shared.mill.token(shared.id_of("ada"), exp=now - 10, nbf=now + 10)
    assert shared.status("GET", "/api/accounts", bearer(late)) == 200


def test_a_refused_token_is_on_record_once_a_minute_and_without_the_token(site: Site):
    bad = bad_tokens(site.mill, site.id_of("ada"))
    for name in ("unknown key id", "expired", "wrong audience"):
        site.world.client.get("/api/accounts", headers=bearer(bad[name][0]))
    [event] = site.events("token.refused")
    assert event["kind"] == "invalid"
    assert event["key_id"] == "unknown"
    assert event["claimed"] == site.id_of("ada")
    assert bad["unknown key id"][0] not in str(event)


def test_an_address_that_goes_on_with_bad_tokens_is_told_to_wait_and_good_ones_are_taken(
    site: Site,
):
    bad = bearer(bad_tokens(site.mill, site.id_of("ada"))["expired"][0])
    answers = [
        site.world.client.get("/api/accounts", headers=bad) for _ in range(MOST_REFUSALS + 1)
    ]
    assert [answer.status_code for answer in answers] == [401] * MOST_REFUSALS + [429]
    assert answers[-1].headers["Retry-After"] == "60"
    assert site.status("GET", "/api/accounts", site.core("ada")) == 200
    assert len(site.events("token.refused")) == 1


# Audiences -------------------------------------------------------------------------------------


def test_a_workspaces_token_is_taken_inside_it_and_nowhere_else(site: Site):
    inside = site.inside("rosa")
    here = f"/api/workspaces/{site.workspace_id}"
    assert site.status("GET", f"{here}/workspace-services", inside) == 200
    assert site.status("GET", here, inside) == 200
    for path in ("/api/workspaces", "/api/me", "/api/operations", "/api/shared-services"):
        assert site.status("GET", path, inside) == 401, path


def test_a_core_token_of_a_member_lists_workspaces_but_does_not_work_inside(site: Site):
    core = site.core("rosa")
    here = f"/api/workspaces/{site.workspace_id}"
    listed = site.world.client.get("/api/workspaces", headers=core).json()["workspaces"]
    assert [each["id"] for each in listed] == [site.workspace_id]
    assert site.status("GET", here, core) == 200
    assert site.status("GET", f"{here}/scopeid", core) == 200
    for path in ("workspace-services", "requests", "users", "operations"):
        assert site.status("GET", f"{here}/{path}", core) == 401, path


def test_an_administrators_core_token_manages_a_workspace_but_does_not_work_inside(site: Site):
    core = site.core("ada")
    here = f"/api/workspaces/{site.workspace_id}"
    for path in ("", "/users", "/roles", "/assignable-users", "/operations", "/history", "/audit"):
        assert site.status("GET", here + path, core) == 200, path
    for path in ("/workspace-services", "/requests"):
        assert site.status("GET", here + path, core) == 401, path


def test_a_workspaces_token_has_no_role_in_the_tre(site: Site):
    account_id = site.id_of("ada")
    site.people.assign_role(SYSTEM, site.workspace_id, account_id, WorkspaceRole.RESEARCHER)
    here = f"/api/workspaces/{site.workspace_id}"
    body = {"role_id": "WorkspaceOwner", "user_ids": [account_id]}
    client, inside = site.world.client, site.inside("ada")
    assert client.post(f"{here}/users/assign", json=body, headers=inside).status_code == 403
    assert client.post(f"{here}/users/assign", json=body, headers=site.core("ada")).is_success


@pytest.mark.parametrize("path", ["", "/workspace-services", "/users", "/requests"])
def test_the_answer_to_a_wrong_audience_does_not_say_if_the_workspace_exists(site: Site, path: str):
    answers = []
    for workspace_id in (site.workspace_id, new_id()):
        answer = site.world.client.get(
            f"/api/workspaces/{workspace_id}{path}", headers=site.core("tom")
        )
        body = answer.json()
        answers.append((answer.status_code, body["detail"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401
    assert answers[0][1].startswith("Invalid token")


def test_a_token_for_one_workspace_opens_no_other(site: Site):
    admin = site.world.as_person("ada", TreRole.ADMIN)
    other = site.world.make(admin, "/api/workspaces", "restricted", display_name="Other")
    site.world.join("rosa", other, WorkspaceRole.RESEARCHER)
    path = f"/api/workspaces/{other}/workspace-services"
    assert site.status("GET", path, site.inside("rosa")) == 401
    assert site.status("GET", path, site.inside("rosa", other)) == 200


def test_a_path_in_capitals_is_the_same_workspace(site: Site):
    path = f"/api/workspaces/{site.workspace_id.upper()}/workspace-services"
    assert site.status("GET", path, site.inside("rosa")) == 200


# Roles are read live ---------------------------------------------------------------------------


def test_roles_in_the_token_are_not_believed(site: Site):
    token = bearer(site.mill.token(site.id_of("tom"), roles=["TREAdmin"]))
    assert site.status("GET", "/api/accounts", token) == 403
    strange = site.mill.token(site.id_of("tom"), site.workspace_id, roles=["WorkspaceOwner"])
    path = f"/api/workspaces/{site.workspace_id}/workspace-services"
    assert site.status("GET", path, bearer(strange)) == 404


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(site: Site):
    inside = site.inside("rosa")
    path = f"/api/workspaces/{site.workspace_id}/workspace-services"
    assert site.status("GET", path, inside) == 200
    site.people.remove_role(SYSTEM, site.workspace_id, site.id_of("rosa"), WorkspaceRole.RESEARCHER)
    assert site.status("GET", path, inside) == 404


def test_a_disabled_account_has_no_token_any_more_even_when_it_is_enabled_again(site: Site):
    core = site.core("tom")
    assert site.status("GET", "/api/me", core) == 200
    site.world.clock.advance(5)
    site.people.set_active(SYSTEM, site.id_of("tom"), active=False)
    assert site.status("GET", "/api/me", core) == 401
    assert site.status("GET", "/api/me", site.core("tom")) == 401
    site.people.set_active(SYSTEM, site.id_of("tom"), active=True)
    assert site.status("GET", "/api/me", core) == 401
    assert site.status("GET", "/api/me", site.core("tom")) == 200


def test_a_new_password_ends_the_tokens_that_were_there(site: Site):
    core = site.core("tom")
    site.world.clock.advance(5)
    site.people.reset_password(SYSTEM, site.id_of("tom"), "three more random words")
    assert site.status("GET", "/api/me", core) == 401


def test_an_account_without_a_role_in_the_tre_reads_which_it_lacks(site: Site):
    account = site.people.create_account(
        SYSTEM, username="nora", display_name="Nora", password="three random words",
        tre_roles=frozenset(),
    )  # fmt: skip
    answer = site.world.client.get("/api/workspaces", headers=bearer(site.mill.token(account.id)))
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("The user is missing a required role")


# Where tokens are good for nothing ---------------------------------------------------------------


def test_an_access_token_opens_no_page(site: Site):
    assert site.status("GET", "/accounts", site.core("ada")) == 303
    assert site.status("GET", "/account", site.core("rosa")) == 303


def test_an_access_token_opens_no_tool_and_is_not_signed_out(site: Site):
    client, core = site.world.client, site.core("ada")
    assert client.post(f"/api/launch/{new_id()}", headers=core).status_code == 403
    assert client.post("/api/sign-out", headers=core).status_code == 422


def test_sessions_are_taken_everywhere_as_before(site: Site):
    session = site.world.as_person("rosa")
    here = f"/api/workspaces/{site.workspace_id}"
    for path in ("/api/me", "/api/workspaces", here, f"{here}/workspace-services"):
        assert site.status("GET", path, session) == 200, path


def test_no_credentials_and_other_schemes_get_azuretres_words(site: Site):
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}):
        answer = site.world.client.get("/api/workspaces", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["detail"].startswith("Could not validate credentials")


# On record -------------------------------------------------------------------------------------


def test_a_denied_change_is_on_record_but_not_twice_a_minute(site: Site):
    for _ in range(3):
        body = {"name": "Mine"}
        answer = site.world.client.post("/api/applications", json=body, headers=site.core("tom"))
        assert answer.status_code == 403
    [event] = site.events("request.denied")
    assert (event["method"], event["route"]) == ("POST", "/applications")


def test_who_sends_too_much_is_told_when_to_come_again(database: Database, tmp_path: Path):
    site = make_site(database, tmp_path, requests_per_minute=1, request_burst=30)
    answers = [
        site.world.client.get("/api/me", headers=site.core("tom")).status_code for _ in range(31)
    ]
    assert answers == [200] * 30 + [429]
    refused = site.world.client.get("/api/me", headers=site.core("tom"))
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["code"] == "too_many_requests"
    assert site.status("GET", "/api/me", site.core("rosa")) == 200
    site.world.close()
