"""Do accounts, sign-in, sessions and roles hold on a real database?"""

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection

from carrel.core.actors import Actor, TreRole, WorkspaceRole, system
from carrel.core.audit import Audit, list_events, verify
from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotAuthenticated, NotFound
from carrel.core.events import Event, Events
from carrel.core.ids import new_id
from carrel.core.secrets import KeyRing
from carrel.core.settings import load
from carrel.people.events import AccountDisabled, RolesChanged, SessionEnded
from carrel.people.passwords import Passwords
from carrel.people.ports import WorkspaceCheck
from carrel.people.proofs import local_proofs
from carrel.people.rules import SIGN_IN_FAILED
from carrel.people.service import People
from carrel.people.tables import sessions
from tests.factories import any_workspace, make_actor

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
ROOT = system("init")


@dataclass
class House:
    people: People
    database: Database
    clock: ManualClock
    heard: list[Event]
    events: Events

    def actions(self) -> list[str]:
        with self.database.read() as connection:
            return [event.action for event in reversed(list_events(connection, limit=1000))]

    def epoch(self) -> int:
        with self.database.read() as connection:
            return self.people.access_epoch(connection)

    def sign_in(self, name: str, *, code: str | None = None, kind: str = "browser") -> str:
        return self.people.sign_in(name, PASSWORD, code, kind=kind, client="10.0.0.1").token

    def actor(self, name: str) -> Actor:
        actor = self.people.actor_for_token(self.sign_in(name))
        assert actor is not None
        return actor


def make_people(
    database: Database,
    clock: ManualClock,
    home: Path,
    events: Events,
    is_workspace: WorkspaceCheck = any_workspace,
) -> People:
    return People(
        database=database,
        audit=Audit(clock),
        events=events,
        clock=clock,
        settings=load(home),
        proofs=local_proofs(database, KeyRing(home), Passwords(QUICK)),
        is_workspace=is_workspace,
    )


@pytest.fixture
def house(database, clock, tmp_path) -> House:
    events, heard = Events(), []
    for kind in (RolesChanged, SessionEnded, AccountDisabled):
        events.subscribe(kind, lambda _connection, event: heard.append(event))
    people = make_people(database, clock, tmp_path, events)
    for name, role in (("ada", TreRole.ADMIN), ("rosa", TreRole.USER)):
        people.create_account(
            ROOT, username=name, display_name=name.title(), password=PASSWORD, tre_roles={role}
        )
    return House(people, database, clock, heard, events)


# Accounts --------------------------------------------------------------------------------------


def test_only_administrators_make_and_see_accounts(house):
    rosa = house.actor("rosa")
    with pytest.raises(Denied):
        house.people.create_account(rosa, username="eve", display_name="Eve", password=PASSWORD)
    with pytest.raises(Denied):
        house.people.list_accounts(rosa)
    ada = house.actor("ada")
    assert [account.username for account in house.people.list_accounts(ada)] == ["ada", "rosa"]
    assert house.people.get_account(rosa, rosa.id).username == "rosa"
    with pytest.raises(NotFound):
        house.people.get_account(rosa, ada.id)


def test_a_user_name_is_taken_once_whatever_its_case(house):
    with pytest.raises(Conflict) as caught:
        house.people.create_account(ROOT, username="Ada", display_name="X", password=PASSWORD)
    assert caught.value.field == "username"


def test_the_last_administrator_cannot_be_disabled(house):
    ada = house.actor("ada")
    with pytest.raises(Conflict):
        house.people.set_active(ada, ada.id, active=False)
    house.people.create_account(
        ada,
        username="grace",
        display_name="Grace",
        password=PASSWORD,
        tre_roles=frozenset({TreRole.ADMIN}),
    )
    assert house.people.set_active(ada, ada.id, active=False).is_active is False


