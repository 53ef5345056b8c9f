"""Does pip get a real package through the gateway from this machine's real package index?"""

import hashlib
import subprocess
import sys

import pytest

from carrel.packages.records import list_downloads
from carrel.workspaces.clients import client_environment
from tests.packages_world import Space, gateway, make_world


@pytest.fixture
def world(tmp_path):
    with make_world(tmp_path) as made:
        yield made


def test_a_real_package_comes_through(world, tmp_path):
    with gateway(world, package_index_url=""):
        world.open_workspace(Space("w1"))
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-cache-dir", "-d", str(tmp_path), "six"],
            env={"PATH": "/usr/bin:/bin", **client_environment(world.port())},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("six-*.whl")
    with world.database.read() as connection:
        [download] = list_downloads(connection, "w1")
    assert download.filename == wheel.name
    assert download.digest == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert world.index.received == []  # the tests' own index was not asked
