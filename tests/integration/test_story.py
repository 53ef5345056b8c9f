"""Does the story go through on either database, and survive a database that goes away?"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carrel.cli.demo.story import STEPS, Scene, outcome
from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.ids import new_id
from tests.machine import make_workspace

pytestmark = [pytest.mark.root, pytest.mark.machine, pytest.mark.timeout(600)]


class Server:
    """A PostgreSQL server of the test's own, run by an ordinary user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self.port = 54000 + os.getpid() % 1000
        folder.mkdir(mode=0o700)
        os.chown(folder, 65534, 65534)
        self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-o", options, "-w", "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), "-D", str(self.folder), *arguments],
            check=True,
            user=65534,
            group=65534,
            extra_groups=[],
            cwd="/",
            stdout=subprocess.DEVNULL,
        )


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = Path("/tmp") / f"carrel-test-pg-{new_id()[:8]}"
    made = Server(base)
    made.start()
    yield made
    made.stop()
    subprocess.run(["rm", "-rf", str(base)], check=True)


def test_the_story_goes_through_on_postgresql(server: Server):
    scene = Scene(ThrowAwayTre(database_url=server.url))
    told = []
    try:
        for name, step in STEPS[:-1]:
            told.append(outcome(name, lambda step=step: step(scene)))
            assert told[-1]["ok"], told[-1]
    finally:
        scene.tre.stop()
    assert len(told) == len(STEPS) - 1


AWAY_SECONDS = 60


def test_nothing_is_lost_while_postgresql_is_away_for_a_minute(server: Server):
    tre = ThrowAwayTre(database_url=server.url)
    try:
        tre.start()
        admin = tre.administrator()
        before = make_workspace(admin, "Before")
        server.stop()
        refused_while_away(admin)
        server.start()
        created_after(admin, before)
        assert tre.carrel_json("audit", "verify", "--json")["intact"]
    finally:
        tre.stop()


def refused_while_away(admin: Person) -> None:
    until = time.monotonic() + AWAY_SECONDS
    while time.monotonic() < until:
        answer = admin.request("GET", "/api/workspaces")
        assert answer.status_code == 503
        assert "try again" in answer.json()["detail"].lower()
        time.sleep(5)


def created_after(admin: Person, before: str) -> None:
    shown = admin.get("/api/workspaces")["workspaces"]
    assert [workspace["id"] for workspace in shown] == [before]
    after = make_workspace(admin, "After")
    assert {row["id"] for row in admin.get("/api/workspaces")["workspaces"]} == {before, after}


def test_the_command_prints_every_step_as_json():
    tre = ThrowAwayTre()
    rows = tre.carrel_json("demo", "--json")["steps"]
    assert [row["name"] for row in rows] == [name for name, _ in STEPS]
    assert all(row["ok"] and row["seconds"] >= 0 and row["detail"] for row in rows)
    tre.stop()
