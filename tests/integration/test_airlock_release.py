"""Who can take a release out, how often, and until when?"""

from dataclasses import replace

import pytest

from carrel.airlock.rules.requests import TicketState
from carrel.core.actors import WorkspaceRole
from carrel.core.errors import Conflict, Denied, NotFound
from carrel.core.ids import new_id
from tests.airlock import SAFE_TABLE, Bench


@pytest.fixture
def bench(database):
    return Bench(database)


@pytest.fixture
def approved(bench):
    return bench.approved("export", table__csv=SAFE_TABLE)


def states(bench, request, actor=None):
    return [each.state for each in bench.airlock.tickets(actor or bench.owner, request.id)]


def test_tickets_are_counted_with_what_became_of_them(bench, approved):
    used = bench.airlock.release_ticket(bench.author, approved.id)
    bench.downloaded(bench.author, used.token)
    bench.clock.advance(1)
    bench.airlock.release_ticket(bench.author, approved.id)
    bench.clock.advance(bench.settings.release_ticket_minutes * 60)
    bench.airlock.release_ticket(bench.owner, approved.id)
    assert states(bench, approved) == [TicketState.OPEN, TicketState.EXPIRED, TicketState.USED]
    held = bench.airlock.tickets(bench.reviewer, approved.id)
    assert [each.holder_id for each in held] == [bench.owner.id, bench.author.id, bench.author.id]
    assert held[0].holder_name == bench.owner.name


def test_a_person_sees_their_own_tickets_and_a_keeper_all(bench, approved):
    for who in (bench.author, bench.owner):
        bench.airlock.release_ticket(who, approved.id)
    assert len(states(bench, approved, bench.author)) == 1
    assert len(states(bench, approved, bench.reviewer)) == 2
    assert states(bench, approved, bench.colleague) == []
    with pytest.raises(NotFound):
        states(bench, approved, bench.stranger)


@pytest.mark.parametrize("who", ["author", "owner", "reviewer"])
def test_a_revoked_ticket_lets_nothing_out_and_a_new_one_does(bench, approved, who):
    ticket = bench.airlock.release_ticket(bench.author, approved.id)
    (held,) = bench.airlock.tickets(bench.author, approved.id)
    for _ in range(2):
        bench.airlock.revoke_ticket(getattr(bench, who), approved.id, held.id)
    assert states(bench, approved) == [TicketState.REVOKED]
    assert bench.events(approved).count("airlock.ticket_revoked") == 1
    with pytest.raises(Denied, match="This ticket was revoked"):
        bench.airlock.open_release(bench.author, ticket.token)
    again = bench.airlock.release_ticket(bench.author, approved.id)
    assert bench.downloaded(bench.author, again.token) == SAFE_TABLE


def test_nobody_else_revokes_a_ticket(bench, approved):
    bench.airlock.release_ticket(bench.owner, approved.id)
    (held,) = bench.airlock.tickets(bench.owner, approved.id)
    for who in (bench.author, bench.colleague, bench.stranger):
        with pytest.raises(NotFound):
            bench.airlock.revoke_ticket(who, approved.id, held.id)
    other = bench.approved("export", other__csv=SAFE_TABLE)
    for request_id, ticket_id in ((other.id, held.id), (approved.id, new_id())):
        with pytest.raises(NotFound):
            bench.airlock.revoke_ticket(bench.owner, request_id, ticket_id)
    assert states(bench, approved) == [TicketState.OPEN]


def test_a_used_ticket_cannot_be_taken_back(bench, approved):
    ticket = bench.airlock.release_ticket(bench.author, approved.id)
    bench.downloaded(bench.author, ticket.token)
    (held,) = bench.airlock.tickets(bench.author, approved.id)
    with pytest.raises(Conflict, match="have left"):
        bench.airlock.revoke_ticket(bench.reviewer, approved.id, held.id)


def test_revoking_the_release_ends_every_ticket(bench, approved):
    token = bench.airlock.release_ticket(bench.author, approved.id).token
    bench.airlock.revoke(bench.reviewer, approved.id, "Sent to the wrong person.")
    assert states(bench, approved) == [TicketState.REVOKED]
    with pytest.raises(Denied, match="release was revoked"):
        bench.airlock.open_release(bench.author, token)


def test_a_ticket_is_bound_to_a_person_who_still_has_a_place(bench, approved):
    token = bench.airlock.release_ticket(bench.author, approved.id).token
    reviewing_author = replace(bench.author, workspace_roles={
        bench.workspace: frozenset({WorkspaceRole.AIRLOCK_MANAGER})})  # fmt: skip
    with pytest.raises(Denied):
        bench.airlock.open_release(reviewing_author, token)
    for who in (bench.owner, bench.reviewer, bench.stranger):
        with pytest.raises(NotFound):
            bench.airlock.open_release(who, token)
    assert bench.downloaded(bench.author, token) == SAFE_TABLE