def test_two_administrators_cannot_disable_each_other_at_once(house):
    """One waits inside its transaction until the other has had time to count too."""
    ada = house.actor("ada")
    grace = house.people.create_account(
        ROOT, username="grace", display_name="G", password=PASSWORD, tre_roles={TreRole.ADMIN}
    )
    counted, outcomes = threading.Event(), {}

    def linger(_connection: Connection, _event: Event) -> None:
        counted.set()
        time.sleep(0.5)

    house.events.subscribe(AccountDisabled, linger)

    def disable(account_id: str) -> None:
        try:
            house.people.set_active(ROOT, account_id, active=False)
            outcomes[account_id] = "disabled"
        except Conflict:
            outcomes[account_id] = "refused"

    first = threading.Thread(target=disable, args=(grace.id,))
    second = threading.Thread(target=disable, args=(ada.id,))
    first.start()
    assert counted.wait(10)
    second.start()
    first.join()
    second.join()
    assert outcomes == {grace.id: "disabled", ada.id: "refused"}
    active = [account for account in house.people.list_accounts(ROOT) if account.is_active]
    assert {account.username for account in active} == {"ada", "rosa"}


def test_disabling_ends_sessions_at_once_and_enabling_does_not_bring_them_back(house):
    token = house.sign_in("rosa")
    rosa = house.people.actor_for_token(token)
    before = house.epoch()
    house.people.set_active(ROOT, rosa.id, active=False)
    house.people.set_active(ROOT, rosa.id, active=False)
    assert house.people.actor_for_token(token) is None
    assert house.epoch() > before
    assert AccountDisabled(rosa.id) in house.heard
    assert SessionEnded(rosa.session_id) in house.heard
    with pytest.raises(NotAuthenticated):
        house.sign_in("rosa")
    house.people.set_active(ROOT, rosa.id, active=True)
    assert house.people.actor_for_token(token) is None
    assert house.sign_in("rosa")


# Sign-in ---------------------------------------------------------------------------------------


def test_tokens_and_passwords_are_not_in_the_database(house, tmp_path):
    token = house.sign_in("rosa")
    with house.database.read() as connection:
        stored = "".join(str(row) for row in connection.execute(sessions.select()))
    assert token not in stored
    assert verify(house.database).intact
    with house.database.read() as connection:
        assert PASSWORD not in str(list_events(connection, limit=1000))


