"""Does every store keep the contract of the port `Store`?"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import blake3
import httpx
import pytest
from obstore.store import MemoryStore as ObstoreMemory

from carrel.airlock.rules import Stage
from carrel.airlock.stores import FolderStore, MemoryStore
from carrel.airlock.stores.objects import PART_BYTES, ObjectStore, object_store
from carrel.core.errors import InvalidRequest, NotFound, OutsideFailure, Unavailable
from carrel.core.ids import new_id
from tests.airlock import pieces
from tests.object_services import PLACE, SERVICES

OUTSIDE = [pytest.param(name, marks=pytest.mark.services) for name in SERVICES]
REQUEST, OTHER = new_id(), new_id()
LIMIT = 10_000


@pytest.fixture(scope="module")
def service():
    """Start each service when it is first needed, once."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(SERVICES[name]()))


@pytest.fixture(params=["memory", "folder", "objects in memory", *OUTSIDE])
def store(request, service, tmp_path):
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return FolderStore(tmp_path / "airlock")
    if request.param == "objects in memory":
        return ObjectStore(ObstoreMemory(), tmp_path / "spool")
    return service(request.param).store(tmp_path / "spool")


def put(store, content: bytes = b"content", request_id: str = REQUEST) -> str:
    file_id = new_id()
    store.put(request_id, file_id, [content], limit_bytes=LIMIT)
    return file_id


