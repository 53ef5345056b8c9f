"""Is queued work done once at a time, in order, and only by who holds it?"""

import pytest

from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.queue import LeaseLost, Queue


@pytest.fixture
def queue(database: Database, clock: ManualClock) -> Queue:
    return Queue(database, clock, lease_seconds=10)


def put(queue: Queue, database: Database, key: str) -> str:
    with database.write() as connection:
        return queue.put(connection, "test", key, {"n": 1})


def test_an_item_is_claimed_by_one_worker(queue, database):
    put(queue, database, "a")
    assert queue.claim("one") is not None
    assert queue.claim("two") is None


def test_one_item_at_a_time_runs_per_key_in_order(queue, database, clock):
    first = put(queue, database, "a")
    clock.advance(1)
    second = put(queue, database, "a")
    item = queue.claim("one")
    assert item is not None
    assert item.id == first
    assert queue.claim("two") is None
    with queue.fenced(item) as connection:
        queue.complete(connection, item)
    follower = queue.claim("two")
    assert follower is not None
    assert follower.id == second


def test_other_keys_are_not_held_up(queue, database, clock):
    put(queue, database, "a")
    clock.advance(1)
    put(queue, database, "b")
    assert {queue.claim("one").key, queue.claim("two").key} == {"a", "b"}


def test_an_expired_lease_is_taken_over_and_the_old_holder_is_fenced(queue, database, clock):
    put(queue, database, "a")
    old = queue.claim("one")
    clock.advance(11)
    new = queue.claim("two")
    assert new.id == old.id
    assert new.attempts == 2
    with pytest.raises(LeaseLost), queue.fenced(old):
        pytest.fail("The old holder must not get a transaction.")
    with queue.fenced(new) as connection:
        queue.complete(connection, new)


def test_a_renewed_lease_is_kept(queue, database, clock):
    put(queue, database, "a")
    item = queue.claim("one")
    clock.advance(8)
    queue.renew(item)
    clock.advance(8)
    assert queue.claim("two") is None


def test_a_postponed_item_waits(queue, database, clock):
    put(queue, database, "a")
    item = queue.claim("one")
    with queue.fenced(item) as connection:
        queue.postpone(connection, item, delay_seconds=30)
    assert queue.claim("one") is None
    clock.advance(31)
    assert queue.claim("one") is not None


def test_what_is_rolled_back_was_never_queued(queue, database):
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        queue.put(connection, "test", "a", {})
        raise ZeroDivisionError
    assert queue.claim("one") is None
