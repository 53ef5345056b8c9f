"""Does the issuer keep its rules when a clever program speaks to it?"""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select

from carrel.app import Carrel, build, make_web
from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.audit import audit_events
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.ids import new_id
from carrel.core.settings import load
from carrel.people.issuer.rules import CLI_CLIENT_ID, CLI_SCOPE, DEVICE_SECONDS
from carrel.people.issuer.service import DEVICE_GRANT, Issuer
from carrel.people.rules import Account
from tests.compat.issuer import csrf_of
from tests.web import app_client
from tests.workspaces import AnsweringRuntime

PASSWORD = "a quiet desk by the window"
ADMIN = system("tests")
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
HERE = "http://localhost:8400"
ELSEWHERE = "https://ui.example.org/"


class World:
    """A TRE without a server, and a person at a browser."""

    def __init__(self, carrel: Carrel, clock: ManualClock) -> None:
        self.carrel, self.clock = carrel, clock
        self.issuer = carrel.services.get(Issuer)
        self.client_id = self.issuer.identity.api_client_id
        self.base = f"/{self.issuer.identity.tenant_id}/oauth2/v2.0"
        self.scope = f"api://{self.client_id}/user_impersonation openid profile offline_access"
        self.app = make_web(carrel)
        self.program = app_client(self.app)
        self.ruth = self.person("ruth")
        self.browser = self.at_browser("ruth")

    def person(self, username: str, *roles: TreRole) -> Account:
        return self.carrel.people.create_account(
            ADMIN,
            username=username,
            display_name=username.title(),
            password=PASSWORD,
            tre_roles=frozenset({TreRole.USER, *roles}),
        )

    def at_browser(self, username: str) -> httpx.Client:
        browser = app_client(self.app)
        fields = {"username": username, "password": PASSWORD}
        assert browser.post("/sign-in", data=fields).status_code == 303
        return browser

    def wish(self, **changes: str) -> dict[str, str]:
        wanted = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": HERE,
            "scope": self.scope,
            "state": "s1",
            "nonce": "n1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in wanted.items() if value}

    def ask(self, browser: httpx.Client | None = None, **changes: str) -> httpx.Response:
        return (browser or self.browser).get(f"{self.base}/authorize", params=self.wish(**changes))

    def agree(self, choice: str = "allow", **changes: str) -> httpx.Response:
        token = csrf_of(self.browser.get("/account").text)
        fields = {"csrf_token": token, "query": urlencode(self.wish(**changes)), "choice": choice}
        return self.browser.post(f"{self.base}/confirm", data=fields)

    def code(self, **changes: str) -> str:
        return answer_of(self.agree(**changes))["code"]

    def token(self, **fields: str) -> httpx.Response:
        sent = {"client_id": self.client_id, **fields}
        return self.program.post(
            f"{self.base}/token", data={name: value for name, value in sent.items() if value}
        )

    def exchange(self, code: str, /, **changes: str) -> httpx.Response:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": HERE,
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.token(**fields)

    def refresh(self, token: str, **changes: str) -> httpx.Response:
        return self.token(**{"grant_type": "refresh_token", "refresh_token": token, **changes})

    def device(self, **changes: str) -> dict:
        fields = {"client_id": self.client_id, "scope": self.scope, **changes}
        answer = self.program.post(f"{self.base}/devicecode", data=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def poll(self, device: dict, **changes: str) -> dict:
        fields = {"grant_type": DEVICE_GRANT, "device_code": device["device_code"], **changes}
        return self.token(**fields).json()

    def form(self, path: str, browser: httpx.Client | None = None, **fields: str):
        sender = browser or self.browser
        fields["csrf_token"] = csrf_of(sender.get("/account").text)
        return sender.post(path, data=fields)

    def workspace(self) -> str:
        admin = self.carrel.people.actor_for_token(
            self.carrel.people.sign_in("ada", PASSWORD, kind="api", client="t").token
        )
        with self.carrel.database.write() as connection:
            self.carrel.workspaces.sync_shipped(connection)
        properties = {
            "display_name": "Study",
            "description": "Of a test",
            "workspace_owner_object_id": "",
        }
        made, _ = self.carrel.workspaces.create_workspace(admin, "restricted", properties)
        return made.id

    def actions(self) -> list[str]:
        with self.carrel.database.read() as connection:
            bodies = connection.execute(select(audit_events.c.body)).scalars()
            return [json.loads(body)["action"] for body in bodies]


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[World]:
    settings = load(
        tmp_path / "home",
        database_url=database.engine.url.render_as_string(hide_password=False),
        redirect_uris=[ELSEWHERE],
    )
    carrel = build(settings, runtime=AnsweringRuntime(), clock=clock)
    made = World(carrel, clock)
    made.person("ada", TreRole.ADMIN)
    yield made
    carrel.database.close()


def answer_of(response: httpx.Response) -> dict[str, str]:
    """Return what a redirect tells the client."""
    assert response.status_code == 303, response.text
    parts = urlsplit(response.headers["location"])
    return {name: value for name, [value] in parse_qs(parts.query or parts.fragment).items()}


# Discovery --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tenant", ["common", "organizations", "own"])
def test_the_configuration_names_the_same_issuer_under_every_name(world: World, tenant: str):
    name = world.issuer.identity.tenant_id if tenant == "own" else tenant
    shown = world.program.get(f"/{name}/v2.0/.well-known/openid-configuration").json()
    assert shown["issuer"] == f"https://localhost:8443/{world.issuer.identity.tenant_id}/v2.0"
    for key in ("authorization_endpoint", "token_endpoint", "device_authorization_endpoint"):
        assert shown[key].startswith(f"https://localhost:8443{world.base}/")
    keys = world.program.get(urlsplit(shown["jwks_uri"]).path).json()["keys"]
    assert all(set(key) == {"kty", "kid", "use", "alg", "n", "e", "issuer"} for key in keys)


def test_another_tenant_is_refused_in_entras_words(world: World):
    shown = world.program.get(f"/{new_id()}/v2.0/.well-known/openid-configuration")
    assert (shown.status_code, shown.json()["error"]) == (400, "invalid_tenant")
    assert shown.json()["error_codes"] == [90002]


def test_instance_discovery_knows_only_our_own_hosts(world: World):
    path = "/common/discovery/instance"
    ours = {"authorization_endpoint": f"https://localhost/{world.base}/authorize"}
    shown = world.program.get(path, params=ours).json()
    assert shown["tenant_discovery_endpoint"].startswith(world.issuer.base)
    other = {"authorization_endpoint": "https://login.example.org/common/oauth2/v2.0/authorize"}
    refused = world.program.get(path, params=other)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_instance")


# Codes ------------------------------------------------------------------------------------------


def test_a_code_brings_signed_tokens(world: World):
    answer = world.exchange(world.code()).json()
    keys = KeySet.import_key_set({"keys": list(world.issuer.keys.public())})
    access = jwt.decode(answer["access_token"], keys, algorithms=["RS256"]).claims
    identity = jwt.decode(answer["id_token"], keys, algorithms=["RS256"]).claims
    assert access["aud"] == identity["aud"] == world.client_id
    assert access["oid"] == access["sub"] == world.ruth.id
    assert access["roles"] == ["TREUser"]
    assert access["exp"] - access["iat"] == 3600
    assert identity["nonce"] == "n1"
    assert world.actions()[-2:] == ["code.issued", "token.issued"]


def test_nobody_is_asked_before_they_signed_in(world: World):
    stranger = app_client(world.app)
    shown = world.ask(stranger)
    assert shown.status_code == 303
    assert shown.headers["location"].startswith("/sign-in?next=%2F")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example.org/",
        "http://localhost.evil.example.org:8400",
        "http://localhost:8400@evil.example.org",
        "http://evil.example.org/localhost",
        "http://localhost:8400#x",
        "http://localhost:99999",
        "https://ui.example.org/other",
        "https://ui.example.org",
        "https://ui.example.org/?x=1",
        "javascript:alert(1)",
        "//localhost:8400",
        "http://localhost:8400/\r\nSet-Cookie: x=1",
        "http://localhost\\@evil.example.org",
        "",
    ],
)
def test_the_answer_goes_nowhere_that_was_not_registered(world: World, address: str):
    for response in (world.ask(redirect_uri=address), world.agree(redirect_uri=address)):
        assert response.status_code == 400
        assert "location" not in response.headers