def age(folder: Path) -> None:
    """Let every file of a folder be an hour old."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)


_listeners: list[Callable[[str], None]] = []


@cache
def _hook() -> None:
    """Python lets nobody take an audit hook away again, so there is one for all tests."""
    sys.addaudithook(lambda event, _: [heard(event) for heard in _listeners])


@contextmanager
def listening(heard: Callable[[str], None]) -> Iterator[None]:
    """Tell `heard` what the interpreter is about to ask of the system."""
    _hook()
    _listeners.append(heard)
    yield
    _listeners.remove(heard)


def read(store, stage: Stage, file_id: str, request_id: str = REQUEST) -> bytes:
    with store.open(request_id, stage, file_id) as content:
        return content.read()


def test_what_was_put_is_read_back_and_was_measured_on_the_way(store):
    content = bytes(range(256)) * 20
    file_id = new_id()
    stored = store.put(REQUEST, file_id, pieces(content, 100), limit_bytes=len(content))
    assert (stored.sha256, stored.size_bytes) == (hashlib.sha256(content).hexdigest(), 5120)
    assert stored.blake3 == blake3.blake3(content).hexdigest()
    assert read(store, Stage.DRAFT, file_id) == content


def test_too_much_is_refused_and_nothing_stays(store):
    with pytest.raises(InvalidRequest, match="room for 9 more bytes"):
        store.put(REQUEST, new_id(), pieces(b"x" * 10, 3), limit_bytes=9)
    assert store.objects(REQUEST) == []


def test_a_stream_that_breaks_leaves_nothing(store):
    def broken():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put(REQUEST, new_id(), broken(), limit_bytes=LIMIT)
    assert store.objects(REQUEST) == []


def test_a_file_moves_from_stage_to_stage_and_may_be_moved_twice(store):
    file_id = put(store)
    for _ in range(2):
        store.move(REQUEST, file_id, Stage.DRAFT, Stage.SEALED)
    assert read(store, Stage.SEALED, file_id) == b"content"
    with pytest.raises(NotFound):
        store.open(REQUEST, Stage.DRAFT, file_id)


def test_what_is_absent_is_not_found_and_deleting_it_is_nothing(store):
    with pytest.raises(NotFound):
        store.open(REQUEST, Stage.DRAFT, new_id())
    with pytest.raises(NotFound):
        store.move(REQUEST, new_id(), Stage.DRAFT, Stage.SEALED)
    store.delete(REQUEST, Stage.DRAFT, new_id())
    store.drop(OTHER)
    assert store.objects(OTHER) == []


def test_deleting_takes_one_and_dropping_takes_all_of_a_request_only(store):
    first, second, other = put(store), put(store), put(store, request_id=OTHER)
    store.move(REQUEST, second, Stage.DRAFT, Stage.APPROVED)
    store.delete(REQUEST, Stage.DRAFT, first)
    assert store.objects(REQUEST) == [(Stage.APPROVED, second)]
    for _ in range(2):
        store.drop(REQUEST)
    assert store.objects(REQUEST) == []
    assert store.objects(OTHER) == [(Stage.DRAFT, other)]


def test_an_open_file_stays_readable_while_it_is_moved(store):
    file_id = put(store)
    with store.open(REQUEST, Stage.DRAFT, file_id) as content:
        store.move(REQUEST, file_id, Stage.DRAFT, Stage.SEALED)
        assert content.read() == b"content"


BIG = [bytes([number]) * 2**20 for number in range(2 * PART_BYTES // 2**20 + 1)]


def test_a_file_of_many_parts_comes_back_whole(store):
    file_id, whole = new_id(), b"".join(BIG)
    stored = store.put(REQUEST, file_id, BIG, limit_bytes=len(whole))
    assert stored.sha256 == hashlib.sha256(whole).hexdigest()
    store.move(REQUEST, file_id, Stage.DRAFT, Stage.SEALED)
    with store.open(REQUEST, Stage.SEALED, file_id) as content:
        assert hashlib.file_digest(content, "sha256").hexdigest() == stored.sha256
        content.seek(3 * 2**20)
        assert content.read(2) == b"\x03\x03"


def test_a_broken_stream_of_many_parts_leaves_nothing(store):
    def broken():
        yield from BIG
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put(REQUEST, new_id(), broken(), limit_bytes=2**30)
    with pytest.raises(InvalidRequest):
        store.put(REQUEST, new_id(), BIG, limit_bytes=len(BIG) * 2**20 - 1)
    assert store.objects(REQUEST) == []


def test_a_file_may_be_put_together_from_others_of_the_same_store(store):
    parts = [put(store, b"one "), put(store, b"two")]
    file_id = new_id()
    joined = (read(store, Stage.DRAFT, part) for part in [*parts, *parts])
    store.put(REQUEST, file_id, joined, limit_bytes=LIMIT)
    assert read(store, Stage.DRAFT, file_id) == b"one twoone two"


def test_what_a_killed_move_left_twice_is_there_once_after_the_next(store):
    file_id = put(store)
    store.move(REQUEST, file_id, Stage.DRAFT, Stage.SEALED)
    store.put(REQUEST, file_id, [b"content"], limit_bytes=LIMIT)  # as before its deletion
    store.move(REQUEST, file_id, Stage.DRAFT, Stage.SEALED)
    assert store.objects(REQUEST) == [(Stage.SEALED, file_id)]
    assert read(store, Stage.SEALED, file_id) == b"content"


def test_s3_keeps_no_parts_of_an_upload_that_broke(service, tmp_path):
    def broken():
        yield from BIG
        raise ConnectionResetError

    s3 = service("s3")
    with pytest.raises(ConnectionResetError):
        s3.store(tmp_path).put(REQUEST, new_id(), broken(), limit_bytes=2**30)
    left = httpx.get(f"{s3.endpoint}/{PLACE}?uploads")
    assert left.status_code == 200
    assert "<UploadId>" not in left.text


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_the_service_does_not_copy_by_itself_goes_through_carrel(service, tmp_path, name):
    prefix = new_id()
    store = service(name).store(tmp_path, prefix, copy_bytes=PART_BYTES)
    file_id = new_id()
    store.put(REQUEST, file_id, BIG, limit_bytes=2**30)
    store.move(REQUEST, file_id, Stage.DRAFT, Stage.APPROVED)
    assert read(store, Stage.APPROVED, file_id) == b"".join(BIG)
    assert store.objects(REQUEST) == [(Stage.APPROVED, file_id)]


def every_act(store):
    file_id = new_id()
    return (
        lambda: store.put(REQUEST, file_id, [b"x"], limit_bytes=9),
        lambda: store.put(REQUEST, file_id, BIG, limit_bytes=2**30),
        lambda: store.open(REQUEST, Stage.DRAFT, file_id),
        lambda: store.move(REQUEST, file_id, Stage.DRAFT, Stage.SEALED),
        lambda: store.delete(REQUEST, Stage.DRAFT, file_id),
        lambda: store.objects(REQUEST),
    )


@pytest.mark.services
def test_a_service_that_refuses_the_key_is_unavailable(service, tmp_path):
    azure = service("azure")
    key = (azure.key[0], "d3Jvbmc=")
    store = object_store(f"az://{PLACE}", key, spool=tmp_path, endpoint=azure.endpoint)
    for act in every_act(store):
        with pytest.raises(Unavailable, match="refuses Carrel") as caught:
            act()
        assert key[1] not in f"{caught.value} {caught.value.log_detail}"


def test_a_service_that_is_away_is_unavailable(tmp_path):
    store = object_store("s3://gone", ("a", "b"), spool=tmp_path, endpoint="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="does not answer"):
        store.objects(REQUEST)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_bucket_that_is_not_there_is_said(service, tmp_path, name):
    running = service(name)
    store = object_store(
        f"{running.scheme}://missing", running.key, spool=tmp_path, endpoint=running.endpoint
    )
    for content in ([b"x"], BIG):
        with pytest.raises(OutsideFailure, match="not there"):
            store.put(REQUEST, new_id(), content, limit_bytes=2**30)


def test_an_object_that_changes_while_it_is_read_is_not_mixed(tmp_path):
    kept = ObstoreMemory()
    store = ObjectStore(kept, tmp_path)
    file_id = new_id()
    store.put(REQUEST, file_id, BIG, limit_bytes=2**30)
    changed: list[str] = []

    def heard(event):
        if event == "open" and not changed:
            changed.append(event)
            kept.put(f"{REQUEST}/draft/{file_id}", b"y" * len(BIG) * 2**20)

    with listening(heard), pytest.raises(Unavailable):
        store.open(REQUEST, Stage.DRAFT, file_id)
    assert changed


@pytest.mark.parametrize("bad", ["..", "../../etc", "", "a/b", "not-an-id"])
def test_only_ids_ever_become_keys(tmp_path, bad):
    kept = ObstoreMemory()
    store = ObjectStore(kept, tmp_path)
    for act in (
        lambda: store.put(bad, new_id(), [b"x"], limit_bytes=9),
        lambda: store.put(REQUEST, bad, [b"x"], limit_bytes=9),
        lambda: store.open(REQUEST, Stage.DRAFT, bad),
        lambda: store.delete(REQUEST, Stage.DRAFT, bad),
        lambda: store.objects(bad),
        lambda: store.drop(bad),
    ):
        with pytest.raises(NotFound):
            act()
    assert kept.list().collect() == []


@pytest.mark.parametrize("bad", ["..", "../../etc", "", "a/b", "not-an-id"])
def test_only_ids_ever_become_paths(tmp_path, bad):
    store = FolderStore(tmp_path / "airlock")
    for act in (
        lambda: store.put(bad, new_id(), [b"x"], limit_bytes=9),
        lambda: store.put(REQUEST, bad, [b"x"], limit_bytes=9),
        lambda: store.open(REQUEST, Stage.DRAFT, bad),
        lambda: store.drop(bad),
    ):
        with pytest.raises(NotFound):
            act()
    assert not list(tmp_path.rglob("*x*"))


def test_a_link_planted_in_the_folder_is_not_followed(tmp_path):
    store = FolderStore(tmp_path / "airlock")
    file_id, secret = put(store), tmp_path / "secret"
    secret.write_text("secret")
    path = tmp_path / "airlock" / REQUEST / "draft" / file_id
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(Exception, match="cannot be used"):
        store.open(REQUEST, Stage.DRAFT, file_id)


def test_only_carrel_can_read_the_folder(tmp_path):
    store = FolderStore(tmp_path / "airlock")
    put(store)
    for path in (tmp_path / "airlock" / REQUEST).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_abandoned_uploads_are_removed_and_running_ones_are_not(tmp_path):
    store = FolderStore(tmp_path / "airlock")
    partial = tmp_path / "airlock" / ".partial"

    def slow():
        yield b"first"
        (partial / "left-by-a-kill").write_bytes(b"half")
        age(partial)
        assert store.remove_partial() == 1
        yield b"second"

    file_id = new_id()
    store.put(REQUEST, file_id, slow(), limit_bytes=LIMIT)
    assert read(store, Stage.DRAFT, file_id) == b"firstsecond"
    assert list(partial.iterdir()) == []


def test_a_file_that_is_not_locked_yet_is_not_abandoned(tmp_path):
    store = FolderStore(tmp_path / "airlock")
    put(store)
    just_made = tmp_path / "airlock" / ".partial" / new_id()
    just_made.touch()
    assert store.remove_partial() == 0
    assert just_made.exists()
    age(just_made.parent)
    assert store.remove_partial() == 1


@pytest.mark.parametrize("window", ["fcntl.flock", "os.rename"])
def test_no_sweep_takes_an_upload_before_it_is_in_its_place(tmp_path, window):
    store = FolderStore(tmp_path / "airlock")
    partial = tmp_path / "airlock" / ".partial"
    swept: list[int] = []

    def at(event):
        if event == window and not swept:
            swept.append(0)  # a sweep locks too: once is enough
            swept[0] = store.remove_partial()

    def old():
        yield b"content"
        age(partial)

    file_id = new_id()
    with listening(at):
        store.put(REQUEST, file_id, old(), limit_bytes=LIMIT)
    assert swept == [0]
    assert read(store, Stage.DRAFT, file_id) == b"content"


@pytest.fixture
def tiny_disk(tmp_path: Path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.root
def test_a_full_disk_is_unavailable_and_nothing_stays(tiny_disk):
    store = FolderStore(tiny_disk / "airlock")
    kept = put(store, b"small")
    with pytest.raises(Unavailable, match="full"):
        store.put(REQUEST, new_id(), [b"x" * 65_536] * 8, limit_bytes=2**20)
    assert store.objects(REQUEST) == [(Stage.DRAFT, kept)]
    assert list((tiny_disk / "airlock" / ".partial").iterdir()) == []
    store.put(REQUEST, new_id(), [b"x" * 65_536], limit_bytes=2**20)
