"""Does `carrel login` sign a person in without seeing the password?"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.compat.issuer import BrowserPerson, Portal


def carrel(folder: Path, portal: Portal, *arguments: str) -> subprocess.Popen:
    """Start a command as a person with a home of their own."""
    command = [sys.executable, "-m", "carrel.cli.main", "--url", portal.url, "--ca", portal.ca]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(folder), "CARREL_HOME": str(folder / "none")},
    )


def test_login_shows_a_code_and_waits(portal: Portal, tmp_path: Path):
    person = BrowserPerson(portal, "ruth")
    login = carrel(tmp_path, portal, "login", "--json")
    line = login.stderr.readline()
    match = re.fullmatch(rf"Open {portal.url}/device in a browser and type the code (\S+)\n", line)
    assert match is not None, line
    person.allow_device(match[1])
    printed, complaint = login.communicate(timeout=30)
    assert login.returncode == 0, complaint
    assert json.loads(printed)["account"]["username"] == "ruth"
    me = carrel(tmp_path, portal, "whoami", "--json")
    assert json.loads(me.communicate(timeout=30)[0])["account"]["username"] == "ruth"
    person.close()


def test_a_refused_login_says_so(portal: Portal, tmp_path: Path):
    person = BrowserPerson(portal, "ruth")
    login = carrel(tmp_path, portal, "login")
    person.allow_device(login.stderr.readline().rsplit(" ", 1)[1].strip(), choice="deny")
    _, complaint = login.communicate(timeout=30)
    person.close()
    assert login.returncode == 3
    assert "You refused this program" in complaint
