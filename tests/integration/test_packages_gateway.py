"""Does a workspace get its software, whole, verified and recorded?"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from sqlalchemy import select

from carrel.core.errors import Conflict, Unavailable
from carrel.packages.records import list_downloads, traffic
from carrel.packages.rules import Reason
from carrel.packages.tables import package_bytes, package_misses
from carrel.runtime.ports import WorkspacePlan
from carrel.workspaces.clients import client_environment
from carrel.workspaces.rules import PACKAGE_PORT
from tests.packages_world import (
    JSON,
    FakeFile,
    Space,
    gateway,
    make_world,
    metadata_of,
    wait_until,
    wheel,
)


@pytest.fixture
def world(tmp_path):
    with make_world(tmp_path) as made:
        yield made


def install_environment(port: int) -> dict[str, str]:
    """What a sandbox has, and nothing of this machine's pip."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        **client_environment(port),
    }


def run_pip(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--no-cache-dir"],
        env=install_environment(port),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_plain_pip_install_works_inside(world, tmp_path):
    demo = world.index.add(
        "demo-tool",
        FakeFile(*wheel("demo-tool"), metadata=metadata_of("demo-tool", "1.0").encode()),
    )
    with gateway(world):
        world.open_workspace(Space("w1"))
        target = tmp_path / "site"
        done = run_pip(world.port(), "install", "--target", str(target), "Demo_Tool")
        assert done.returncode == 0, done.stderr
        assert (target / "demo_tool.py").read_text() == "VERSION = '1.0'\n"
    [event] = world.events("package.downloaded")
    assert event.subject == "pypi/demo-tool/1.0"
    with world.database.read() as connection:
        [download] = list_downloads(connection, "w1")
    assert (download.filename, download.digest) == (demo.filename, demo.digest)


def test_pip_prints_the_reason_of_a_refusal(world, tmp_path):
    world.index.add("odd", FakeFile("odd-1.0.tar.gz", b"source"))
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("odd")
        digest = hashlib.sha256(b"source").hexdigest()
        url = f"http://127.0.0.1:{world.port()}/pypi/files/{digest}/odd-1.0.tar.gz"
        done = run_pip(world.port(), "download", "--no-deps", "-d", str(tmp_path / "d"), url)
    assert done.returncode != 0
    assert "only wheels may come in" in done.stderr


@pytest.mark.parametrize("speaks_json", [True, False])
@pytest.mark.parametrize("wants", [JSON, "text/html"])
def test_every_client_format_comes_from_every_upstream_format(world, speaks_json, wants):
    world.index.speaks_json = speaks_json
    file = world.index.add(
        "demo", FakeFile(*wheel("demo", "1.0+local.1"), metadata=b"Name: demo\n")
    )
    with gateway(world):
        world.open_workspace(Space("w1"))
        page = world.get("/pypi/simple/demo/", Accept=wants)
        assert page.status == 200
        assert page.headers["Content-Type"].startswith(wants)
        if wants == JSON:
            [entry] = orjson.loads(page.body)["files"]
            link, digest = entry["url"], entry["hashes"]["sha256"]
            assert entry["requires-python"] == ">=3.8"
            assert entry["core-metadata"] == {"sha256": hashlib.sha256(b"Name: demo\n").hexdigest()}
        else:
            link, _, digest = re.search(r'href="([^"]+)"', page.body.decode())[1].partition(
                "#sha256="
            )
            assert 'data-requires-python="&gt;=3.8"' in page.body.decode()
        path = urllib.parse.urljoin("/pypi/simple/demo/", link)
        assert world.get(path).body == file.content
        assert digest == file.digest
        assert world.get(f"{path}.metadata").body == b"Name: demo\n"


def test_a_file_without_published_hash_is_not_offered(world):
    world.index.speaks_json = False
    world.index.add("demo", FakeFile(*wheel("demo"), published_digest="none"))
    with gateway(world):
        world.open_workspace(Space("w1"))
        assert orjson.loads(world.publish("demo").body)["files"] == []


def test_the_second_reader_costs_upstream_nothing(world):
    file = world.index.add_wheel("demo", payload=os.urandom(200_000))
    with gateway(world):
        for space in (Space("w1"), Space("w2")):
            world.open_workspace(space)
            world.publish("demo", workspace=space.id)
            got = world.get(world.file_path(file), workspace=space.id)
            assert got.body == file.content
    assert world.index.paths == ["/simple/demo/", f"/packages/{file.filename}"]
    assert len(world.events("package.downloaded", "w1")) == 1
    assert len(world.events("package.downloaded", "w2")) == 1


def test_a_repeated_download_is_audited_once(world):
    file = world.index.add_wheel("demo")
    for _ in range(2):  # also in the life of another process
        with gateway(world):
            if not world.spaces.open:
                world.open_workspace(Space("w1"))
            world.publish("demo")
            for _ in range(3):
                assert world.get(world.file_path(file)).status == 200
    assert len(world.events("package.downloaded")) == 1


def test_what_is_held_is_served_after_a_restart_without_upstream(world):
    file = world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        world.get(world.file_path(file))
    before = len(world.index.received)
    with gateway(world):
        assert world.get(world.file_path(file)).body == file.content
        assert world.publish("demo").status == 200
    assert len(world.index.received) == before


def test_a_stale_page_is_asked_for_again_and_served_if_upstream_is_away(world):
    world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        world.clock.advance(3601)
        world.index.add("demo", FakeFile(*wheel("demo", "2.0")))
        assert b"demo-2.0" in world.publish("demo").body
        world.clock.advance(3601)
        world.index.status["/simple/demo/"] = 500
        assert b"demo-2.0" in world.publish("demo").body
        asked = world.index.paths.count("/simple/demo/")
        world.publish("demo")
    assert world.index.paths.count("/simple/demo/") == asked == 3


def test_twelve_cold_readers_make_one_fetch(world):
    file = world.index.add_wheel("demo", payload=os.urandom(2_000_000))
    world.index.hold = threading.Event()
    with gateway(world), ThreadPoolExecutor(12) as readers:
        world.open_workspace(Space("w1"))
        world.publish("demo")
        answers = [readers.submit(world.get, world.file_path(file)) for _ in range(12)]
        wait_until(lambda: f"/packages/{file.filename}" in world.index.paths)
        world.index.hold.set()
        assert all(answer.result().body == file.content for answer in answers)
    assert world.index.paths.count(f"/packages/{file.filename}") == 1


def test_head_tells_the_length_and_fetches_nothing(world):
    file = world.index.add_wheel("demo", payload=b"x" * 1000)
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        answer = world.get(world.file_path(file), method="HEAD")
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(file.content)))
        assert answer.body == b""
    assert f"/packages/{file.filename}" not in world.index.paths
    assert world.events("package.downloaded") == []


