"""Does every operation converge after its worker was killed, wherever it was?

Every round asks for an operation, lets a worker process kill itself with SIGKILL at the n-th
boundary (between two steps, between act and record, and in the middle of what a step does to
the host), and then lets a second worker go on. The rounds end when n is beyond the last one.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import func, select

from carrel.core.actors import WorkspaceRole
from carrel.core.clock import SystemClock
from carrel.core.database import Database
from carrel.core.queue import work_items
from carrel.runtime import environments
from carrel.runtime.local import LocalRuntime
from carrel.workspaces.bundles import shipped_folder
from carrel.workspaces.rules import Operation, Power, Resource
from carrel.workspaces.tables import host_ids
from tests.factories import make_database
from tests.file_runtime import FileRuntime
from tests.forks import FORK
from tests.launchers import launched, require_root
from tests.pipelines import (
    MAIN,
    K,
    firewall_step,
    open_service,
    prepare,
    register,
    rule_names,
)
from tests.workspaces import House

ENVIRONMENTS = environments.default_folder()
LEASE_SECONDS = 0.2
"""Of the victim: so soon the second worker may take its work over."""


class Death:
    """Kills this very process at the n-th boundary."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, *_: str) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def victim_house(url: str, home: Path, pulse: Callable[..., None]) -> House:
    socket = home / "launcher"  # where a real launcher listens, for the tests that have one
    runtime = (
        LocalRuntime(socket.read_text(), ENVIRONMENTS)
        if socket.exists()
        else FileRuntime(home / "host", pulse)
    )
    house = House(Database(url), SystemClock(), home, runtime, lease_seconds=LEASE_SECONDS)
    house.worker._engine.on_boundary = pulse
    return house


def victim(url: str, home: Path, number: int) -> None:
    """Work until idle, or until killed at boundary `number`."""
    victim_house(url, home, Death(number)).work()
    os._exit(0)


def was_killed(url: str, home: Path, number: int) -> bool:
    process = FORK.Process(target=victim, args=(url, home, number))
    process.start()
    process.join(60)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode == -signal.SIGKILL


def converge(house: House, operation: Operation, seconds: float = 20) -> Operation:
    """Let the second worker go on until the operation has ended."""
    deadline = time.monotonic() + seconds
    while True:
        house.work()
        seen = house.workspaces.get_operation(house.admin, operation.id)
        if seen.is_final:
            return seen
        assert time.monotonic() < deadline, f"still {seen.status}: {seen.message}"
        time.sleep(LEASE_SECONDS / 4)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, SystemClock(), tmp_path, FileRuntime(tmp_path / "host"))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    return tmp_path / "host"


def rounds(house: House, tmp_path: Path, ask: Callable[[], Operation], word: str):
    """Yield the ended operation of each round, killed one boundary later every time."""
    for number in count():
        operation = ask()
        killed = was_killed(house.database.url, tmp_path, number)
        ended = converge(house, operation)
        assert ended.status == word, f"killed at boundary {number}: {ended.message}"
        yield ended
        if not killed:
            assert number > 3, "The victim was hardly ever killed."
            return


def clear(house: House, resource: Resource) -> None:
    house.workspaces.update(house.admin, resource.id, etag="*", is_enabled=False)
    house.work()
    converge(house, house.workspaces.delete(house.admin, resource.id))


def assert_nothing_left(house: House, host: Path) -> None:
    assert list(host.glob("*-*")) == []
    assert house.workspaces.list_workspaces(house.admin) == []
    with house.database.read() as connection:
        for table in (host_ids, work_items):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0


def test_creation_and_deletion_of_a_workspace(house, tmp_path, host):
    def create() -> Operation:
        made = house.workspaces.create_workspace(
            house.admin, "restricted", {"display_name": "Study"}
        )
        return made[1]

    for ended in rounds(house, tmp_path, create, "deployed"):
        workspace = house.workspaces.get_resource(house.admin, ended.resource_id)
        assert (host / workspace.id / "plan").exists()
        assert house.workspaces.workspace_gid(workspace.id)
        clear(house, workspace)
        assert_nothing_left(house, host)


def test_a_creation_that_fails_is_undone(house, tmp_path, host):
    (host / "broken").touch()
    for ended in rounds(
        house,
        tmp_path,
        lambda: house.workspaces.create_workspace(
            house.admin, "restricted", {"display_name": "Study"}
        )[1],
        "deployment_failed",
    ):
        assert list(host.glob("*-*")) == []
        clear(house, house.workspaces.get_resource(house.admin, ended.resource_id))
        assert_nothing_left(house, host)


@pytest.fixture
def workspace(house: House) -> Resource:
    return house.make_workspace()


