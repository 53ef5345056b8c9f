"""Are tokens of a foreign issuer checked by its own keys, and mapped to accounts as it is set?"""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.certificates import ensure
from carrel.core.clock import SystemClock
from carrel.core.errors import InvalidRequest, Unavailable
from carrel.core.settings import load
from carrel.people.tokens.identity import TreIdentity
from carrel.people.tokens.keys import FetchedKeys, foreign_keys, parse_keys
from tests.api import World, make_world
from tests.factories import make_database
from tests.tokens import Mill

SYSTEM = system("tests")
ISSUER = "https://login.example.org/tenant/v2.0"
AUDIENCE = "6f8ab1a4-0000-4000-8000-000000000001"
KEY = RSAKey.generate_key(2048, {"kid": "theirs", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "newer"})


def jwks(*keys: RSAKey) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


class KeyServer:
    """A real HTTPS server with one document; its certificate is of its own authority."""

    def __init__(self, folder: Path) -> None:
        settings = load(folder / "authority")
        files = ensure(settings, SystemClock().now())
        self.ca_file = folder / "authority" / "tls" / "ca.pem"
        self.body, self.status, self.asked = jwks(KEY), 200, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Location", "https://localhost:1/")
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(files.certificate, files.key)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}/keys"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=5)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyServer]:
    made = KeyServer(tmp_path)
    yield made
    made.close()


def make(home: Path, **settings) -> tuple[World, Mill]:
    database = make_database(home)
    given = {"foreign_issuer": ISSUER, "foreign_audience": AUDIENCE, **settings}
    world = make_world(database, home, **given)
    database.close()
    mill = Mill(TreIdentity("theirs", AUDIENCE, ISSUER), KEY, "theirs", world.clock)
    return world, mill


def from_server(keys: KeyServer) -> dict:
    return {"foreign_jwks_url": keys.url, "foreign_ca_file": keys.ca_file}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_linked_person_of_a_foreign_issuer_is_taken_with_the_roles_of_the_token(
    keys: KeyServer, tmp_path: Path
):
    world, mill = make(tmp_path / "tre", **from_server(keys))
    world.as_person("rosa")
    account = world.carrel.people.find_account_by_name("rosa")
    unknown = world.client.get("/api/me", headers=bearer(mill.token("rosa-there")))
    assert unknown.status_code == 401
    world.carrel.people.link_identity(SYSTEM, account.id, ISSUER, "rosa-there")
    as_user = bearer(mill.token("rosa-there", roles=["TREUser", "Boss"]))
    as_admin = bearer(mill.token("rosa-there", roles=["TREAdmin"]))
    assert world.client.get("/api/me", headers=as_user).json()["account"]["id"] == account.id
    assert world.client.get("/api/accounts", headers=as_user).status_code == 403
    assert world.client.get("/api/accounts", headers=as_admin).status_code == 200
    assert world.client.get("/api/me", headers=bearer(mill.token("rosa-there"))).status_code == 403
    world.carrel.people.unlink_identity(SYSTEM, account.id, ISSUER, "rosa-there")
    assert world.client.get("/api/me", headers=as_user).status_code == 401
    world.close()


def test_an_account_is_made_at_first_sight_only_where_that_is_set(keys: KeyServer, tmp_path: Path):
    world, mill = make(tmp_path / "tre", foreign_accounts="create", **from_server(keys))
    world.as_person("jo")
    token = mill.token(
        "jo-there", roles=["TREUser"], name="Jo\u0000 Brown", preferred_username="Jo@example.org"
    )
    first = world.client.get("/api/me", headers=bearer(token)).json()["account"]
    again = world.client.get("/api/me", headers=bearer(token)).json()["account"]
    assert first == again
    assert (first["username"], first["display_name"]) == ("jo-2", "Jo Brown")
    assert first["tre_roles"] == []
    with pytest.raises(Exception, match="not right"):
        world.carrel.people.sign_in("jo-2", "", client="tests")
    world.close()


def test_workspace_roles_of_foreign_people_are_carrels_own(keys: KeyServer, tmp_path: Path):
    world, mill = make(tmp_path / "tre", foreign_accounts="create", **from_server(keys))
    space = world.make(world.as_person("ada", TreRole.ADMIN), "/api/workspaces", "restricted")
    core = bearer(mill.token("jo", roles=["TREUser"]))
    account_id = world.client.get("/api/me", headers=core).json()["account"]["id"]
    inside = bearer(mill.token("jo", f"api://{space}", roles=["WorkspaceOwner"]))
    path = f"/api/workspaces/{space}/workspace-services"
    assert world.client.get(path, headers=inside).status_code == 404
    role = WorkspaceRole.RESEARCHER
    world.carrel.people.assign_role(SYSTEM, space, account_id, role)
    assert world.client.get(path, headers=inside).status_code == 200
    world.close()


