"""What may a member of a workspace never reach, fill or break?"""

import contextlib
import os
import stat
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from carrel.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from carrel.runtime.launcher import namespaces
from carrel.runtime.launcher.cgroups import hierarchies
from carrel.runtime.ports import Limits, State
from carrel.workspaces.rules import PACKAGE_PORT, PROXY_PORT
from tests.launchers import NOBODY, PYTHON, Space, launched, require_root, until

pytestmark = pytest.mark.root
MIB = 2**20


@pytest.fixture(scope="module")
def launcher():
    require_root()
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def rootless():
    require_root()
    with launched(uid=NOBODY) as running:
        yield running


@pytest.fixture
def space(launcher):
    made = Space(launcher.runtime())
    yield made
    made.runtime.remove(made.id)


def files(launcher, space) -> Path:
    """Where the launcher keeps the files of a workspace: a look from the host, as a control."""
    tre_id = (launcher.home / "runtime.id").read_text().strip()
    return Path("/var/lib/carrel-runtime", tre_id, "workspaces", space.id, "files")


def test_members_share_the_shared_folder_and_nothing_else(launcher, space):
    space.run("open('/shared/both', 'w').write('hello'); open('private', 'w').write('mine')")
    host_home = str(files(launcher, space) / "home" / str(space.member(1).uid))
    assert Path(host_home, "private").read_text() == "mine"  # the control: it is really there
    seen = space.run(
        "import os\n"
        "print(open('/shared/both').read())\n"
        "open('/shared/both', 'a').write(' and you')\n"
        "print(os.listdir('/home'))\n"
        f"for path in ('/home/member1', {host_home!r}, '/proc/1/root{host_home}'):\n"
        "    try: print('OPEN', os.listdir(path))\n"
        "    except OSError as error: print(error.strerror)\n",
        member=2,
    ).splitlines()
    assert seen[:2] == ["hello", "['member2']"]
    assert set(seen[2:]) <= {"No such file or directory", "Permission denied"}
    assert space.run("print(open('/shared/both').read())") == "hello and you"


def test_what_members_make_together_stays_together(space):
    space.run("import os; os.mkdir('/shared/sub'); open('/shared/sub/a', 'w').write('1')")
    later = space.run(
        "open('/shared/sub/a', 'a').write('2'); open('/shared/sub/b', 'w').write('3');"
        "print(open('/shared/sub/a').read())",
        member=2,
    )
    assert later == "12"


def test_the_ports_of_another_workspace_are_not_there(launcher, space):
    other = Space(launcher.runtime(), number=2)
    try:
        with other.runtime.listen(other.id, 4000), space.runtime.listen(space.id, 4001):
            attempt = (
                "import socket\n"
                "for port in (4000, 4001):\n"
                "    s = socket.socket(); s.settimeout(3); print(port, s.connect_ex("
                "('127.0.0.1', port)))\n"
            )
            assert space.run(attempt).splitlines() == ["4000 111", "4001 0"]
    finally:
        other.runtime.remove(other.id)


def test_processes_of_another_sandbox_are_not_there(space):
    space.start(["/bin/sleep", "12345"])
    seen = space.run("import os; print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))")
    assert len(seen.split(",")) <= 3
    space.run("import os; os.kill(-1, 9)")
    assert len(space.runtime.running()[space.id]) == 1


def test_the_inbox_cannot_be_written_and_what_lies_in_it_cannot_be_changed(space):
    with tempfile.TemporaryFile() as file:
        file.write(b"approved")
        file.flush()
        space.runtime.deliver_inbox(space.id, "r1/data.csv", file)
    attempts = (
        "import os\n"
        "for attempt in (lambda: open('/inbox/r1/data.csv', 'a'), lambda: open('/inbox/x', 'w'),\n"
        "    lambda: os.remove('/inbox/r1/data.csv'), lambda: os.chmod('/inbox/r1', 0o777),\n"
        "    lambda: os.rename('/inbox/r1', '/inbox/r2'), lambda: os.mkdir('/inbox/y'),\n"
        "    lambda: os.link('/inbox/r1/data.csv', '/outbox/data.csv')):\n"
        "    try: attempt(); print('OPEN')\n"
        "    except OSError as error: print(error.strerror)\n"
        "print(open('/inbox/r1/data.csv').read())"
    )
    *refused, content = space.run(attempts).splitlines()
    assert content == "approved"
    assert set(refused) <= {
        "Read-only file system", "Permission denied", "Invalid cross-device link",
        "Operation not permitted",
    }  # fmt: skip