@pytest.mark.parametrize(("name", "password"), [("rosa", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_every_failure_says_the_same(house, name, password):
    with pytest.raises(NotAuthenticated) as caught:
        house.people.sign_in(name, password, client="10.0.0.1")
    assert str(caught.value) == SIGN_IN_FAILED
    assert house.actions()[-1] == "session.refused"


@pytest.mark.parametrize("name", ["rosa", "nobody"])
def test_guessing_waits_and_the_wait_survives_a_restart(house, tmp_path, name):
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            house.people.sign_in(name, "guess", client="10.0.0.9")
    assert house.actions()[-1] == "session.throttled"
    restarted = make_people(house.database, house.clock, tmp_path, Events())
    with pytest.raises(Denied, match="Wait 5 seconds"):
        restarted.sign_in(name, PASSWORD, client="10.0.0.1")
    house.clock.advance(5)
    with pytest.raises(NotAuthenticated):
        house.people.sign_in(name, "guess", client="10.0.0.9")
    with pytest.raises(Denied, match="Wait 10 seconds"):
        house.people.sign_in(name, "guess", client="10.0.0.9")


def test_a_right_password_forgives_the_earlier_failures(house):
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(NotAuthenticated):
                house.people.sign_in("rosa", "guess", client="10.0.0.1")
        assert house.sign_in("rosa")


def test_spraying_many_names_from_one_client_waits_too(house):
    with pytest.raises(Denied):
        for number in range(21):
            with pytest.raises(NotAuthenticated):
                house.people.sign_in(f"name{number}", "guess", client="10.0.0.9")
    assert house.sign_in("rosa")


def test_guesses_at_the_same_moment_gain_nothing(house):
    outcomes: list[type] = []

    def guess() -> None:
        try:
            house.people.sign_in("rosa", "guess", client="10.0.0.9")
        except (NotAuthenticated, Denied) as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(NotAuthenticated) == 5
    assert outcomes.count(Denied) == 7


# Sessions --------------------------------------------------------------------------------------


def test_a_session_knows_the_person_and_their_roles(house):
    rosa_id = house.actor("rosa").id
    workspace = new_id()
    house.people.assign_role(ROOT, workspace, rosa_id, WorkspaceRole.RESEARCHER)
    house.people.assign_role(ROOT, workspace, rosa_id, WorkspaceRole.AIRLOCK_MANAGER)
    actor = house.people.actor_for_token(house.sign_in("rosa"), request_id="r1")
    assert actor.roles_in(workspace) == {WorkspaceRole.RESEARCHER, WorkspaceRole.AIRLOCK_MANAGER}
    assert (actor.name, actor.request_id, actor.is_admin) == ("Rosa", "r1", False)
    assert house.people.actor_for_session(actor.session_id).id == actor.id


def test_use_keeps_a_session_alive_but_not_for_ever(house):
    token = house.sign_in("rosa")
    for _ in range(14):
        house.clock.advance(50 * 60)
        assert house.people.actor_for_token(token) is not None
    house.clock.advance(20 * 60)
    assert house.people.actor_for_token(token) is None


def test_an_idle_browser_is_signed_out_and_a_program_is_not(house):
    browser, program = house.sign_in("rosa"), house.sign_in("rosa", kind="api")
    house.clock.advance(61 * 60)
    assert house.people.actor_for_token(browser) is None
    assert house.people.actor_for_token(program) is not None
    assert house.people.end_expired_sessions() == 1
    assert house.people.end_expired_sessions() == 0


def test_the_last_use_is_written_at_most_once_a_minute(house):
    token = house.sign_in("rosa")
    start = house.clock.now()

    def last_seen():
        with house.database.read() as connection:
            return connection.execute(sessions.select()).one().last_seen_at

    house.clock.advance(59)
    house.people.actor_for_token(token)
    assert last_seen() == start
    house.clock.advance(1)
    house.people.actor_for_token(token)
    assert last_seen() == start + timedelta(seconds=60)


def test_signing_out_ends_only_this_session(house):
    first, second = house.sign_in("rosa"), house.sign_in("rosa")
    before = house.epoch()
    house.people.sign_out(first)
    house.people.sign_out(first)
    assert house.people.actor_for_token(first) is None
    assert house.people.actor_for_token(second) is not None
    assert house.epoch() == before + 1
    assert house.actions().count("session.ended") == 1


def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(house):
    rosa, other = house.actor("rosa"), house.sign_in("rosa")
    with pytest.raises(Denied):
        house.people.change_password(rosa, "wrong", "a brand new password")
    with pytest.raises(InvalidRequest):
        house.people.change_password(rosa, PASSWORD, "short")
    house.people.change_password(rosa, PASSWORD, "a brand new password")
    assert house.people.actor_for_token(other) is None
    assert house.people.actor_for_session(rosa.session_id) is not None
    with pytest.raises(NotAuthenticated):
        house.sign_in("rosa")
    assert house.people.sign_in("rosa", "a brand new password", client="c").token


def test_a_stolen_session_cannot_guess_the_password_for_ever(house):
    rosa = house.actor("rosa")
    for _ in range(5):
        with pytest.raises(Denied, match="present password"):
            house.people.change_password(rosa, "guess", "a brand new password")
    with pytest.raises(Denied, match="Wait"):
        house.people.change_password(rosa, PASSWORD, "a brand new password")


# Authenticator apps ----------------------------------------------------------------------------


def add_totp(house: House, actor: Actor) -> pyotp.TOTP:
    totp = pyotp.parse_uri(house.people.start_totp(actor))
    house.people.confirm_totp(actor, totp.at(house.clock.now()))
    house.clock.advance(30)
    return totp


def test_with_an_app_the_password_alone_is_not_enough(house):
    rosa = house.actor("rosa")
    totp = add_totp(house, rosa)
    assert house.people.get_account(rosa, rosa.id).has_totp
    for code in (None, "", "000000", totp.at(house.clock.now() - timedelta(minutes=5))):
        with pytest.raises(NotAuthenticated):
            house.sign_in("rosa", code=code)
    assert house.sign_in("rosa", code=totp.at(house.clock.now()))


def test_a_code_counts_once(house):
    totp = add_totp(house, house.actor("rosa"))
    code = totp.at(house.clock.now())
    assert house.sign_in("rosa", code=code)
    with pytest.raises(NotAuthenticated):
        house.sign_in("rosa", code=code)
    house.clock.advance(30)
    assert house.sign_in("rosa", code=totp.at(house.clock.now()))


def test_an_app_that_was_never_confirmed_is_not_asked_for(house):
    rosa = house.actor("rosa")
    with pytest.raises(Conflict):
        house.people.confirm_totp(rosa, "123456")
    house.people.start_totp(rosa)
    with pytest.raises(InvalidRequest):
        house.people.confirm_totp(rosa, "not a code")
    assert house.sign_in("rosa")


def test_the_app_is_removed_with_the_password_or_by_an_administrator(house):
    rosa, ada = house.actor("rosa"), house.actor("ada")
    add_totp(house, rosa)
    with pytest.raises(Conflict):
        house.people.start_totp(rosa)
    with pytest.raises(Denied):
        house.people.remove_totp(rosa, rosa.id, password="wrong")
    with pytest.raises(NotFound):
        house.people.remove_totp(rosa, ada.id)
    house.people.remove_totp(ada, rosa.id)
    assert house.sign_in("rosa")


# Roles in workspaces ---------------------------------------------------------------------------


def test_roles_come_and_go_and_everybody_hears_of_it(house):
    rosa = house.actor("rosa")
    workspace = new_id()
    house.people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.RESEARCHER)
    house.people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.RESEARCHER)
    members = house.people.members_for_system(workspace)
    assert [(m.username, m.role) for m in members] == [("rosa", WorkspaceRole.RESEARCHER)]
    before = house.epoch()
    house.people.remove_role(ROOT, workspace, rosa.id, WorkspaceRole.RESEARCHER)
    house.people.remove_role(ROOT, workspace, rosa.id, WorkspaceRole.RESEARCHER)
    assert house.people.members_for_system(workspace) == []
    assert house.epoch() == before + 1
    assert house.heard.count(RolesChanged(workspace, rosa.id)) == 2
    assert house.actions()[-2:] == ["member.added", "member.removed"]


def test_nobody_gets_a_role_in_a_workspace_that_is_not_there(database, clock, tmp_path):
    people = make_people(database, clock, tmp_path, Events(), is_workspace=lambda *_: False)
    rosa = people.create_account(ROOT, username="rosa", display_name="Rosa", password=PASSWORD)
    workspace = new_id()
    with pytest.raises(NotFound, match="no such workspace"):
        people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.OWNER)
    assert people.members_for_system(workspace) == []
    with database.read() as connection:
        assert "member.added" not in {event.action for event in list_events(connection, limit=9)}