@pytest.mark.parametrize(
    "address",
    ["http://localhost:1", "http://127.0.0.1:65535/x/y", "http://[::1]:8400", "http://localhost"],
)
def test_programs_on_ones_own_machine_choose_their_port(world: World, address: str):
    assert answer_of(world.agree(redirect_uri=address))["state"] == "s1"


def test_a_program_is_never_answered_without_a_click(world: World):
    assert "Continue to a program on your computer?" in world.ask().text
    assert answer_of(world.ask(prompt="none"))["error"] == "interaction_required"


def test_a_registered_page_may_ask_silently(world: World):
    answer = answer_of(world.ask(prompt="none", redirect_uri=ELSEWHERE))
    assert world.exchange(answer["code"], redirect_uri=ELSEWHERE).status_code == 200
    stranger = app_client(world.app)
    refused = answer_of(world.ask(stranger, prompt="none", redirect_uri=ELSEWHERE))
    assert refused["error"] == "login_required"


def test_the_answer_says_who_answered(world: World):
    assert answer_of(world.agree())["iss"] == world.issuer.identity.issuer_url


def test_fragment_and_form_are_answered_as_asked(world: World):
    fragment = world.agree(response_mode="fragment").headers["location"]
    assert urlsplit(fragment).fragment
    assert not urlsplit(fragment).query
    page = world.agree(response_mode="form_post", state='"><script>x</script>')
    assert page.status_code == 200
    assert "<script>x" not in page.text
    assert '"><script>x</script>' in unescape(page.text)
    assert f"form-action {HERE};" in page.headers["content-security-policy"]