TRAPS = """
import os, socket
os.chdir('/outbox')
os.symlink('/etc/shadow', 'link')
os.symlink('/etc', 'folder')
os.symlink('../shared', 'up')
os.mkdir('real'); os.symlink('/proc/self', 'real/self')
os.mkfifo('fifo')
s = socket.socket(socket.AF_UNIX); s.bind('socket')
open('one', 'w').write('x'); os.link('one', 'two')
open('new\\nline', 'w').close(); open('rtl\\u202egnp', 'w').close(); open(b'bad\\xff', 'w').close()
open(' space ', 'w').close(); open('x' * 255, 'w').close()
open('good.csv', 'w').write('a,b\\n')
os.mkdir('locked'); open('locked/f', 'w').write('y'); os.chmod('locked', 0)
here = '/outbox'
for _ in range(300):
    os.mkdir('deep'); os.chdir('deep')
open('bottom', 'w').close()
"""

BAD_PATHS = (
    "link", "folder/shadow", "up/secret", "real/self/environ", "fifo", "socket", "one", "two",
    "new\nline", "../home", "/etc/shadow", "real/../good.csv", "real", "./good.csv", "good.csv/",
    "nul\0", "x" * 300, "deep/" * 300 + "bottom",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["launcher", "rootless"])
def test_no_trap_in_the_outbox_is_followed_or_waited_for(request, kind):
    space = Space(request.getfixturevalue(kind).runtime())
    try:
        space.run(TRAPS)
        began = time.monotonic()
        listed = {file.path: file.refused for file in space.runtime.list_outbox(space.id)}
        collectable = {path for path, refused in listed.items() if not refused}
        assert collectable - {"locked/f"} == {"good.csv", "x" * 255}
        for name in ("link", "folder", "up", "real/self", "fifo", "socket", "one", "two"):
            assert listed[name], name
        assert any("bad" in path and "UTF-8" in reason for path, reason in listed.items())
        for path in BAD_PATHS:
            with pytest.raises((InvalidRequest, NotFound)):
                space.runtime.open_outbox(space.id, path)
        assert time.monotonic() - began < 5
        with space.runtime.open_outbox(space.id, "good.csv") as file:
            assert file.read() == b"a,b\n"
    finally:
        space.runtime.remove(space.id)
    assert [left for left in space.runtime.leftovers() if left.workspace_id == space.id] == []


def test_a_file_that_is_no_member_s_is_not_collected(launcher, space):
    space.run("open('/outbox/mine', 'w').write('x')")
    (files(launcher, space) / "outbox" / "foreign").write_text("of the host")
    listed = {file.path: file.refused for file in space.runtime.list_outbox(space.id)}
    assert listed["mine"] == ""
    assert "does not belong to a member" in listed["foreign"]
    with pytest.raises(InvalidRequest, match="does not belong"):
        space.runtime.open_outbox(space.id, "foreign")