def test_creation_of_a_user_resource(house, tmp_path, host, workspace):
    service = house.make_service(workspace)
    owner = house.person(workspace, WorkspaceRole.RESEARCHER)
    people = tmp_path / "members"  # the victim has to know them too
    people.write_text(f"{workspace.id} {owner.id}")

    def create() -> Operation:
        return house.workspaces.create_user_resource(
            owner, workspace.id, service.id, "jupyterlab", {"display_name": "Lab"}
        )[1]

    for ended in rounds(house, tmp_path, create, "deployed"):
        lab = house.workspaces.get_resource(owner, ended.resource_id)
        assert lab.power is Power.RUNNING
        assert lab.properties["connection_uri"]
        assert house.runtime.running() == {workspace.id: [lab.id]}
        clear(house, lab)
        assert house.runtime.running() == {workspace.id: []}


def test_deletion_of_a_workspace_with_all_in_it(house, tmp_path, host):
    def fill_and_delete() -> Operation:
        workspace = house.make_workspace()
        service = house.make_service(workspace)
        owner = house.person(workspace, WorkspaceRole.RESEARCHER)
        house.make_lab(service, owner)
        house.workspaces.update(house.admin, workspace.id, etag="*", is_enabled=False)
        return house.workspaces.delete(house.admin, workspace.id)  # waits for the disabling

    for _ in rounds(house, tmp_path, fill_and_delete, "deleted"):
        assert_nothing_left(house, host)


def test_a_pipeline_changes_the_shared_service_exactly_once(house, tmp_path):
    firewall = prepare(house)
    workspace = house.make_workspace()
    kept = open_service(house, workspace)
    house.work()

    def create() -> Operation:
        service = open_service(house, workspace)
        return house.workspaces.list_operations(house.admin, service.id)[0]

    for ended in rounds(house, tmp_path, create, "deployed"):
        service = house.workspaces.get_resource(house.admin, ended.resource_id)
        assert rule_names(house, firewall) == [f"arc-{kept.id}", f"arc-{service.id}"]
        clear(house, service)
        assert rule_names(house, firewall) == [f"arc-{kept.id}"]


def test_a_pipeline_that_fails_is_undone_exactly_once(house, tmp_path, host):
    firewall = prepare(house)
    step = firewall_step("poke", "append", {"name": "{{ resource.id }}"})
    register(house, K.WORKSPACE, "poking", {}, pipeline={"install": [step, MAIN]}, driver="local")
    (host / "broken").touch()

    def create() -> Operation:
        given = {"display_name": "Study", "workspace_owner_object_id": ""}
        return house.workspaces.create_workspace(house.admin, "poking", given)[1]

    for ended in rounds(house, tmp_path, create, "deployment_failed"):
        assert rule_names(house, firewall) == []
        assert "Left behind" not in ended.message
        clear(house, house.workspaces.get_resource(house.admin, ended.resource_id))


# On a real host, with the launcher ------------------------------------------------------------

ANSWER = """import http.server, os
port = int(os.environ["CARREL_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler
).serve_forever()"""


def register_quick_lab(house: House, folder: Path) -> None:
    """Let a JupyterLab be a small web server, which starts in no time."""
    shutil.copytree(shipped_folder() / "user_resources" / "jupyterlab", folder)
    toml = folder / "template.toml"
    text = toml.read_text().replace('version = "0.1.0"', 'version = "0.1.1"')
    command = json.dumps(["/usr/bin/python3", "-I", "-c", ANSWER])
    toml.write_text(text.replace('command = ["start-jupyterlab"]', f"command = {command}"))
    house.workspaces.register(house.admin, folder)


@pytest.mark.root
def test_on_a_real_host_nothing_is_left_either(tmp_path):
    require_root()
    database = make_database(tmp_path)
    with launched(environments=ENVIRONMENTS) as launcher:
        (tmp_path / "launcher").write_text(str(launcher.socket))
        house = House(database, SystemClock(), tmp_path, launcher.runtime())
        register_quick_lab(house, tmp_path / "jupyterlab")

        def create() -> Operation:
            return house.workspaces.create_workspace(
                house.admin, "restricted", {"display_name": "Study", "disk_gib": 1}
            )[1]

        for ended in rounds(house, tmp_path, create, "deployed"):
            clear(house, house.workspaces.get_resource(house.admin, ended.resource_id))
            assert house.runtime.leftovers() == []

        def fill_and_delete() -> Operation:
            workspace = house.make_workspace()
            lab = house.make_lab(
                house.make_service(workspace), house.person(workspace, WorkspaceRole.RESEARCHER)
            )
            assert house.runtime.running() == {workspace.id: [lab.id]}
            house.workspaces.update(house.admin, workspace.id, etag="*", is_enabled=False)
            return house.workspaces.delete(house.admin, workspace.id)

        for _ in rounds(house, tmp_path, fill_and_delete, "deleted"):
            assert house.runtime.leftovers() == []
    database.close()