def test_prompt_login_asks_for_the_password_again(world: World):
    assert "Sign in again" in world.ask(prompt="login").text
    again = world.agree("other", prompt="login")
    assert again.headers["location"].startswith("/sign-in?next=")
    assert world.browser.get("/account").status_code == 303


def test_agreeing_needs_the_forms_token(world: World):
    fields = {"query": urlencode(world.wish()), "choice": "allow"}
    assert world.browser.post(f"{world.base}/confirm", data=fields).status_code == 403
    assert "code.issued" not in world.actions()


def test_a_programs_token_cannot_agree_for_its_person(world: World):
    token = world.exchange(world.code()).json()["access_token"]
    session = world.carrel.people.sign_in("ruth", PASSWORD, kind="api", client="t").token
    for bearer in (token, session):
        headers = {"Authorization": f"Bearer {bearer}"}
        assert world.program.get("/device", headers=headers).status_code == 403
        answer = world.program.post(
            f"{world.base}/confirm", data={"query": urlencode(world.wish())}, headers=headers
        )
        assert answer.status_code == 403
        shown = world.program.get(f"{world.base}/authorize", params=world.wish(), headers=headers)
        assert shown.status_code == 403


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "web_message"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "https://graph.microsoft.com/.default"}, "invalid_scope"),
        ({"scope": CLI_SCOPE}, "invalid_scope"),
        ({"scope": f"api://{new_id()}/user_impersonation"}, "invalid_resource"),
        ({"scope": f"api://{new_id()}/.default api://{new_id()}/.default"}, "invalid_scope"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"state": "x" * 2001}, "invalid_request"),
    ],
)
def test_what_cannot_be_met_is_told_to_the_client(world: World, changes: dict, error: str):
    answer = answer_of(world.ask(**changes))
    assert answer["error"] == error
    assert answer["error_description"].startswith("AADSTS")


