"""Do names, passwords, waits and sessions follow the rules?"""

from datetime import timedelta

import pytest

from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.errors import Denied, InvalidRequest, NotFound
from carrel.people import rules
from carrel.people.rules import Failures, Session
from tests.factories import make_actor


@pytest.mark.parametrize("name", ["ada", "Ada ", "a_b-c9", "a" * 32])
def test_good_user_names_are_stored_in_small_letters(name):
    assert rules.check_username(name) == name.strip().lower()


@pytest.mark.parametrize("name", ["", "9a", "a b", "a.b", "ü", "a" * 33, "root\n", "a/../b"])
def test_other_user_names_are_refused(name):
    if name == "root\n":
        assert rules.check_username(name) == "root"
    else:
        with pytest.raises(InvalidRequest) as caught:
            rules.check_username(name)
        assert caught.value.field == "username"


@pytest.mark.parametrize(
    "password",
    ["short", "elevenchars", "aaaaaaaaaaaaaaaa", "abababababab", "x" * 257, "ada-ada-lovelace"],
)
def test_weak_passwords_are_refused(password):
    with pytest.raises(InvalidRequest) as caught:
        rules.check_password(password, "ada-ada")
    assert caught.value.field == "password"


def test_a_long_password_is_taken_in_its_normal_form():
    assert rules.check_password("correct horse ﬁne", "ada") == "correct horse fine"


def test_waits_double_up_to_a_limit():
    waits = [rules.wait_seconds(failures, 3) for failures in range(1, 16)]
    assert waits[:6] == [0, 0, 5, 10, 20, 40]
    assert waits[-1] == rules.LONGEST_WAIT_SECONDS
    assert rules.wait_seconds(10_000, 3) == rules.LONGEST_WAIT_SECONDS


def test_attempts_are_forgotten_after_a_day(clock):
    state = Failures()
    for _ in range(4):
        state = rules.count_attempt(state, 3, clock.now())
    assert state.count == 4
    assert rules.remaining_wait(state, clock.now()) == 10
    clock.advance(rules.FORGET_SECONDS + 1)
    assert rules.remaining_wait(state, clock.now()) == 0
    assert rules.count_attempt(state, 3, clock.now()).count == 1


@pytest.mark.parametrize(
    ("kind", "used_after", "asked_after", "over"),
    [
        ("browser", 0, 59, False),
        ("browser", 0, 60, True),
        ("browser", 59, 118, False),
        ("api", 0, 600, False),
        ("api", 700, 720, True),
        ("browser", 719, 720, True),
    ],
)
def test_sessions_end_when_idle_or_old(clock, kind, used_after, asked_after, over):
    start = clock.now()
    session = Session(
        id="s",
        account_id="a",
        created_at=start,
        last_seen_at=start + timedelta(minutes=used_after),
        expires_at=start + timedelta(minutes=720),
        kind=kind,
    )
    now = start + timedelta(minutes=asked_after)
    assert rules.is_over(session, timedelta(minutes=60), now) is over


def test_only_owners_and_administrators_change_roles():
    rules.check_may_manage_members(make_actor(TreRole.ADMIN), "w1")
    rules.check_may_manage_members(system("worker"), "w1")
    rules.check_may_manage_members(make_actor(w1=WorkspaceRole.OWNER), "w1")
    with pytest.raises(Denied):
        rules.check_may_manage_members(make_actor(w1=WorkspaceRole.RESEARCHER), "w1")
    with pytest.raises(NotFound):
        rules.check_may_manage_members(make_actor(w2=WorkspaceRole.OWNER), "w1")
    with pytest.raises(NotFound):
        rules.check_may_see_members(make_actor(w2=WorkspaceRole.OWNER), "w1")
