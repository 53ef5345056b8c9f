"""Can a member of a real workspace make the airlock carry what nobody reviewed?"""

import hashlib

import pytest

from carrel.airlock.rules import Status
from carrel.airlock.stores import FolderStore
from carrel.core.errors import CarrelError, InvalidRequest
from carrel.core.settings import Settings
from tests.airlock import SAFE_TABLE, SMALL_TABLE, Bench
from tests.factories import make_database
from tests.launchers import Space, launched, require_root, until

pytestmark = pytest.mark.root

RACER = """
import os
print("go", flush=True)
while True:
    open("/outbox/.n", "w").write("inside"); os.rename("/outbox/.n", "/outbox/f")
    os.symlink("/etc/passwd", "/outbox/.l"); os.rename("/outbox/.l", "/outbox/f")
"""
TAMPERING = """
import os
path = {path!r}
acts = (
    lambda: open(path, "w"), lambda: os.unlink(path), lambda: os.chmod(path, 0o666),
    lambda: os.rename(path, "/inbox/x"), lambda: open("/inbox/new", "w"),
)
for act in acts:
    try: act(); print("OPEN")
    except OSError as error: print("closed")
print(open(path).read())
"""


@pytest.fixture
def world(tmp_path):
    """A real workspace, and an airlock over a real folder."""
    require_root()
    with launched() as launcher:
        space = Space(launcher.runtime())
        database = make_database(tmp_path)
        bench = Bench(
            database,
            store=FolderStore(tmp_path / "airlock"),
            settings=Settings(tre_name="T", request_bytes_limit=4 * 2**20),
            runtime=space.runtime,
            workspace=space.id,
        )
        bench.policies.members[bench.author.id] = space.member()
        yield bench, space
        database.close()


def save(space: Space, name: str, content: bytes) -> None:
    assert space.run(f"open('/outbox/{name}', 'wb').write({content!r}); print('ok')") == "ok"


def test_a_file_swapped_after_sealing_leaves_as_it_was_sealed(world):
    bench, space = world
    save(space, "table.csv", SAFE_TABLE)
    request = bench.airlock.create(
        bench.author, space.id, type="export", title="t", justification="j"
    )
    bench.airlock.add_from_outbox(bench.author, request.id, ["table.csv"])
    save(space, "table.csv", SMALL_TABLE)
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    bench.approve(bench.airlock.get(bench.reviewer, request.id))
    save(space, "table.csv", b"something else entirely")
    bench.run_work()
    ticket = bench.airlock.release_ticket(bench.author, request.id)
    assert bench.downloaded(bench.author, ticket.token) == SAFE_TABLE


def test_a_link_that_appears_while_collecting_never_brings_a_host_file(world):
    bench, space = world
    racer = space.start(["/usr/bin/python3", "-I", "-c", RACER])
    until(lambda: "go" in space.runtime.output(space.id, racer))
    request = bench.airlock.create(bench.author, space.id, type="export", title="t")
    inside = hashlib.sha256(b"inside").hexdigest()
    collected = refused = 0
    while collected < 20 or refused < 5:
        try:
            (file,) = bench.airlock.add_from_outbox(bench.author, request.id, ["f"])
        except CarrelError:
            refused += 1
        else:
            assert file.sha256 == inside
            collected += 1
        assert collected + refused < 5000
    space.runtime.stop(space.id, racer)


def test_a_file_that_grows_for_ever_stops_at_the_limit(world):
    bench, space = world
    assert space.run("open('/outbox/big', 'wb').truncate(10**15)\nprint('no')") != "no"
    space.run("f = open('/outbox/sparse', 'wb'); f.truncate(1 << 30); print('ok')")
    request = bench.airlock.create(bench.author, space.id, type="export", title="t")
    with pytest.raises(InvalidRequest, match="room for 4194304 more bytes"):
        bench.airlock.add_from_outbox(bench.author, request.id, ["sparse"])
    assert bench.store.objects(request.id) == []


def test_a_member_cannot_change_what_came_in(world):
    bench, space = world
    request = bench.airlock.create(
        bench.author, space.id, type="import", title="Trial data", justification="j"
    )
    bench.airlock.add_file(bench.author, request.id, "data.csv", [b"a,b\n1,2\n"])
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    assert space.run("import os; print(os.listdir('/inbox'))") == "[]"
    bench.approve(bench.airlock.get(bench.reviewer, request.id))
    bench.run_work()
    assert bench.airlock.get(bench.author, request.id).status is Status.APPROVED
    path = f"/inbox/trial-data-{request.id[:8]}/data.csv"
    said = space.run(TAMPERING.format(path=path))
    assert said == "closed\n" * 5 + "a,b\n1,2"
    bench.airlock.revoke(bench.reviewer, request.id, "wrong")
    bench.run_work()
    assert space.run("import os; print(os.listdir('/inbox'))") == "[]"


def test_names_from_inside_are_judged_before_anything_is_opened(world):
    bench, space = world
    space.run("open('/outbox/a\\nb', 'w').write('x'); open('/outbox/.bashrc', 'w').write('x')")
    listed = {f.path: f.refused for f in bench.airlock.list_outbox(bench.author, space.id)}
    assert all(listed.values())
    request = bench.airlock.create(bench.author, space.id, type="export", title="t")
    for path in ("a\nb", ".bashrc", "../inbox/x", "/etc/passwd", "..", ""):
        with pytest.raises(InvalidRequest):
            bench.airlock.add_from_outbox(bench.author, request.id, [path])


def test_nobody_collects_what_another_member_keeps_private(world):
    bench, space = world
    write = "import os; os.umask({umask}); open('/outbox/{name}', 'wb').write({content!r})"
    for name, umask in (("theirs.csv", 0o077), ("ours.csv", 0o027)):
        space.run(write.format(umask=umask, name=name, content=SAFE_TABLE), member=2)
    request = bench.airlock.create(
        bench.author, space.id, type="export", title="t", justification="j"
    )
    shown = bench.airlock.list_outbox(bench.author, space.id)
    assert [file.path for file in shown if not file.refused] == ["ours.csv"]
    with pytest.raises(CarrelError):
        bench.airlock.add_from_outbox(bench.author, request.id, ["theirs.csv"])
    bench.airlock.add_from_outbox(bench.author, request.id, ["ours.csv"])
    assert [f.name for f in bench.airlock.get(bench.author, request.id).files] == ["ours.csv"]