def test_a_file_swapped_for_a_link_again_and_again_never_leads_out(space):
    swap = (
        "import os, time\n"
        "end = time.monotonic() + 3\n"
        "open('/outbox/seed', 'w').write('inside'); print('go', flush=True)\n"
        "while time.monotonic() < end:\n"
        "    open('/outbox/.n', 'w').write('inside'); os.rename('/outbox/.n', '/outbox/f')\n"
        "    os.symlink('/etc/passwd', '/outbox/.l'); os.rename('/outbox/.l', '/outbox/f')\n"
    )
    sandbox_id = space.start(["/usr/bin/python3", "-c", swap])
    until(lambda: "go" in space.runtime.output(space.id, sandbox_id))
    seen = set()
    while space.runtime.state(space.id, sandbox_id) is State.RUNNING:
        try:
            with space.runtime.open_outbox(space.id, "f") as file:
                seen.add(file.read())
        except (InvalidRequest, NotFound):
            seen.add("refused")
    assert {b"inside", "refused"} <= seen
    assert seen <= {b"inside", b"", "refused"}


def test_a_full_disk_harms_only_its_own_workspace_and_heals(launcher, space):
    filled = space.run(
        "try:\n    f = open('fill', 'wb', buffering=0)\n    while True: f.write(bytes(2**20))\n"
        "except OSError as error: print(error.strerror)"
    )
    assert "No space left" in filled
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(3 * MIB))
        file.flush()
        with pytest.raises(Unavailable, match="disk of the workspace is full"):
            space.runtime.deliver_inbox(space.id, "big", file)
        assert space.run("import os; print(os.listdir('/inbox'))") == "[]"
        other = Space(launcher.runtime(), number=3)
        other.runtime.deliver_inbox(other.id, "big", file)
        other.runtime.remove(other.id)
        space.run("import os; os.remove('fill')")
        space.runtime.deliver_inbox(space.id, "big", file)
    assert space.run("import os; print(os.path.getsize('/inbox/big'))") == str(3 * MIB)


def test_a_full_disk_of_tiny_files_heals_too(space):
    text = space.run(
        "n = 0\ntry:\n    while n < 10**6: open(f'f{n}', 'w').close(); n += 1\n"
        "except OSError as error: print(error.strerror)"
    )
    assert "No space left" in text
    space.run("import shutil, os\nfor name in os.listdir('.'): os.remove(name)")
    assert space.run("open('again', 'w').close(); print('ok')") == "ok"


def test_a_flood_of_output_neither_blocks_nor_grows_without_end(launcher, space):
    flood = (
        "import sys, time\n"
        "for _ in range(24): sys.stdout.write('x' * 2**20)\n"
        "print('END', flush=True); time.sleep(1000)"
    )
    sandbox_id = space.start(["/usr/bin/python3", "-c", flood])
    until(lambda: space.runtime.output(space.id, sandbox_id, tail_bytes=4) == "END\n")
    log = files(launcher, space) / "logs" / sandbox_id
    until(lambda: 0 < log.stat().st_size <= 2 * MIB)
    assert space.runtime.output(space.id, sandbox_id, tail_bytes=4) == "END\n"
    assert space.runtime.state(space.id, sandbox_id) is State.RUNNING


def test_a_memory_bomb_ends_its_own_sandbox_only(space):
    neighbour = space.start(["/bin/sleep", "1000"], member=2)
    limits = Limits(memory_bytes=64 * MIB, cpus=1.0, processes=32)
    said = space.run("print('before', flush=True); b = bytearray(b'x') * 2**30", limits=limits)
    assert said == "before"
    assert space.runtime.state(space.id, neighbour) is State.RUNNING


def test_a_fork_bomb_hits_its_limit_and_can_be_stopped(space):
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    limits = Limits(memory_bytes=256 * MIB, cpus=0.5, processes=48)
    sandbox_id = space.start(["/usr/bin/python3", "-c", bomb], limits=limits)
    until(lambda: space.runtime.usage(space.id, sandbox_id).processes >= 40)
    assert space.runtime.usage(space.id, sandbox_id).processes <= 48
    space.runtime.stop(space.id, sandbox_id, grace_seconds=0.1)
    assert space.runtime.state(space.id, sandbox_id) is State.ABSENT
    space.runtime.remove(space.id)
    assert space.runtime.leftovers() == []


