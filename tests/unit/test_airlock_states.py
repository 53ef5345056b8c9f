"""Is the table of moves complete, and is nothing outside it possible?"""

from itertools import product

import pytest

from carrel.airlock.rules import (
    DEADLINES,
    EDITABLE,
    FINAL,
    MOVES,
    OWNERS,
    UNDER_REVIEW,
    Action,
    Status,
    Who,
    allowed_user_actions,
    check_move,
)
from carrel.core.errors import Denied, IllegalTransition

AZURETRE = {
    "draft",
    "submitted",
    "in_review",
    "approval_in_progress",
    "approved",
    "rejection_in_progress",
    "rejected",
    "cancelled",
    "blocking_in_progress",
    "blocked_by_scan",
    "failed",
    "revoked",
}


OURS = {"returned", "partially_reviewed", "reviewed"}


def test_the_words_are_azuretres_and_three_of_ours():
    assert {status.value for status in Status} == AZURETRE | OURS


def test_azuretres_clients_see_one_word_for_every_part_of_a_review():
    told = {status: status.azuretre for status in Status}
    assert {status for status in Status if told[status] is Status.IN_REVIEW} == UNDER_REVIEW
    assert all(told[status] is status for status in set(Status) - UNDER_REVIEW)
    assert {status.value for status in told.values()} == AZURETRE | {"returned"}


def test_a_review_has_only_begun_where_no_decision_can_be_made():
    """From `partially reviewed` a request comes back or goes on; it is not decided."""
    ways = {new for old, new in MOVES if old is Status.PARTIALLY_REVIEWED}
    assert ways == {Status.REVIEWED, Status.RETURNED, Status.CANCELLED, Status.FAILED}


def test_reviewers_own_every_part_of_a_review():
    assert {status for status, who in OWNERS.items() if who is Who.REVIEWER} == UNDER_REVIEW


def test_final_means_no_way_out():
    assert set(Status) - {old for old, _ in MOVES} == FINAL


def test_every_state_can_be_reached_from_draft():
    reached, fresh = {Status.DRAFT}, {Status.DRAFT}
    while fresh:
        fresh = {new for old, new in MOVES if old in fresh} - reached
        reached |= fresh
    assert reached == set(Status)


@pytest.mark.parametrize(("old", "new", "who"), list(product(Status, Status, [*Who, None])))
def test_nothing_outside_the_table_is_allowed(old, new, who):
    if MOVES.get((old, new)) is who and who is not None:
        check_move(old, new, who)
    else:
        with pytest.raises((IllegalTransition, Denied)):
            check_move(old, new, who)


def test_who_owns_a_state_can_move_it():
    for status, owner in OWNERS.items():
        movers = {who for (old, _), who in MOVES.items() if old is status}
        assert owner is None or owner in movers
        assert owner is not None or status in FINAL | {Status.APPROVED}


def test_every_state_that_carrel_owns_has_a_deadline_with_a_move():
    assert set(DEADLINES) == {status for status, who in OWNERS.items() if who is Who.SYSTEM}
    for status, deadline in DEADLINES.items():
        assert MOVES[status, deadline.then] is Who.SYSTEM


def test_only_the_author_owns_what_can_be_edited():
    assert {status for status, who in OWNERS.items() if who is Who.AUTHOR} == EDITABLE


def test_nothing_is_approved_without_a_reviewer():
    """Every way into `approved` passes through a move that only a reviewer can make."""
    assert {old for old, new in MOVES if new is Status.APPROVED} == {Status.APPROVING}
    into = {(old, new): who for (old, new), who in MOVES.items() if new is Status.APPROVING}
    assert into == {
        (Status.IN_REVIEW, Status.APPROVING): Who.REVIEWER,
        (Status.REVIEWED, Status.APPROVING): Who.REVIEWER,
    }


@pytest.mark.parametrize(
    ("status", "who", "actions"),
    [
        (Status.DRAFT, Who.AUTHOR, (Action.SUBMIT, Action.CANCEL)),
        (Status.RETURNED, Who.AUTHOR, (Action.SUBMIT, Action.CANCEL)),
        (Status.IN_REVIEW, Who.AUTHOR, (Action.CANCEL,)),
        (Status.IN_REVIEW, Who.REVIEWER, (Action.REVIEW, Action.RETURN)),
        (Status.IN_REVIEW, None, ()),
        (Status.PARTIALLY_REVIEWED, Who.REVIEWER, (Action.REVIEW, Action.RETURN)),
        (Status.PARTIALLY_REVIEWED, Who.AUTHOR, (Action.CANCEL,)),
        (Status.REVIEWED, Who.REVIEWER, (Action.REVIEW, Action.RETURN)),
        (Status.REVIEWED, Who.AUTHOR, (Action.CANCEL,)),
        (Status.APPROVED, Who.REVIEWER, (Action.REVOKE,)),
        (Status.APPROVED, Who.AUTHOR, ()),
        (Status.SUBMITTED, Who.SYSTEM, ()),
    ],
)
def test_the_buttons_are_read_from_the_table(status, who, actions):
    assert allowed_user_actions(status, who) == actions
