"""Do ranges of addresses never overlap, and are sizes what AzureTRE calls them?"""

import random
from ipaddress import IPv4Network

import pytest

from carrel.core.errors import Conflict, InvalidRequest
from carrel.workspaces.addresses import SIZES, custom_network, free_network, prefix_of, span

POOL, CORE = IPv4Network("10.0.0.0/8"), IPv4Network("10.0.0.0/16")


def test_the_first_range_lies_behind_the_core():
    assert str(free_network([span(CORE)], POOL, 24)) == "10.1.0.0/24"


def test_many_ranges_of_every_size_never_overlap():
    draw = random.Random(7)
    given = [CORE]
    for _ in range(300):
        if len(given) > 1 and draw.random() < 0.3:
            given.remove(draw.choice(given[1:]))
            continue
        new = free_network([span(each) for each in given], POOL, draw.choice([*SIZES.values()]))
        assert not any(new.overlaps(each) for each in given)
        assert new.subnet_of(POOL)
        given.append(new)


def test_what_was_given_back_is_given_again_first():
    taken = [CORE, IPv4Network("10.1.1.0/24")]
    assert str(free_network(map(span, taken), POOL, 24)) == "10.1.0.0/24"
    assert str(free_network(map(span, taken), POOL, 22)) == "10.1.4.0/22"


def test_a_full_pool_says_so():
    pool = IPv4Network("10.1.0.0/23")
    taken = [span(each) for each in pool.subnets(new_prefix=24)]
    with pytest.raises(Conflict, match="No free range of size /24"):
        free_network(taken, pool, 24)
    with pytest.raises(Conflict, match="No free range"):
        free_network([], pool, 16)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "Missing 'address_space'"),
        ("", "Missing 'address_space'"),
        (7, "Missing 'address_space'"),
        ("10.300.0.0/24", "no range"),
        ("10.9.0.1/24", "no range"),
        ("::1/64", "no range"),
        ("8.8.8.0/24", "private"),
        ("10.0.0.0/7", "private"),
        ("10.9.0.0/30", "between"),
        ("10.0.4.0/24", "conflicts with the current network"),
        ("10.0.0.0/8", "conflicts with the current network"),
    ],
)
def test_a_custom_range_that_cannot_be_is_refused(text, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        custom_network(text, [span(CORE)])
    assert refused.value.field == "properties.address_space"


def test_sizes_are_words():
    assert [prefix_of(each) for each in ("small", "medium", "large")] == [24, 22, 16]
    with pytest.raises(InvalidRequest, match="small, medium, large, custom"):
        prefix_of("huge")
