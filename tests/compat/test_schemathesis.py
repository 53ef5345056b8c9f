"""Does a running server keep its OpenAPI document, whatever is sent to it?

schemathesis makes requests that fit the document and requests that do not, to every operation:
as an administrator, as a researcher, and as nobody. `scripts/nightly` asks for more examples.
"""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from carrel.app import make_web, make_worker
from carrel.core.actors import TreRole, WorkspaceRole
from carrel.core.database import Database
from carrel.core.settings import child_environment
from tests.api import World, make_world

EXAMPLES = int(os.environ.get("CARREL_FUZZ_EXAMPLES", "50"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
LEFT_OUT = ("sign_out", "change_own_password", "follow_my_operations")
"""For people who are signed in: after the first two all is 401, the last one has no end."""


@dataclass(frozen=True)
class Running:
    """A server over a TRE in which every kind of id names something."""

    base: str
    headers: dict[str, dict[str, str]]
    ids: dict[str, str]


def fill(world: World) -> Running:
    admin = world.as_person("ada", TreRole.ADMIN)
    workspace = world.make(admin, "/api/workspaces", "restricted")
    tom = world.join("tom", workspace, WorkspaceRole.RESEARCHER)
    owner = world.join("olga", workspace, WorkspaceRole.OWNER)
    services = f"/api/workspaces/{workspace}/workspace-services"
    service = world.make(owner, services, "notebooks")
    lab = world.make(tom, f"{services}/{service}/user-resources", "jupyterlab")
    operations = world.client.get(f"/api/workspaces/{workspace}/operations", headers=admin)
    new = {"type": "import", "title": "Codes", "businessJustification": "Needed."}
    requests = f"/api/workspaces/{workspace}/requests"
    request = world.client.post(requests, json=new, headers=tom).json()["airlockRequest"]["id"]
    ids = {
        "workspace_id": workspace,
        "service_id": service,
        "resource_id": lab,
        "operation_id": operations.json()["operations"][0]["id"],
        "request_id": request,
    }
    return Running("", {"admin": admin, "researcher": tom, "nobody": {}}, ids)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    world = make_world(Database(f"sqlite:///{tmp_path / 'test.db'}"), tmp_path, **UNLIMITED)
    filled = fill(world)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_web(world.carrel), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    ended = threading.Event()
    threads = [
        threading.Thread(target=server.run, kwargs={"sockets": [listener]}),
        threading.Thread(target=make_worker(world.carrel).run, args=(ended,)),
    ]
    for thread in threads:
        thread.start()
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    wait_for(base)
    yield Running(base, filled.headers, filled.ids)
    server.should_exit = True
    ended.set()
    for thread in threads:
        thread.join(timeout=20)
    listener.close()
    world.close()


UNLIMITED = {"requests_per_minute": 0}


def wait_for(base: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"{base}/api/ping")
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
        else:
            return


@pytest.mark.timeout(14400 if EXAMPLES > 50 else 300)
@pytest.mark.parametrize("who", ["admin", "researcher", "nobody"])
def test_the_server_keeps_its_document(running: Running, who: str, tmp_path: Path):
    config = tmp_path / "schemathesis.toml"
    named = [f'"path.{name}" = "{value}"' for name, value in running.ids.items()]
    config.write_text("\n".join(["[parameters]", *(named if who != "nobody" else [])]) + "\n")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{running.base}/api/openapi.json", "--no-color"),
        *("--max-examples", str(EXAMPLES), "--phases", "fuzzing", "--workers", "2"),
        *("--checks", ",".join(CHECKS), "--suppress-health-check", "all", "--continue-on-failure"),
        *("--request-timeout", "20", "--generation-database", "none", "--warnings", "off"),
    ]
    for name, value in running.headers[who].items():
        command += ["--header", f"{name}: {value}"]
    for name in LEFT_OUT if who != "nobody" else ():
        command += ["--exclude-operation-id", name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=child_environment()
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    (made,) = re.findall(r"(\d+) generated", done.stdout)
    assert int(made) > 10 * EXAMPLES, done.stdout
    assert httpx.get(f"{running.base}/api/ping").status_code == 200