def test_a_parameter_sent_twice_is_refused(world: World):
    query = urlencode([*world.wish().items(), ("redirect_uri", HERE)])
    assert world.browser.get(f"{world.base}/authorize?{query}").status_code == 400
    content = "grant_type=refresh_token&grant_type=password"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = world.program.post(f"{world.base}/token", content=content, headers=headers)
    assert answer.json()["error"] == "invalid_request"


def test_a_code_counts_once_and_its_second_use_ends_what_came_of_it(world: World):
    code = world.code()
    first = world.exchange(code).json()
    second = world.exchange(code)
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
    assert world.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert "code.reused" in world.actions()


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 64},
        {"code_verifier": "v"},
        {"redirect_uri": "http://localhost:8401"},
        {"client_id": CLI_CLIENT_ID},
        {"code": "guessed"},
        {"scope": f"api://{new_id()}/user_impersonation"},
    ],
)
def test_a_code_is_bound_to_client_address_and_challenge(world: World, changes: dict):
    answer = world.exchange(world.code(), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert "token.issued" not in world.actions()


def test_a_code_is_over_soon(world: World):
    code = world.code()
    world.clock.advance(121)
    assert world.exchange(code).json()["error_codes"] == [70008]


# Refresh tokens ---------------------------------------------------------------------------------


def test_a_stolen_refresh_token_ends_the_whole_chain(world: World):
    first = world.exchange(world.code()).json()["refresh_token"]
    second = world.refresh(first).json()["refresh_token"]
    assert world.refresh(first).json()["error_codes"] == [50173]
    assert world.refresh(second).json()["error"] == "invalid_grant"
    assert "refresh.reused" in world.actions()


def test_a_refresh_token_is_bound_to_its_client_and_ends_with_the_day(world: World):
    token = world.exchange(world.code()).json()["refresh_token"]
    assert world.refresh(token, client_id=CLI_CLIENT_ID).json()["error"] == "invalid_grant"
    token = world.refresh(token).json()["refresh_token"]
    world.clock.advance(12 * 3600)
    assert world.refresh(token).json()["error_codes"] == [700082]


def test_a_disabled_account_and_a_new_password_end_refresh_tokens(world: World):
    one = world.exchange(world.code()).json()["refresh_token"]
    people = world.carrel.people
    people.reset_password(ADMIN, world.ruth.id, "another quiet desk")
    assert world.refresh(one).json()["error"] == "invalid_grant"
    eve = world.person("eve")
    world.browser = world.at_browser("eve")
    two = world.exchange(world.code()).json()["refresh_token"]
    people.set_active(ADMIN, eve.id, active=False)
    assert world.refresh(two).json()["error"] == "invalid_grant"


def test_tokens_lie_in_the_database_only_as_hashes(world: World):
    answer = world.exchange(world.code()).json()
    device = world.device()
    with world.carrel.database.read() as connection:
        kept = "".join(
            str(row)
            for table in metadata.sorted_tables
            for row in connection.execute(select(table))
        )
    for secret in (
        answer["refresh_token"],
        answer["access_token"],
        device["device_code"],
        device["user_code"].replace("-", ""),
    ):
        assert secret not in kept


# Workspaces -------------------------------------------------------------------------------------


def test_a_workspaces_token_is_for_members_and_administrators(world: World):
    workspace = world.workspace()
    scope = f"api://{workspace}/user_impersonation"
    stranger = answer_of(world.ask(scope=scope))
    nowhere = answer_of(world.ask(scope=f"api://{new_id()}/user_impersonation"))
    assert stranger["error"] == nowhere["error"] == "invalid_resource"
    people = world.carrel.people
    people.assign_role(ADMIN, workspace, world.ruth.id, WorkspaceRole.RESEARCHER)
    first = world.exchange(world.code()).json()
    member = world.refresh(first["refresh_token"], scope=scope).json()
    assert (payload(member)["aud"], payload(member)["roles"]) == (
        workspace,
        ["WorkspaceResearcher"],
    )
    world.browser = world.at_browser("ada")
    admin = world.exchange(world.code(scope=scope), scope=scope).json()
    assert (payload(admin)["aud"], payload(admin)["roles"]) == (workspace, [])


def test_a_lost_membership_ends_the_workspaces_tokens_but_not_the_others(world: World):
    workspace = world.workspace()
    scope = f"api://{workspace}/user_impersonation"
    people = world.carrel.people
    people.assign_role(ADMIN, workspace, world.ruth.id, WorkspaceRole.OWNER)
    token = world.exchange(world.code()).json()["refresh_token"]
    people.remove_role(ADMIN, workspace, world.ruth.id, WorkspaceRole.OWNER)
    assert world.refresh(token, scope=scope).json()["error"] == "invalid_resource"
    assert world.refresh(token).status_code == 200


def payload(answer: dict) -> dict:
    """Return the claims of an access token, unchecked."""
    body = answer["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=="))


