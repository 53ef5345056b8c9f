"""Are the libraries content with their default authority, if its name leads to Carrel?"""

import os
import subprocess
import sys

import pytest


@pytest.mark.root
def test_login_microsoftonline_com_may_be_carrel():
    """In a throw-away namespace; the libraries and their options are as they come."""
    ran = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-m", "tests.compat.as_entra"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    )
    assert "taken for Entra" in ran.stdout, ran.stderr[-3000:]
