"""Do states, times and texts reach people in words?"""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from carrel.airlock.rules import Status
from carrel.core.actors import TreRole
from carrel.portal import looks
from carrel.portal.navigation import PLACES, menu
from carrel.workspaces.pages.views import UNDER_WAY
from carrel.workspaces.rules import FAILURE_WORDS, SUCCESS_WORDS, Power, Progress, status_word
from tests.factories import make_actor

ACTIONS = ("install", "upgrade", "uninstall", "start")


@pytest.mark.parametrize("status", sorted({*Status, *SUCCESS_WORDS, *FAILURE_WORDS, *UNDER_WAY}))
def test_every_status_has_words_and_a_colour_of_its_own(status):
    assert status in looks.LOOKS


@pytest.mark.parametrize("power", [power for power in Power if power is not Power.NONE])
def test_every_power_state_has_words(power):
    assert power in looks.LOOKS


def test_under_way_are_exactly_the_words_of_operations_that_have_not_ended():
    assert {
        status_word(action, progress)
        for action in ACTIONS
        for progress in (Progress.WAITING, Progress.RUNNING, Progress.UNDOING)
    } == UNDER_WAY


def test_an_unknown_status_is_shown_as_it_is():
    assert looks.status_look("half_baked") == looks.Look("Half baked", "white")


def test_times_are_shown_in_utc():
    moment = datetime(2026, 11, 3, 1, 5, 9, tzinfo=timezone(timedelta(hours=2)))
    assert looks.when(moment) == "2 Nov 2026, 23:05"
    assert looks.iso(moment.isoformat()) == "2026-11-02T23:05:09+00:00"
    assert looks.clock_time(moment.astimezone(UTC)) == "23:05:09"


@pytest.mark.parametrize(
    ("bytes_", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")],
)
def test_sizes_use_the_unit_that_reads_best(bytes_, shown):
    assert looks.size(bytes_) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (61, "1 min 1 s"), (7384, "2 h 3 min")]
)
def test_durations_use_the_unit_that_reads_best(seconds, shown):
    assert looks.duration(seconds) == shown


def test_counts_agree_with_their_noun():
    assert [
        looks.plural(1, "file"),
        looks.plural(2, "file"),
        looks.plural(1200, "person", "people"),
    ] == [
        "1 file",
        "2 files",
        "1,200 people",
    ]


def test_markdown_is_harmless_and_has_no_title_of_its_own():
    html = looks.markdown(
        "# Title\n\n## Part\n\n<script>alert(1)</script> "
        "[x](javascript:alert(1)) <b onclick=x>b</b>"
    )
    assert "Title" not in html
    assert "<h3>Part</h3>" in html
    assert "<script" not in html
    assert "<b " not in html
    assert 'href="javascript' not in html


def test_the_menu_hides_what_only_administrators_may_see():
    admins = {place.title for place in PLACES if place.admins_only}
    assert admins & {item.title for item in menu(make_actor(TreRole.USER), "/")} == set()
    assert admins <= {item.title for item in menu(make_actor(TreRole.ADMIN), "/")}


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "Workspaces"),
        ("/workspaces/x/members", "Workspaces"),
        ("/resources/x", "Workspaces"),
        ("/audit", "Audit"),
        ("/auditors", None),
    ],
)
def test_the_menu_marks_where_one_is(path, title):
    marked = [item.title for item in menu(make_actor(TreRole.ADMIN), path) if item.current]
    assert marked == ([title] if title else [])