def test_filling_the_memory_file_systems_hits_the_memory_limit(space):
    limits = Limits(memory_bytes=96 * MIB, cpus=1.0, processes=32)
    said = space.run(
        "import os\n"
        "for path in ('/tmp/f', '/dev/shm/f', '/run/f', '/f', '/dev/f', '/home/f'):\n"
        "    try:\n"
        "        with open(path, 'wb', buffering=0) as f:\n"
        "            for _ in range(200): f.write(bytes(2**20))\n"
        "        print('OPEN')\n"
        "    except OSError as error: print(path, error.errno, flush=True)\n"
        "    if os.path.exists(path): os.remove(path)\n",
        limits=limits,
    )
    ends = dict(line.split() for line in said.splitlines())
    # 28 ENOSPC, 30 EROFS, 13 EACCES
    assert ends == {"/tmp/f": "28", "/dev/shm/f": "28", "/run/f": "28", "/f": "30",
                    "/dev/f": "30", "/home/f": "30"}  # fmt: skip


def test_no_user_of_the_host_but_root_can_look_into_a_workspace(launcher, space):
    space.run("open('secret', 'w').write('x'); open('/shared/s', 'w').write('y')")
    root = files(launcher, space)
    for name in ("home", "shared", "outbox", "logs", "delivery"):
        mode = stat.S_IMODE((root / name).stat().st_mode)
        assert not mode & 0o006, name
    assert stat.S_IMODE((root / "home" / str(space.member().uid)).stat().st_mode) == 0o700
    assert stat.S_IMODE(root.with_name("disk.img").stat().st_mode) == 0o600


def test_the_command_line_that_every_user_of_the_host_sees_holds_no_environment(space):
    sandbox_id = space.start(["/bin/sleep", "1000"], environment={"CARREL_TOKEN": "not-for-all"})
    command_lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command_lines.append(file.read_bytes())
    assert any(b"bwrap" in line for line in command_lines)
    assert not any(b"not-for-all" in line for line in command_lines)
    space.runtime.stop(space.id, sandbox_id)


def test_a_workspace_is_repaired_by_preparing_it_again(launcher, space):
    tre_id = (launcher.home / "runtime.id").read_text().strip()
    space.run("open('kept', 'w').write('still here')")
    namespaces.unpin(Path("/run/carrel", tre_id, "netns", space.id))
    (files(launcher, space) / "outbox").rmdir()
    with pytest.raises(NotFound):
        space.start(["/bin/true"])
    space.runtime.prepare(space.plan)
    assert space.run("import os; print(open('kept').read(), os.listdir('/outbox'))") == (
        "still here []"
    )


def test_a_disk_grows_when_nobody_uses_it_and_loses_nothing(space):
    space.run("open('kept', 'w').write('still here')")
    size = "import os; s = os.statvfs('.'); print(s.f_blocks * s.f_frsize // 2**20)"
    small = int(space.run(size))
    larger = replace(space.plan, disk_bytes=256 * MIB)
    busy = space.start(["/bin/sleep", "1000"])
    space.runtime.prepare(larger)
    assert int(space.run(size)) == small
    space.runtime.stop(space.id, busy)
    space.runtime.prepare(larger)
    assert int(space.run(size)) > 200 > small
    space.runtime.prepare(space.plan)
    assert space.run("print(open('kept').read())") == "still here"


SQUAT = (
    "import socket, sys\n"
    "s = socket.create_server(('127.0.0.1', 20001)); print('squats', flush=True)\n"
    "s.settimeout(float(sys.argv[1]))\n"
    "try: print('heard', s.accept()[0].recv(99))\n"
    "except OSError: print('heard nothing')\n"
)


def test_who_squats_on_the_port_of_another_member_hears_nothing(space):
    squatter = space.start([PYTHON, "-I", "-c", SQUAT, "2"], member=2)
    until(lambda: "squats" in space.runtime.output(space.id, squatter))
    with pytest.raises(Unavailable, match="Nobody of this member"):
        space.runtime.dial(space.id, 20001, uid=space.member(1).uid)
    until(lambda: space.runtime.state(space.id, squatter) is State.EXITED)
    assert "heard nothing" in space.runtime.output(space.id, squatter)