def test_a_range_of_a_held_file_is_served(world):
    file = world.index.add_wheel("demo", payload=b"x" * 1000)
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        world.get(world.file_path(file))
        answer = world.get(world.file_path(file), Range="bytes=10-19")
    assert (answer.status, answer.body) == (206, file.content[10:20])


def test_an_unchanged_page_is_not_sent_twice(world):
    world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        etag = world.publish("demo").headers["Etag"]
        answer = world.get("/pypi/simple/demo/", Accept=JSON, If_None_Match=etag)
    assert (answer.status, answer.body) == (304, b"")


def test_young_releases_are_hidden_and_refused_with_the_reason(world):
    old = FakeFile(*wheel("demo", "1.0"), uploaded="2025-12-01T00:00:00Z")
    young = FakeFile(*wheel("demo", "2.0"), uploaded="2025-12-31T00:00:00Z")
    world.index.add("demo", old, young)
    with gateway(world, package_age_days=7):
        world.open_workspace(Space("w1"))
        assert orjson.loads(world.publish("demo").body)["versions"] == ["1.0"]
        refused = world.get(world.file_path(young))
        assert refused.status == 403
        assert "younger than 7 days" in refused.reason
        world.clock.advance(6 * 86400 + 3601)
        assert orjson.loads(world.publish("demo").body)["versions"] == ["1.0", "2.0"]


def test_a_quarantined_project_is_refused(world):
    file = world.index.add_wheel("demo")
    world.index.project_status["demo"] = "quarantined"
    with gateway(world):
        world.open_workspace(Space("w1"))
        for path in ("/pypi/simple/demo/", world.file_path(file)):
            answer = world.get(path)
            assert answer.status == 403
            assert "quarantined" in answer.reason


def test_an_upstream_failure_says_try_again_and_is_no_unknown_name(world):
    world.index.add_wheel("demo")
    world.index.status["/simple/demo/"] = 503
    with gateway(world):
        world.open_workspace(Space("w1"))
        assert world.get("/pypi/simple/demo/").status == 503
        assert world.get("/pypi/simple/demo/").status == 503
    assert world.index.paths == ["/simple/demo/"]  # the second one did not go out
    with world.database.read() as connection:
        assert connection.execute(select(package_misses)).all() == []


def test_bytes_are_counted_per_workspace(world):
    file = world.index.add_wheel("demo", payload=b"x" * 100_000)
    with gateway(world):
        world.open_workspace(Space("w1"))
        pages = len(world.publish("demo").body)
        for _ in range(2):  # once while it comes in, once from the store
            world.get(world.file_path(file))
    with world.database.read() as connection:
        assert traffic(connection)["w1"].received_bytes == pages + 2 * len(file.content)
        assert connection.execute(select(package_bytes.c.requests)).scalar_one() == 3


def test_what_cannot_be_recorded_is_not_delivered(world):
    file = world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        with world.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE audit_events RENAME TO away")
        try:
            assert world.get(world.file_path(file)).status == 503
        finally:
            with world.database.write() as connection:
                connection.exec_driver_sql("ALTER TABLE away RENAME TO audit_events")
        assert world.get(world.file_path(file)).status == 200


