"""Does a bucket let through what it says, and does it forget whom it may forget?"""

import pytest

from carrel.api.limits import Limits
from carrel.core.actors import Actor, system
from carrel.core.errors import TooManyRequests


class Tick:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def passed(limits: Limits, name: str, times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            limits(Actor(id=name, name=name))
        except TooManyRequests:
            continue
        count += 1
    return count


def test_a_burst_passes_and_then_the_rate():
    tick = Tick()
    limits = Limits(per_minute=60, burst=10, seconds=tick)
    assert passed(limits, "rosa", 50) == 10
    tick.now = 3.0
    assert passed(limits, "rosa", 50) == 3
    tick.now = 3600.0
    assert passed(limits, "rosa", 50) == 10


def test_accounts_do_not_wait_for_each_other():
    limits = Limits(per_minute=60, burst=2, seconds=Tick())
    assert passed(limits, "rosa", 5) == 2
    assert passed(limits, "tom", 5) == 2


def test_the_seconds_to_wait_are_long_enough():
    tick = Tick()
    limits = Limits(per_minute=6, burst=1, seconds=tick)
    rosa = Actor(id="rosa", name="Rosa")
    limits(rosa)
    with pytest.raises(TooManyRequests) as refused:
        limits(rosa)
    tick.now = float(refused.value.retry_after_seconds)
    limits(rosa)


def test_zero_is_no_limit_and_parts_of_carrel_have_none():
    assert passed(Limits(per_minute=0, burst=1, seconds=Tick()), "rosa", 100) == 100
    limits = Limits(per_minute=60, burst=1, seconds=Tick())
    for _ in range(10):
        limits(system("worker"))