# Devices ----------------------------------------------------------------------------------------


def test_a_device_waits_and_must_not_ask_too_fast(world: World):
    device = world.device()
    assert world.poll(device)["error"] == "authorization_pending"
    assert world.poll(device)["error"] == "slow_down"
    world.clock.advance(10)
    assert world.poll(device)["error"] == "authorization_pending"
    assert world.form("/device", user_code=device["user_code"].lower()).status_code == 200
    done = world.form("/device/answer", user_code=device["user_code"], choice="allow")
    assert "is signed in" in done.text
    assert payload(world.poll(device))["oid"] == world.ruth.id
    assert world.poll(device)["error"] == "bad_verification_code"
    assert world.actions()[-2:] == ["device.confirmed", "token.issued"]


def test_a_device_code_is_over_and_bound_to_its_client(world: World):
    device = world.device()
    assert world.poll(device, client_id=CLI_CLIENT_ID)["error"] == "bad_verification_code"
    world.clock.advance(DEVICE_SECONDS)
    assert world.poll(device)["error"] == "expired_token"
    assert world.form("/device", user_code=device["user_code"]).status_code == 422


def test_devices_are_confirmed_only_by_the_form_of_ones_own_session(world: World):
    device = world.device()
    fields = {"user_code": device["user_code"], "choice": "allow"}
    assert world.browser.post("/device/answer", data=fields).status_code == 403
    headers = {"Sec-Fetch-Site": "cross-site"}
    fields["csrf_token"] = csrf_of(world.browser.get("/account").text)
    assert world.browser.post("/device/answer", data=fields, headers=headers).status_code == 403
    assert world.poll(device)["error"] == "authorization_pending"


def test_guessing_codes_must_wait_even_with_a_code_of_ones_own(world: World):
    own = world.device()["user_code"]
    for _ in range(7):
        assert world.form("/device", user_code="BCDF-GHJK").status_code == 422
        assert world.form("/device", user_code=own).status_code == 200
    assert world.form("/device", user_code="BCDF-GHJK").status_code == 422
    refused = world.form("/device", user_code=own)
    assert refused.status_code == 403
    assert "Wait" in refused.text


def test_only_the_command_line_gets_a_session_and_only_by_device(world: World):
    refused = world.program.post(
        f"{world.base}/devicecode", data={"client_id": world.client_id, "scope": CLI_SCOPE}
    )
    assert refused.json()["error"] == "invalid_scope"
    device = world.device(client_id=CLI_CLIENT_ID, scope=CLI_SCOPE)
    world.form("/device/answer", user_code=device["user_code"], choice="allow")
    answer = world.poll(device, client_id=CLI_CLIENT_ID)
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    assert world.program.get("/api/me", headers=headers).status_code == 200
    first = world.exchange(world.code()).json()["refresh_token"]
    assert world.refresh(first, scope=CLI_SCOPE).json()["error"] == "invalid_scope"


