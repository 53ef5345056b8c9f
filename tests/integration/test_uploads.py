"""Does a file that comes in several goes (tus 1.0) arrive whole, and nothing that should not?"""

import hashlib
from dataclasses import replace

import pytest

from carrel.airlock.rules import Stage
from carrel.airlock.service import Airlock
from carrel.airlock.service.uploading import (
    LIFE,
    Checksum,
    ChecksumMismatch,
    Expired,
    TooLarge,
)
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotFound
from carrel.core.settings import Settings
from tests.airlock import Bench, Killed, killing
from tests.factories import make_database

TABLE = b"group,n\nold,120\nyoung,85\n" * 4
MIB = 2**20


@pytest.fixture
def bench(tmp_path):
    database = make_database(tmp_path)
    yield Bench(database, settings=Settings(request_bytes_limit=40 * MIB, request_file_limit=3))
    database.close()


@pytest.fixture
def request_id(bench) -> str:
    return bench.draft("import").id


def objects(bench, request_id) -> int:
    return len(bench.store.objects(request_id))


def test_a_file_in_several_goes_becomes_a_file_of_the_draft(bench, request_id):
    airlock, author = bench.airlock, bench.author
    made = airlock.start_upload(author, request_id, "folder/table.csv", len(TABLE))
    half = airlock.append_to_upload(author, request_id, made.id, 0, [TABLE[:40]])
    assert (half.offset_bytes, half.is_finished) == (40, False)
    assert airlock.get(author, request_id).files == ()
    whole = airlock.append_to_upload(author, request_id, made.id, 40, [TABLE[40:60], TABLE[60:]])
    assert whole.is_finished
    (file,) = airlock.get(author, request_id).files
    assert (file.name, file.sha256) == ("folder/table.csv", hashlib.sha256(TABLE).hexdigest())
    assert objects(bench, request_id) == 1
    assert airlock.find_upload(author, request_id, made.id).is_finished


def test_another_offset_changes_nothing(bench, request_id):
    made = bench.airlock.start_upload(bench.author, request_id, "t.csv", len(TABLE))
    with pytest.raises(Conflict, match="So far 0 bytes"):
        bench.airlock.append_to_upload(bench.author, request_id, made.id, 5, [TABLE[5:]])
    assert objects(bench, request_id) == 0


def test_what_does_not_fit_its_checksum_is_not_kept(bench, request_id):
    made = bench.airlock.start_upload(bench.author, request_id, "t.csv", len(TABLE))
    give = (bench.author, request_id, made.id, 0, [TABLE])
    with pytest.raises(ChecksumMismatch):
        bench.airlock.append_to_upload(*give, Checksum("sha1", b"x" * 20))
    assert objects(bench, request_id) == 0
    with pytest.raises(InvalidRequest, match="sha256"):
        bench.airlock.append_to_upload(*give, Checksum("crc32", b"x"))
    right = Checksum("sha1", hashlib.sha1(TABLE, usedforsecurity=False).digest())
    assert bench.airlock.append_to_upload(*give, right).is_finished


def test_more_than_announced_is_refused_and_the_rest_still_comes(bench, request_id):
    made = bench.airlock.start_upload(bench.author, request_id, "t.csv", 50)
    with pytest.raises(TooLarge):
        bench.airlock.append_to_upload(bench.author, request_id, made.id, 0, [TABLE])
    assert bench.airlock.find_upload(bench.author, request_id, made.id).offset_bytes == 0


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("t.csv", 0, "empty"),
        ("x" * 300, 5, "Rename the file"),
        ("../t.csv", 5, "Rename the file"),
        ("t.csv", 41 * MIB, "room for"),
        ("KEPT.csv", 5, "same name to some systems"),
    ],
)
def test_what_could_not_become_a_file_is_refused_at_once(bench, request_id, name, size, said):
    bench.airlock.add_file(bench.author, request_id, "kept.csv", [TABLE])
    with pytest.raises(InvalidRequest, match=said):
        bench.airlock.start_upload(bench.author, request_id, name, size)


