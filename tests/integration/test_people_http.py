"""Do sign-in, cookies, forged requests and the people pages behave over HTTP?"""

import re
from collections.abc import Iterator

import httpx
import pyotp
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from carrel.api.assembly import create_app
from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.audit import Audit
from carrel.core.clock import ManualClock
from carrel.core.events import Events
from carrel.core.ids import new_id
from carrel.core.secrets import KeyRing
from carrel.core.settings import load
from carrel.core.web import Services
from carrel.people import pages, routes
from carrel.people.authenticator import COOKIE, RequestAuthenticator
from carrel.people.passwords import Passwords
from carrel.people.proofs import local_proofs
from carrel.people.rules import Account
from carrel.people.service import People
from tests.factories import any_workspace, make_database
from tests.web import app_client

SITE = "https://localhost:8443"
PASSWORD = "correct horse battery"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def people(tmp_path, clock) -> Iterator[People]:
    database = make_database(tmp_path)
    hashing = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield People(
        database=database,
        audit=Audit(clock),
        events=Events(),
        clock=clock,
        settings=load(tmp_path),
        proofs=local_proofs(database, KeyRing(tmp_path), hashing),
        is_workspace=any_workspace,
    )
    database.close()


@pytest.fixture
def accounts(people) -> dict[str, Account]:
    return {
        name: people.create_account(
            system("init"),
            username=name,
            display_name=name.title(),
            password=PASSWORD,
            tre_roles=frozenset({role}),
        )
        for name, role in (("ada", TreRole.ADMIN), ("rosa", TreRole.USER))
    }


@pytest.fixture
def app(people, accounts, tmp_path) -> FastAPI:
    settings = load(tmp_path)
    services = Services()
    services.add(people)
    authenticator = RequestAuthenticator(people=people, keys=KeyRing(tmp_path), settings=settings)
    return create_app(services, settings, authenticator, [pages.router], [routes.router])


def browser(app: FastAPI) -> httpx.Client:
    return app_client(
        app, base_url=SITE, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False
    )


def signed_in(app: FastAPI, name: str) -> httpx.Client:
    client = browser(app)
    answer = client.post("/sign-in", data={"username": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return client


def csrf(client: httpx.Client, path: str = "/account") -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]+)"', client.get(path).text)
    assert found, "the page has no token"
    return found[1]