def test_a_workspace_keeps_an_owner(house):
    rosa, ada = house.actor("rosa"), house.actor("ada")
    workspace = new_id()
    house.people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.OWNER)
    with pytest.raises(Conflict):
        house.people.remove_role(ada, workspace, rosa.id, WorkspaceRole.OWNER)
    house.people.assign_role(ada, workspace, ada.id, WorkspaceRole.OWNER)
    house.people.remove_role(ada, workspace, rosa.id, WorkspaceRole.OWNER)


def test_members_are_not_for_strangers_to_see(house):
    rosa = house.actor("rosa")
    workspace = new_id()
    house.people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.RESEARCHER)
    with pytest.raises(NotFound):
        house.people.list_members(make_actor(TreRole.USER), workspace)
    assert len(house.people.list_members(house.actor("ada"), workspace)) == 1
    assert len(house.people.list_members(house.actor("rosa"), workspace)) == 1


def test_a_disabled_account_gets_no_role_and_is_no_member(house):
    rosa = house.actor("rosa")
    workspace = new_id()
    house.people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.RESEARCHER)
    house.people.set_active(ROOT, rosa.id, active=False)
    assert house.people.members_for_system(workspace) == []
    with pytest.raises(Conflict):
        house.people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.OWNER)


def test_a_deleted_workspace_leaves_no_roles(house):
    rosa = house.actor("rosa")
    workspace = new_id()
    house.people.assign_role(ROOT, workspace, rosa.id, WorkspaceRole.OWNER)
    with house.database.write() as connection:
        house.people.drop_workspace(connection, workspace)
    assert house.people.members_for_system(workspace) == []
