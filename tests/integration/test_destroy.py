"""Does a TRE go away whole, and only when that is meant?"""

from pathlib import Path

import pytest

from carrel.cli.demo.tre import ThrowAwayTre
from carrel.core.errors import OutsideFailure
from tests.machine import make_workspace

pytestmark = [pytest.mark.root, pytest.mark.machine]
STATE = Path("/var/lib/carrel-runtime")


def test_destroying_leaves_nothing_and_asks_first(tmp_path: Path):
    before = set(STATE.iterdir()) if STATE.exists() else set()
    tre = ThrowAwayTre()
    try:
        tre.start()
        make_workspace(tre.administrator(), "Soon gone")
        assert set(STATE.iterdir()) - before
        with pytest.raises(OutsideFailure, match="--yes"):
            tre.carrel("destroy")
        assert tre.home.exists()
    finally:
        tre.stop()
    assert not tre.home.exists()
    assert set(STATE.iterdir()) <= before


def test_a_folder_that_is_no_home_is_left_alone(tmp_path: Path):
    tre = ThrowAwayTre()
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutsideFailure, match="not the home"):
        tre.carrel("--home", str(tmp_path), "destroy", "--yes")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    tre.stop()