def test_the_member_a_port_is_dialled_for_hears_the_token(space):
    mine = space.start([PYTHON, "-I", "-c", SQUAT, "20"], member=1)
    until(lambda: "squats" in space.runtime.output(space.id, mine))
    with space.runtime.dial(space.id, 20001, uid=space.member(1).uid) as door:  # the control
        door.sendall(b"a token")
        until(lambda: "heard b'a token'" in space.runtime.output(space.id, mine))
    with pytest.raises(Unavailable):  # it listens no more
        space.runtime.dial(space.id, 20001, uid=space.member(1).uid)


FOREIGN = (
    "import os, sys\n"
    "for path in sys.argv[1:]:\n"
    "    for look in (os.listdir, lambda p: open(p).read(), os.stat):\n"
    "        try: look(path); print('OPEN', path)\n"
    "        except OSError as error: print(error.errno)\n"
)


def test_another_user_of_the_host_sees_no_file_of_a_workspace(launcher, space):
    with tempfile.TemporaryFile() as file:
        file.write(b"approved")
        file.flush()
        space.runtime.deliver_inbox(space.id, "r1/data.csv", file)
    space.run("open('/shared/a', 'w').write('x'); open('private', 'w').write('x')")
    top = files(launcher, space)
    places = [top / "inbox/r1/data.csv", top / "inbox/r1", top / "inbox", top / "home",
              top / "shared/a", top / "outbox", top / "logs"]  # fmt: skip
    assert all(place.exists() for place in places)  # the control
    for old, mode in ((places[0], 0o444), (places[1], 0o755), (places[2], 0o755), (top, 0o711)):
        old.chmod(mode)  # as an earlier release left them
    space.runtime.prepare(space.plan)
    said = subprocess.run(
        [PYTHON, "-I", "-c", FOREIGN, *map(str, places)],
        user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert set(said.split()) == {"13"}
    assert (places[0].stat().st_mode & 0o777, places[0].stat().st_gid) == (0o440, space.gid)
    assert space.run("print(open('/inbox/r1/data.csv').read())", member=2) == "approved"


DOORS = (
    "import socket\n"
    "for port in (81, 88):\n"
    "    for address in ('127.0.0.1', '0.0.0.0', '127.0.0.2'):\n"
    "        s = socket.socket()\n"
    "        try: s.bind((address, port)); print('OPEN')\n"
    "        except OSError as error: print(error.strerror)\n"
)


@pytest.mark.parametrize("kind", ["launcher", "rootless"])
def test_no_member_binds_the_port_of_a_door_even_while_nobody_holds_it(request, kind):
    space = Space(request.getfixturevalue(kind).runtime())
    try:
        assert set(space.run(DOORS).splitlines()) == {"Permission denied"}
        for port in (PACKAGE_PORT, PROXY_PORT):
            with space.runtime.listen(space.id, port):
                space.runtime.dial(space.id, port).close()
    finally:
        space.runtime.remove(space.id)


def test_a_plan_larger_than_the_host_starts_nothing_and_says_what_the_host_has(space):
    for limits, sentence in (
        (Limits(memory_bytes=2**43), r"host has [\d.]+ GiB to give. Lower memory_gib"),
        (Limits(cpus=4000), r"host has \d+. Lower cpus"),
    ):
        plan = space.sandbox(["/bin/true"], limits=limits)
        with pytest.raises(Conflict, match=sentence):
            space.runtime.start(plan)
        assert space.runtime.state(space.id, plan.id) is State.ABSENT


def test_all_sandboxes_together_leave_memory_for_the_host(launcher, space):
    tre_id = (launcher.home / "runtime.id").read_text().strip()
    where = hierarchies()
    folder = where.v1.get("memory")
    name = "memory.limit_in_bytes" if folder else "memory.max"
    limit = int(((folder or where.v2) / f"carrel-{tre_id}" / name).read_text())
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0.8 * whole < limit < 0.9 * whole
