"""Do the issuer's keys turn over, and do its pure rules hold?"""

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrel.core.clock import ManualClock
from carrel.core.errors import OutsideFailure
from carrel.people.issuer.errors import OAuthError
from carrel.people.issuer.keys import OVERLAP, SigningKeys
from carrel.people.issuer.rules import (
    Client,
    is_loopback,
    may_redirect,
    new_user_code,
    parse_scope,
    shown_user_code,
    typed_user_code,
)

CORE_ID = "11111111-1111-4111-8111-111111111111"
SPACE = "22222222-2222-4222-8222-222222222222"


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path, clock: ManualClock):
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(SigningKeys(tmp_path, clock).current().kid))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    [file] = (tmp_path / "secrets" / "tokens").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_old_key_stays_known_until_its_tokens_are_over(tmp_path: Path, clock: ManualClock):
    serving, command = SigningKeys(tmp_path, clock), SigningKeys(tmp_path, clock)
    first = serving.current().kid
    second = command.rotate().kid
    assert [key["kid"] for key in serving.public()] == [second, first]
    assert serving.current().kid == second
    clock.advance(OVERLAP.total_seconds() - 1)
    assert len(serving.public()) == 2
    clock.advance(1)
    assert [key["kid"] for key in serving.public()] == [second]
    third = command.rotate().kid
    assert [key["kid"] for key in serving.public()] == [third, second]
    assert len(list((tmp_path / "secrets" / "tokens").iterdir())) == 2


def test_a_key_that_was_seen_is_forgotten_at_once(tmp_path: Path, clock: ManualClock):
    serving, command = SigningKeys(tmp_path, clock), SigningKeys(tmp_path, clock)
    serving.current()
    made = command.rotate(at_once=True)
    assert [key["kid"] for key in serving.public()] == [made.kid]


def test_public_keys_hold_nothing_private(tmp_path: Path, clock: ManualClock):
    [key] = SigningKeys(tmp_path, clock).public()
    assert set(key) == {"kty", "kid", "use", "alg", "n", "e"}


def test_a_damaged_key_says_what_to_do(tmp_path: Path, clock: ManualClock):
    SigningKeys(tmp_path, clock).current()
    [file] = (tmp_path / "secrets" / "tokens").iterdir()
    file.write_text("{}")
    with pytest.raises(OutsideFailure, match="Restore it from the backup"):
        SigningKeys(tmp_path, clock).current()


@pytest.mark.parametrize(
    ("text", "resource"),
    [
        (f"api://{CORE_ID}/user_impersonation", "core"),
        (f"API://{CORE_ID.upper()}/.default", "core"),
        (f"{SPACE}/user_impersonation openid", SPACE),
        ("openid profile", "core"),
        ("carrel", "carrel"),
    ],
)
def test_scopes_name_one_resource(text: str, resource: str):
    assert parse_scope(text, api_client_id=CORE_ID).resource == resource


def test_the_answer_names_what_default_stood_for():
    asked = parse_scope(f"api://{SPACE}/.default openid", api_client_id=CORE_ID)
    whole = f"api://{SPACE}/user_impersonation"
    assert asked.granted(whole).split() == [f"api://{SPACE}/.default", "openid", whole]


@given(st.text(max_size=60))
def test_any_scope_is_understood_or_refused(text: str):
    with suppress(OAuthError):
        assert parse_scope(text, api_client_id=CORE_ID).resource in {"core", "carrel"}


@given(st.text(max_size=40))
def test_no_address_gets_an_answer_by_looking_local(text: str):
    for address in (f"http://localhost{text}", f"http://127.0.0.1:80{text}"):
        if may_redirect(Client(CORE_ID, "x"), address):
            assert is_loopback(address)
            rest = address.removeprefix("http://").partition("/")[0].partition("?")[0]
            assert rest.partition(":")[0] in {"localhost", "127.0.0.1"}
            assert not set('"<>\\ \r\n\t@#') & set(rest)


def test_a_user_code_is_read_however_it_was_typed():
    code = new_user_code()
    assert typed_user_code(shown_user_code(code).lower()) == code
    assert typed_user_code(" ".join(code)) == code
    assert typed_user_code(code[:-1]) is None
    assert typed_user_code("AEIO-UAEI") is None