def program(app: FastAPI, name: str) -> httpx.Client:
    client = app_client(app)
    answer = client.post("/api/sign-in", json={"username": name, "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return client


# Browsers --------------------------------------------------------------------------------------


def test_the_session_cookie_is_host_only_and_out_of_reach_of_scripts(app):
    answer = browser(app).post("/sign-in", data={"username": "rosa", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "path=/", "samesite=lax"} <= attributes
    assert not any(part.startswith("domain") for part in attributes)


def test_signing_in_again_ends_the_earlier_session(app, people):
    client = signed_in(app, "rosa")
    first = client.cookies[COOKIE]
    client.post("/sign-in", data={"username": "rosa", "password": PASSWORD})
    assert client.cookies[COOKIE] != first
    assert people.actor_for_token(first) is None


def test_a_wrong_password_shows_one_sentence_and_keeps_the_name(app):
    answer = browser(app).post("/sign-in", data={"username": "rosa", "password": "x", "next": "/a"})
    assert answer.status_code == 401
    assert "The user name, the password or the code is not right" in answer.text
    assert 'value="rosa"' in answer.text
    assert COOKIE not in answer.cookies


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/workspaces/1?x=2", "/workspaces/1?x=2"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/sign-out", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_after_sign_in_people_stay_on_this_site(app, wanted, goes):
    answer = browser(app).post(
        "/sign-in", data={"username": "rosa", "password": PASSWORD, "next": wanted}
    )
    assert answer.headers["location"] == goes


def test_another_site_cannot_sign_a_browser_in(app):
    form = {"username": "rosa", "password": PASSWORD}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert browser(app).post("/sign-in", data=form, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "forged",
    [
        {"token": ""},
        {"token": "0" * 64},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
        {"headers": {"Sec-Fetch-Site": "same-site"}},
        {"headers": {"Origin": "https://evil.example"}},
        {"headers": {"Origin": "null"}},
    ],
)
def test_a_forged_form_changes_nothing(app, people, accounts, forged):
    client = signed_in(app, "ada")
    token = forged.get("token", csrf(client))
    path = f"/accounts/{accounts['rosa'].id}/active"
    answer = client.post(
        path, data={"csrf_token": token, "active": "no"}, headers=forged.get("headers", {})
    )
    assert answer.status_code == 403
    assert people.find_account_by_name("rosa").is_active


def test_the_token_of_another_session_does_not_count(app):
    ada, rosa = signed_in(app, "ada"), signed_in(app, "rosa")
    answer = rosa.post("/sign-out", data={"csrf_token": csrf(ada)})
    assert answer.status_code == 403
    assert rosa.get("/account").status_code == 200


def test_the_token_is_taken_from_form_and_header(app, people, accounts):
    client = signed_in(app, "ada")
    path = f"/accounts/{accounts['rosa'].id}/active"
    answer = client.post(path, data={"csrf_token": csrf(client), "active": "no"})
    assert answer.status_code == 303
    assert not people.find_account_by_name("rosa").is_active
    answer = client.post(path, data={"active": "yes"}, headers={"X-CSRF-Token": csrf(client)})
    assert answer.status_code == 303
    assert people.find_account_by_name("rosa").is_active


def test_signing_out_takes_session_and_cookie(app, people):
    client = signed_in(app, "rosa")
    token = client.cookies[COOKIE]
    assert client.get("/sign-out").status_code == 200
    assert people.actor_for_token(token) is not None
    client.post("/sign-out", data={"csrf_token": csrf(client)})
    assert people.actor_for_token(token) is None
    assert COOKIE not in client.cookies
    assert client.get("/account").status_code == 303


def test_a_browsers_cookie_token_is_no_bearer_token_and_the_other_way_round(app):
    client = signed_in(app, "rosa")
    token = client.cookies[COOKIE]
    bearer = {"Authorization": f"Bearer {token}"}
    assert app_client(app).get("/api/me", headers=bearer).status_code == 401
    api = program(app, "rosa").headers["Authorization"].removeprefix("Bearer ")
    stranger = browser(app)
    stranger.cookies[COOKIE] = api
    assert stranger.get("/api/me").status_code == 401


def test_the_whole_life_of_an_authenticator_app(app, clock):
    client = signed_in(app, "rosa")
    assert client.get("/account/totp").headers["location"] == "/account"
    client.post("/account/totp", data={"csrf_token": csrf(client)})
    page = client.get("/account/totp").text
    assert "<svg" in page
    secret = re.search(r"<code>([A-Z2-7]+)</code>", page)[1]
    wrong = client.post("/account/totp/confirm", data={"csrf_token": csrf(client), "code": "1"})
    assert wrong.status_code == 422
    right = {"csrf_token": csrf(client), "code": pyotp.TOTP(secret).at(clock.now())}
    assert client.post("/account/totp/confirm", data=right).status_code == 303
    form = {"username": "rosa", "password": PASSWORD}
    assert browser(app).post("/sign-in", data=form).status_code == 401
    clock.advance(30)
    form["totp_code"] = pyotp.TOTP(secret).at(clock.now())
    assert browser(app).post("/sign-in", data=form).status_code == 303
    removal = {"csrf_token": csrf(client), "password": "wrong"}
    assert client.post("/account/totp/remove", data=removal).status_code == 422
    removal["password"] = PASSWORD
    assert client.post("/account/totp/remove", data=removal).status_code == 303


def test_changing_the_password_says_what_is_wrong(app):
    client = signed_in(app, "rosa")
    for old, new, again, said in [
        (PASSWORD, "a brand new password", "another password", "differ"),
        ("wrong", "a brand new password", "a brand new password", "present password"),
        (PASSWORD, "short", "short", "12 to 256 characters"),
    ]:
        form = {"csrf_token": csrf(client), "old": old, "new": new, "again": again}
        answer = client.post("/account/password", data=form)
        assert answer.status_code == 422
        assert said in answer.text
    form = {
        "csrf_token": csrf(client),
        "old": PASSWORD,
        "new": "new pass words",
        "again": "new pass words",
    }
    assert client.post("/account/password", data=form).status_code == 303
    assert "Your password is changed" in client.get("/account?done=password").text


def test_an_administrator_adds_disables_and_helps_people(app, people):
    client = signed_in(app, "ada")
    form = {
        "csrf_token": csrf(client),
        "username": "Bad Name",
        "display_name": "Eve",
        "password": PASSWORD,
    }
    answer = client.post("/accounts/new", data=form)
    assert answer.status_code == 422
    assert 'href="#username"' in answer.text
    form["username"] = "eve"
    assert client.post("/accounts/new", data=form).status_code == 303
    assert client.post("/accounts/new", data=form).status_code == 409
    eve = people.find_account_by_name("eve")
    assert "Eve" in client.get("/accounts").text
    token = {"csrf_token": csrf(client)}
    client.post(f"/accounts/{eve.id}/password", data={**token, "password": "new pass words"})
    assert people.sign_in("eve", "new pass words", client="c").token
    refused = client.post(f"/accounts/{eve.id}/password", data={**token, "password": "short"})
    assert refused.status_code == 422
    assert client.post(f"/accounts/{eve.id}/totp/remove", data=token).status_code == 303
    ada = people.find_account_by_name("ada")
    last = client.post(f"/accounts/{ada.id}/active", data={**token, "active": "no"})
    assert last.status_code == 409
    assert "last active TRE administrator" in last.text


@pytest.mark.parametrize("path", ["/accounts", "/accounts/new", "/accounts/1"])
def test_accounts_are_for_administrators(app, path):
    assert signed_in(app, "rosa").get(path).status_code == 403
    assert browser(app).get(path).status_code == 303


# Programs --------------------------------------------------------------------------------------


def test_a_program_signs_in_works_and_signs_out(app, accounts):
    client = program(app, "rosa")
    me = client.get("/api/me").json()
    assert me["account"]["username"] == "rosa"
    assert me["account"]["tre_roles"] == ["TREUser"]
    assert client.post("/api/sign-out").status_code == 204
    assert client.get("/api/me").status_code == 401


def test_a_failed_sign_in_is_401_and_a_throttled_one_403(app):
    client = app_client(app)
    answers = [
        client.post("/api/sign-in", json={"username": "rosa", "password": "x"}) for _ in range(6)
    ]
    assert [answer.status_code for answer in answers] == [401] * 5 + [403]
    assert "Wait 5 seconds" in answers[-1].json()["detail"]


def test_accounts_over_the_api(app):
    ada, rosa = program(app, "ada"), program(app, "rosa")
    assert rosa.get("/api/accounts").status_code == 403
    body = {"username": "eve", "display_name": "Eve", "password": PASSWORD}
    assert rosa.post("/api/accounts", json=body).status_code == 403
    made = ada.post("/api/accounts", json=body)
    assert made.status_code == 201
    eve = made.json()["account"]["id"]
    assert rosa.get(f"/api/accounts/{eve}").status_code == 404
    assert ada.get(f"/api/accounts/{eve}").json()["account"]["username"] == "eve"
    assert len(ada.get("/api/accounts").json()["accounts"]) == 3
    assert ada.patch(f"/api/accounts/{eve}", json={"is_active": False}).status_code == 200
    assert ada.post("/api/accounts", json={**body, "surprise": 1}).status_code == 422


def test_own_password_over_the_api(app, people):
    rosa, other = program(app, "rosa"), program(app, "rosa")
    wrong = {"old": "wrong", "new": "a brand new password"}
    assert rosa.post("/api/me/password", json=wrong).status_code == 403
    right = {**wrong, "old": PASSWORD}
    assert rosa.post("/api/me/password", json=right).status_code == 204
    assert other.get("/api/me").status_code == 401
    assert rosa.get("/api/me").status_code == 200
    assert people.sign_in("rosa", "a brand new password", client="c").token


def test_own_authenticator_app_over_the_api(app, clock):
    rosa = program(app, "rosa")
    totp = pyotp.parse_uri(rosa.post("/api/me/totp").json()["uri"])
    assert rosa.post("/api/me/totp/confirm", json={"code": "1"}).status_code == 422
    code = {"code": totp.at(clock.now())}
    assert rosa.post("/api/me/totp/confirm", json=code).status_code == 204
    assert rosa.get("/api/me").json()["account"]["has_totp"] is True
    assert rosa.post("/api/me/totp").status_code == 409
    assert rosa.post("/api/me/totp/remove", json={"password": "wrong"}).status_code == 403
    assert rosa.post("/api/me/totp/remove", json={"password": PASSWORD}).status_code == 204
    assert rosa.get("/api/me").json()["account"]["has_totp"] is False


def test_an_administrator_helps_people_over_the_api(app, people, clock, accounts):
    ada, rosa = program(app, "ada"), program(app, "rosa")
    totp = pyotp.parse_uri(rosa.post("/api/me/totp").json()["uri"])
    rosa.post("/api/me/totp/confirm", json={"code": totp.at(clock.now())})
    path, body = f"/api/accounts/{accounts['rosa'].id}", {"password": "a brand new password"}
    assert rosa.post(f"{path}/password", json=body).status_code == 403
    assert rosa.delete(f"{path}/totp").status_code == 403
    assert ada.delete(f"{path}/totp").status_code == 204
    assert ada.post(f"{path}/password", json=body).status_code == 204
    assert rosa.get("/api/me").status_code == 401
    assert people.sign_in("rosa", "a brand new password", client="c").token


def test_members_over_the_api_in_azuretres_shape(app, accounts):
    ada, rosa = program(app, "ada"), program(app, "rosa")
    base = f"/api/workspaces/{new_id()}"
    body = {"role_id": "WorkspaceOwner", "user_ids": [accounts["rosa"].id]}
    assert rosa.post(f"{base}/users/assign", json=body).status_code == 404
    assert ada.post(f"{base}/users/assign", json=body).status_code == 202
    users = rosa.get(f"{base}/users").json()["users"]
    assert users == [
        {
            "id": accounts["rosa"].id,
            "displayName": "Rosa",
            "userPrincipalName": "rosa",
            "email": "",
            "roles": [{"id": "WorkspaceOwner", "displayName": "Workspace owner"}],
        }
    ]
    assert len(rosa.get(f"{base}/roles").json()["roles"]) == 3
    found = rosa.get(f"{base}/assignable-users", params={"filter": "AD"}).json()
    assert [user["userPrincipalName"] for user in found["assignable_users"]] == ["ada"]
    nothing = rosa.get(f"{base}/assignable-users", params={"filter": "%"}).json()
    assert nothing["assignable_users"] == []
    second = {"role_id": WorkspaceRole.RESEARCHER, "user_ids": [accounts["ada"].id]}
    assert rosa.post(f"{base}/users/assign", json=second).status_code == 202
    gone = {"user_id": accounts["ada"].id, "role_id": WorkspaceRole.RESEARCHER}
    assert rosa.delete(f"{base}/users/assign", params=gone).status_code == 202
    assert len(rosa.get(f"{base}/users").json()["users"]) == 1


# Applications ----------------------------------------------------------------------------------


def test_an_applications_secret_is_on_the_page_once(app, people):
    client = signed_in(app, "ada")
    form = {"name": "Nightly", "secret_days": "30", "csrf_token": csrf(client, "/applications")}
    made = client.post("/applications", data=form)
    assert made.status_code == 200
    [application] = people.list_applications(system("tests"))
    shown = re.findall(r"[A-Za-z0-9_-]{43}", made.text)
    secrets = [text for text in shown if people.check_application(
        application.client_id, text, client="tests"
    )]  # fmt: skip
    assert len(secrets) == 1
    assert secrets[0] not in client.get("/applications").text
    path = f"/applications/{application.client_id}"
    token = {"csrf_token": form["csrf_token"]}
    assert secrets[0] not in client.post(f"{path}/secret", data=token).text
    assert client.post(f"{path}/active", data={**token, "active": "no"}).status_code == 303
    assert not people.list_applications(system("tests"))[0].is_active
    assert client.post(f"{path}/delete", data=token).status_code == 303
    assert people.list_applications(system("tests")) == []
    assert "app-" not in client.get("/accounts").text


def test_a_wrong_form_of_an_application_says_which_field(app):
    client = signed_in(app, "ada")
    form = {"name": "", "secret_days": "x", "csrf_token": csrf(client, "/applications")}
    assert "display name has" in client.post("/applications", data=form).text
    answer = client.post("/applications", data={**form, "name": "Nightly"})
    assert answer.status_code == 422
    assert "730 days" in answer.text
    assert signed_in(app, "rosa").get("/applications").status_code == 403