# The doors ---------------------------------------------------------------------------------------


def test_doors_open_and_close_with_the_workspace(world):
    world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        world.spaces.open.clear()
        wait_until(lambda: not world.is_reachable("w1"))


def test_a_workspace_that_is_not_there_yet_is_tried_again(world):
    world.index.add_wheel("demo")
    with gateway(world):
        world.spaces.open.append(Space("w1"))  # the runtime does not know it: NotFound
        world.runtime.fail_next("listen", Unavailable("The launcher is away."))
        world.runtime.prepare(WorkspacePlan("w1", gid=200_000, disk_bytes=2**20))
        wait_until(lambda: world.is_reachable("w1"))
        world.publish("demo")


def test_a_new_namespace_gets_a_new_listener(world):
    world.index.add_wheel("demo")
    with gateway(world, check_seconds=0.1):
        world.open_workspace(Space("w1"))
        world.publish("demo")
        listeners = world.runtime._workspaces["w1"].listeners
        before = listeners.pop(PACKAGE_PORT)
        wait_until(lambda: PACKAGE_PORT in listeners)
        wait_until(lambda: before.fileno() == -1)
        world.publish("demo")


def test_a_launcher_that_is_away_cuts_nothing(world):
    world.index.add_wheel("demo")
    with gateway(world, check_seconds=0.05):
        world.open_workspace(Space("w1"))
        before = world.runtime._workspaces["w1"].listeners[PACKAGE_PORT]
        faults = world.runtime._faults
        for _ in range(3):
            world.runtime.fail_next("dial", Unavailable("The launcher does not answer."))
            world.runtime.fail_next("listen", Unavailable("The launcher does not answer."))
        wait_until(lambda: not faults["dial"] and not faults["listen"])
        world.publish("demo")
        assert world.runtime._workspaces["w1"].listeners[PACKAGE_PORT] is before


def test_a_taken_port_is_an_alarm(world):
    with gateway(world):
        world.runtime.fail_next("listen", Conflict("Port 81 of this workspace is taken."))
        world.open_workspace(Space("w1"))
    [alarm] = world.events("package.port_taken")
    assert alarm.subject == str(PACKAGE_PORT)


def test_doors_stay_while_the_database_is_away(world):
    world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        world.spaces.error = Unavailable("The database does not answer.")
        world.publish("demo")
        world.spaces.error = None
        world.spaces.open.clear()
        wait_until(lambda: not world.is_reachable("w1"))


def test_fifty_workspaces_at_once_need_few_threads(world):
    spaces = [Space(f"w{number}") for number in range(50)]
    world.index.add_wheel("demo")
    with gateway(world):
        threads = threading.active_count()
        for space in spaces:
            world.runtime.prepare(WorkspacePlan(space.id, gid=200_000, disk_bytes=2**20))
        world.spaces.open.extend(spaces)
        wait_until(lambda: all(world.is_reachable(space.id) for space in spaces))
        assert threading.active_count() <= threads + 12
        for space in spaces:
            world.publish("demo", workspace=space.id)


# Killed and full ---------------------------------------------------------------------------------

KILLED = """
import asyncio, sys
from pathlib import Path
from carrel.packages.ports import FileReply
from carrel.packages.store import Store
from contextlib import asynccontextmanager

@asynccontextmanager
async def forever():
    async def chunks():
        yield b"x" * 200_000
        print("filling", flush=True)
        await asyncio.sleep(60)
    yield FileReply(None, chunks())

async def main():
    store = Store(Path(sys.argv[1]), reserve_bytes=0)
    follower = store.fill("0" * 64, None, forever)
    await follower.started()
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_killed_while_filling_leaves_nothing_half(world):
    root = world.home / "packages"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.readline() == "filling\n"
        assert len(list((root / "filling").iterdir())) == 1
        child.send_signal(signal.SIGKILL)
    file = world.index.add_wheel("demo")
    with gateway(world):
        world.open_workspace(Space("w1"))
        assert list((root / "filling").iterdir()) == []
        assert list((root / "cas").iterdir()) == []
        world.publish("demo")
        assert world.get(world.file_path(file)).body == file.content


@pytest.mark.root
def test_a_full_disk_is_a_sentence_and_leaves_nothing_half(world):
    small = world.home / "packages"
    small.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(small)], check=True)
    try:
        big = world.index.add(
            "big", FakeFile(*wheel("big", "1.0", os.urandom(2_000_000)), has_size=False)
        )
        file = world.index.add_wheel("demo")
        with gateway(world, reserve_bytes=0):
            world.open_workspace(Space("w1"))
            world.publish("big")
            world.publish("demo")
            broken = world.raw(f"GET {world.file_path(big)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert big.content not in broken
            assert list((small / "filling").iterdir()) == []
            assert world.get(world.file_path(file)).body == file.content
        assert any(event.subject == Reason.STORE_FULL for event in world.events("package.refused"))
    finally:
        subprocess.run(["umount", str(small)], check=True)
