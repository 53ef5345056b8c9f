"""Has everything in a TRE's home the owner and mode that it should have?"""

import os
import stat
from pathlib import Path

from carrel.core.processes.account import Account, prepare_home


def test_what_is_confidential_is_open_to_its_owner_alone(tmp_path: Path):
    home = tmp_path / "home"
    account = Account(os.geteuid(), os.getegid(), frozenset(), drops=False)
    for _ in "12":  # may be called twice
        prepare_home(home, account)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in home.iterdir()}
    assert {name for name, mode in modes.items() if mode & 0o077 == 0} >= {
        "secrets",
        "datasets",
        "airlock",
    }