def test_unfinished_uploads_count_and_one_of_the_same_name_gives_way(bench, request_id):
    start = bench.airlock.start_upload
    first = start(bench.author, request_id, "a.csv", 30 * MIB)
    bench.airlock.append_to_upload(bench.author, request_id, first.id, 0, [b"x" * 10])
    with pytest.raises(TooLarge):
        start(bench.author, request_id, "b.csv", 30 * MIB)
    start(bench.author, request_id, "a.csv", 30 * MIB)
    assert objects(bench, request_id) == 0
    with pytest.raises(NotFound):
        bench.airlock.find_upload(bench.author, request_id, first.id)


def test_nobody_else_touches_an_upload(bench, request_id):
    made = bench.airlock.start_upload(bench.author, request_id, "t.csv", len(TABLE))
    for who in (bench.colleague, bench.owner, bench.reviewer):
        with pytest.raises(Denied):
            bench.airlock.append_to_upload(who, request_id, made.id, 0, [TABLE])
        with pytest.raises(Denied):
            bench.airlock.end_upload(who, request_id, made.id)
    with pytest.raises(NotFound):
        bench.airlock.append_to_upload(bench.stranger, request_id, made.id, 0, [TABLE])
    with pytest.raises(NotFound):
        bench.airlock.find_upload(bench.author, bench.draft("import").id, made.id)
    with pytest.raises(Denied, match="outbox"):
        bench.airlock.start_upload(bench.author, bench.draft("export").id, "t.csv", 5)


def test_a_sealed_request_takes_no_more_and_its_uploads_are_gone(bench, request_id):
    made = bench.airlock.start_upload(bench.author, request_id, "late.csv", len(TABLE))
    bench.airlock.append_to_upload(bench.author, request_id, made.id, 0, [TABLE[:9]])
    bench.fill(bench.airlock.get(bench.author, request_id), kept__csv=TABLE)
    bench.airlock.submit(bench.author, request_id)
    with pytest.raises(Conflict, match="sealed"):
        bench.airlock.append_to_upload(bench.author, request_id, made.id, 9, [TABLE[9:]])
    bench.run_work()
    assert [stage for stage, _ in bench.store.objects(request_id)] == [Stage.SEALED]


def test_an_upload_that_nobody_goes_on_with_is_over_and_deleted(bench, request_id):
    made = bench.airlock.start_upload(bench.author, request_id, "t.csv", len(TABLE))
    bench.airlock.append_to_upload(bench.author, request_id, made.id, 0, [TABLE[:9]])
    bench.clock.advance(LIFE.total_seconds() + 1)
    with pytest.raises(Expired):
        bench.airlock.find_upload(bench.author, request_id, made.id)
    assert bench.airlock.end_expired_uploads() == 1
    assert objects(bench, request_id) == 0
    with pytest.raises(NotFound):
        bench.airlock.find_upload(bench.author, request_id, made.id)


@pytest.mark.parametrize("at", range(1, 13))
def test_killed_anywhere_in_a_store_call_it_goes_on_where_it_was(bench, request_id, at):
    """Three pieces and their joining are six calls of the store; each dies before or after."""
    airlock, author, goes = bench.airlock, bench.author, (TABLE[:40], TABLE[40:60], TABLE[60:])
    made = airlock.start_upload(author, request_id, "t.csv", len(TABLE))
    dying = Airlock(replace(bench.ground, store=killing(bench.store, at)))
    offset = 0
    with pytest.raises(Killed):
        for go in goes:
            dying.append_to_upload(author, request_id, made.id, offset, [go])
            offset += len(go)
    found = airlock.find_upload(author, request_id, made.id)
    if not found.is_finished:
        rest = TABLE[found.offset_bytes :]
        found = airlock.append_to_upload(author, request_id, made.id, found.offset_bytes, [rest])
    assert found.is_finished
    (file,) = airlock.get(author, request_id).files
    assert file.sha256 == hashlib.sha256(TABLE).hexdigest()