def test_the_two_issuers_cannot_speak_for_each_other(keys: KeyServer, tmp_path: Path):
    world, mill = make(tmp_path / "tre", foreign_accounts="create", **from_server(keys))
    world.as_person("ada", TreRole.ADMIN)
    ada = world.carrel.people.find_account_by_name("ada")
    own = world.carrel.services.get(TreIdentity)
    claims = mill.claims(ada.id, own.api_client_id, iss=own.issuer_url, tid=own.tenant_id)
    refused = [
        mill.sealed(claims),  # their key, our words
        mill.token(ada.id, own.api_client_id, roles=["TREAdmin"]),  # their words, our audience
        mill.token("jo", nonce="n"),  # their ID token
        mill.sealed(mill.claims("jo"), OTHER_KEY),
    ]
    for token in refused:
        assert world.client.get("/api/accounts", headers=bearer(token)).status_code == 401
    world.close()


def test_keys_from_a_file_need_no_network(tmp_path: Path):
    file = tmp_path / "keys.json"
    file.write_bytes(jwks(KEY))
    world, mill = make(tmp_path / "tre", foreign_accounts="create", foreign_keys_file=file)
    token = bearer(mill.token("jo", roles=["TREUser"]))
    assert world.client.get("/api/me", headers=token).status_code == 200
    world.close()


def test_without_keys_nothing_is_believed(keys: KeyServer, tmp_path: Path):
    keys.status = 500
    world, mill = make(tmp_path / "tre", foreign_accounts="create", **from_server(keys))
    answer = world.client.get("/api/me", headers=bearer(mill.token("jo", roles=["TREUser"])))
    assert answer.status_code == 503
    assert world.carrel.people.find_account_by_name("somebody") is None
    world.close()


# Fetching --------------------------------------------------------------------------------------


class Tick:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_unknown_key_ids_make_at_most_one_fetch_a_minute(keys: KeyServer, tmp_path: Path):
    del tmp_path
    tick, asked = Tick(), []

    def fetch() -> bytes:
        asked.append(tick.now)
        return jwks(KEY) if len(asked) < 2 else jwks(KEY, OTHER_KEY)

    found = FetchedKeys(fetch, tick)
    assert found.find("theirs") is not None
    for kid in ("a", "b", "newer"):
        assert found.find(kid) is None
    assert asked == [0.0]
    tick.now = 61.0
    assert found.find("newer") is not None
    assert asked == [0.0, 61.0]


def test_old_keys_serve_while_the_issuer_is_away_but_not_for_ever():
    tick, is_away = Tick(), []

    def fetch() -> bytes:
        if is_away:
            raise OSError("away")
        return jwks(KEY)

    found = FetchedKeys(fetch, tick)
    found.find("theirs")
    is_away.append(True)
    tick.now = 23 * 3600.0
    assert found.find("theirs") is not None
    tick.now = 25 * 3600.0
    with pytest.raises(Unavailable):
        found.find("theirs")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"keys": 1}', b"{" * 9000, b'{"keys": []}' + b" " * 300_000]
)
def test_a_document_that_is_no_key_list_gives_no_key(keys: KeyServer, tmp_path: Path, body: bytes):
    keys.body = body
    found = foreign_keys(load(tmp_path / "x", **from_server(keys)))
    with pytest.raises(Unavailable):
        found.find("theirs")


def test_no_redirect_is_followed_and_no_foreign_certificate_believed(
    keys: KeyServer, tmp_path: Path
):
    untrusting = foreign_keys(load(tmp_path / "x", foreign_jwks_url=keys.url))
    with pytest.raises(Unavailable):
        untrusting.find("theirs")
    assert keys.asked == 0
    keys.status = 302
    with pytest.raises(Unavailable):
        foreign_keys(load(tmp_path / "x", **from_server(keys))).find("theirs")
    assert keys.asked == 1


def test_only_public_rsa_keys_for_signatures_count():
    good = KEY.as_dict(private=False)
    wrong = [
        KEY.as_dict(private=True),
        {**good, "kty": "oct", "k": "AAAA"},
        {**good, "use": "enc"},
        {**good, "alg": "HS256"},
        {**good, "kid": 7},
        {**good, "n": "AQAB"},
        {"kid": "theirs"},
    ]
    assert [parse_keys([one]) for one in wrong] == [{}] * len(wrong)
    assert set(parse_keys([good])) == {"theirs"}


@pytest.mark.parametrize(
    "given",
    [
        {"foreign_audience": ""},
        {"foreign_jwks_url": ""},
        {"foreign_jwks_url": "http://login.example.org/keys"},
    ],
)
def test_half_a_foreign_issuer_is_refused_at_the_start(tmp_path: Path, given: dict[str, str]):
    whole = {
        "foreign_issuer": ISSUER,
        "foreign_audience": AUDIENCE,
        "foreign_jwks_url": "https://login.example.org/keys",
    }
    load(tmp_path, **whole)
    with pytest.raises(InvalidRequest, match="foreign_issuer needs"):
        load(tmp_path, **{**whole, **given})
