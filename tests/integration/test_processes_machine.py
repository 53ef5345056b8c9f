"""Does a whole TRE start, heal, stop and come back by its commands?"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carrel.cli.demo.tre import ThrowAwayTre
from carrel.core.errors import OutsideFailure
from carrel.core.processes import identity, roles

pytestmark = [pytest.mark.root, pytest.mark.machine]


@pytest.fixture(scope="module")
def own() -> Iterator[ThrowAwayTre]:
    """A TRE of this module alone: its tests stop and start it."""
    made = ThrowAwayTre()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def person(own: ThrowAwayTre, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run a command as the administrator, signed in from a home folder of their own."""
    home = tmp_path_factory.mktemp("person")
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "CARREL_HOME": str(own.home)}

    def run(*arguments: str, given: str = "", status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "carrel.cli.main", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=120,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    run("login", "admin", "--password-stdin", given=own._password)
    return run


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.1)


def find(own: ThrowAwayTre, name: str) -> identity.Identity:
    found = identity.find(roles.folder(own.home) / f"{name}.json")
    assert found is not None, name
    return found


def status(own: ThrowAwayTre) -> dict:
    return own.carrel_json("status", "--json", failing_is_an_answer=True)


def host_traces(own: ThrowAwayTre) -> list[str]:
    """Mounts, cgroups and processes of this TRE on the host."""
    mark = (own.home / "runtime.id").read_text().strip()
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if mark in line]
    groups = [str(path) for path in Path("/sys/fs/cgroup").rglob(f"carrel-{mark}*")]
    commands = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(own.home) in command and int(folder.name) != os.getpid():
            commands.append(command)
    return mounts + groups + commands


def test_the_story_by_commands(person: Callable[..., str]):
    made = json.loads(person("workspace", "create", "By commands", "--json"))["operation"]
    assert made["status"] == "deployed"
    assert "By commands" in person("workspace", "list")
    assert json.loads(person("operation", "show", made["id"], "--json"))["operation"]["steps"]
    person("workspace", "assign", "by COMMANDS", "admin", "owner")
    person("service", "create", "By commands", "Notebooks")
    person("resource", "create", "By commands", "Notebooks", "Lab")
    assert "VM running" in person("resource", "list", "By commands")
    opened = json.loads(person("resource", "open", "By commands", "Lab", "--json"))
    assert opened["url"].startswith("https://")
    assert "Processor seconds" in person("resource", "usage", "By commands", "Lab")
    assert "jupyter" in person("resource", "output", "By commands", "Lab").lower()
    person("resource", "stop", "By commands", "Lab")
    assert "VM stopped" in person("resource", "list", "By commands")
    person("workspace", "delete", "By commands", "--yes", status=2)
    person("workspace", "disable", "By commands")
    assert "admin" in person("workspace", "history", "By commands")
    person("workspace", "delete", "By commands", "--yes")
    assert "By commands" not in person("workspace", "list")
    assert "Intact" in person("audit", "verify")


def test_an_export_of_the_record_is_verified_anywhere(person: Callable[..., str], tmp_path: Path):
    export = tmp_path / "audit.jsonl"
    person("audit", "export", str(export))
    assert json.loads(person("audit", "verify", "--export", str(export), "--json"))["intact"]
    lines = export.read_text().splitlines()
    export.write_text("\n".join(lines).replace("admin", "nobody", 1))
    assert "BROKEN" in person("audit", "verify", "--export", str(export), status=1)


def test_files_come_in_by_commands(person: Callable[..., str], tmp_path: Path):
    file = tmp_path / "patients.csv"
    file.write_text("patient,age\nP1,50\n")
    file.with_name("other.csv").write_text("a\n1\n")
    person("workspace", "create", "Files")
    person("workspace", "assign", "Files", "admin", "researcher")
    request = person("airlock", "new", "Files", "import", "Patients").strip()
    person("airlock", "upload", "Files", request, str(file), str(file.with_name("other.csv")))
    person("airlock", "remove", "Files", request, "other.csv")
    person("airlock", "describe", "Files", request, "patients.csv", "-c", "age=mean")
    person("airlock", "amend", "Files", request, "--justification", "The study needs them")
    person("airlock", "submit", "Files", request)
    shown = json.loads(person("airlock", "show", "Files", request, "--json"))["airlockRequest"]
    assert [each["name"] for each in shown["files"]] == ["patients.csv"]
    sealed = hashlib.sha256(person("airlock", "manifest", "Files", request).encode()).hexdigest()
    assert sealed == shown["manifestSha256"]
    person(
        "airlock",
        "review",
        "Files",
        request,
        "--approve",
        "-m",
        "Mine",
        "--manifest",
        sealed,
        status=4,
    )


def test_starting_what_runs_changes_nothing(own: ThrowAwayTre):
    before = {role["name"]: role["pid"] for role in status(own)["roles"]}
    assert own.carrel_json("up", "--json")["started"] is False
    assert {role["name"]: role["pid"] for role in status(own)["roles"]} == before


def test_every_process_that_is_killed_comes_back(own: ThrowAwayTre):
    before = {name: find(own, name) for name in roles.ROLES}
    for one in before.values():
        identity.send(one, signal.SIGKILL)
    until(lambda: status(own)["is_up"])
    assert all(find(own, name) != one for name, one in before.items())


def test_a_killed_supervisor_is_replaced_and_the_rest_runs_on(own: ThrowAwayTre):
    before = find(own, "serve")
    identity.send(find(own, "supervisor"), signal.SIGKILL)
    until(lambda: not status(own)["is_up"])
    assert own.carrel_json("up", "--json")["started"] is True
    assert find(own, "serve") == before


def test_down_leaves_nothing_on_the_host_and_up_brings_all_back(
    own: ThrowAwayTre, person: Callable[..., str]
):
    person("workspace", "create", "Resting")
    own.carrel("down")
    assert host_traces(own) == []
    assert status(own)["is_up"] is False
    assert own.carrel_json("down", "--json")["stopped"] is False
    own.carrel("up")
    person("login", "admin", "--password-stdin", given=own._password)
    person("workspace", "assign", "Resting", "admin", "owner")
    person("service", "create", "Resting", "Notebooks")
    person("resource", "create", "Resting", "Notebooks", "Lab")
    assert "VM running" in person("resource", "list", "Resting")


def test_a_taken_port_is_named_with_who_has_it():
    other = ThrowAwayTre()
    taken = socket.create_server(("127.0.0.1", other.settings.portal_port))
    with taken, pytest.raises(OutsideFailure) as refused:
        other.start()
    message = str(refused.value)
    assert f"Port {other.settings.portal_port}" in message
    assert f"process {os.getpid()}" in message
    assert "carrel up --port" in message
    other.stop()
    assert not other.home.exists()
