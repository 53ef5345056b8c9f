"""Do both hashes hold a sealed file, and does an old seal without BLAKE3 still verify?"""

import json

import blake3
import pytest
from sqlalchemy import update

from carrel.airlock import tables
from carrel.airlock.rules import Status
from tests.airlock import SAFE_TABLE, Bench
from tests.factories import make_database


@pytest.fixture
def bench(tmp_path):
    database = make_database(tmp_path)
    yield Bench(database)
    database.close()


def write(bench, **values):
    with bench.database.write() as connection:
        connection.execute(update(tables.files).values(**values))


def test_the_manifest_names_both_hashes(bench):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    (file,) = json.loads(bench.airlock.get_manifest(bench.author, request.id))["files"]
    assert file["blake3"] == blake3.blake3(SAFE_TABLE).hexdigest()
    assert file["sha256"] == request.files[0].sha256


@pytest.mark.parametrize("name", ["sha256", "blake3"])
def test_either_hash_alone_stops_a_file(bench, name):
    request = bench.in_review("export", table__csv=SAFE_TABLE)
    write(bench, **{name: "0" * 64})
    bench.approve(request)
    bench.run_work()
    ended = bench.airlock.get(bench.author, request.id)
    assert ended.status is Status.FAILED
    assert "not the file that was sealed" in ended.status_message


def test_a_file_of_before_blake3_goes_its_way(bench):
    request = bench.draft("export", table__csv=SAFE_TABLE)
    write(bench, blake3=None)
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    request = bench.airlock.get(bench.author, request.id)
    (file,) = json.loads(bench.airlock.get_manifest(bench.author, request.id))["files"]
    assert sorted(file) == ["name", "sha256", "size_bytes"]
    bench.approve(request)
    bench.run_work()
    assert bench.airlock.get(bench.author, request.id).status is Status.APPROVED