def test_one_address_cannot_fill_the_table_of_devices(world: World):
    for _ in range(20):
        world.device()
    fields = {"client_id": world.client_id, "scope": world.scope}
    refused = world.program.post(f"{world.base}/devicecode", data=fields)
    assert refused.json()["error"] == "temporarily_unavailable"
    world.clock.advance(DEVICE_SECONDS)
    world.device()


# Applications -----------------------------------------------------------------------------------


def test_an_application_proves_itself_by_header_or_field(world: World):
    made, secret = world.carrel.people.create_application(ADMIN, name="Nightly")
    scope = f"api://{world.client_id}/.default"
    fields = {"grant_type": "client_credentials", "scope": scope}
    by_field = world.token(client_id=made.client_id, client_secret=secret, **fields)
    assert payload(by_field.json())["azpacr"] == "1"
    basic = httpx.BasicAuth(made.client_id, secret)
    by_header = world.program.post(f"{world.base}/token", data=fields, auth=basic)
    assert payload(by_header.json())["idtyp"] == "app"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "guessed"}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"client_id": new_id()}, "invalid_client"),
        ({"scope": "api://CORE/user_impersonation"}, "invalid_scope"),
        ({"scope": f"api://{new_id()}/.default"}, "invalid_resource"),
        ({"grant_type": "password"}, "invalid_client"),
        ({"grant_type": "password", "client_secret": "", "client_id": "CORE"}, "unsupported"),
        ({"grant_type": ""}, "invalid_request"),
    ],
)
def test_what_an_application_cannot_have(world: World, changes: dict, error: str):
    made, secret = world.carrel.people.create_application(ADMIN, name="Nightly")
    fields = {
        "client_id": made.client_id,
        "client_secret": secret,
        "grant_type": "client_credentials",
        "scope": "api://CORE/.default",
        **changes,
    }
    answer = world.token(**{n: v.replace("CORE", world.client_id) for n, v in fields.items()})
    assert answer.status_code in (400, 401)
    assert answer.json()["error"].startswith(error)
    assert "token.issued" not in world.actions()


def test_a_token_made_in_the_second_before_a_new_secret_is_over_and_the_next_one_is_taken(
    world: World,
):
    made, stolen = world.carrel.people.create_application(ADMIN, name="Nightly")

    def status(secret: str) -> tuple[str, int]:
        fields = {"grant_type": "client_credentials", "scope": f"api://{world.client_id}/.default"}
        answer = world.token(client_id=made.client_id, client_secret=secret, **fields)
        token = answer.json()["access_token"]
        return token, asked(token)

    def asked(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return world.program.get("/api/workspaces", headers=headers).status_code

    world.clock.advance(0.2)
    token, taken = status(stolen)
    assert taken == 200
    world.clock.advance(0.3)
    _, new = world.carrel.people.rotate_secret(ADMIN, made.client_id)
    assert asked(token) == 401
    world.clock.advance(0.1)
    assert status(new)[1] == 200


def test_guesses_of_a_secret_must_wait(world: World):
    made, _ = world.carrel.people.create_application(ADMIN, name="Nightly")
    fields = {"grant_type": "client_credentials", "client_id": made.client_id}
    errors = [
        world.token(**fields, client_secret=f"guess {number}").json()["error"]
        for number in range(12)
    ]
    assert errors[0] == "invalid_client"
    assert errors[-1] == "temporarily_unavailable"


def test_the_token_endpoint_takes_only_forms(world: World):
    answer = world.program.post(f"{world.base}/token", json={"grant_type": "password"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
