"""Killed at any boundary, on any store: does a request still end, with each byte there once?"""

from contextlib import ExitStack
from functools import cache
from itertools import product

import pytest

from carrel.airlock.rules import Direction, Stage, Status
from carrel.core.actors import WorkspaceRole
from carrel.core.audit import verify
from carrel.core.errors import CarrelError
from carrel.core.ids import new_id
from tests.airlock import Bench, person
from tests.airlock_deaths import Scene, died, died_uploading, go_on
from tests.factories import make_database
from tests.object_services import SERVICES

FILES = {"a__csv": b"a,n\nx,100\n", "b__csv": b"b,n\ny,200\n"}
BYTES = sorted(FILES.values())


@pytest.fixture(scope="module")
def service():
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(SERVICES[name]()))


STORES = ["folder", *SERVICES]


@pytest.mark.parametrize("name", STORES)
def test_a_killed_upload_of_many_parts_is_not_there_and_can_be_repeated(tmp_path, service, name):
    scene = _scene(tmp_path, None if name == "folder" else service(name))
    request, file_id = new_id(), new_id()
    assert died_uploading(scene, request, file_id)
    store = scene.store()
    assert store.objects(request) == []
    store.put(request, file_id, [b"whole"], limit_bytes=100)
    assert store.objects(request) == [(Stage.DRAFT, file_id)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [*product(["export", "import"], STORES), ("rejected", "s3")],
)
def test_killed_at_any_boundary_nothing_is_stuck_lost_doubled_or_early(
    tmp_path, service, kind, name
):
    at, killed, early = 0, True, 0
    running = None if name == "folder" else service(name)
    while killed:
        folder = tmp_path / f"{new_id()}"
        folder.mkdir()
        database = make_database(folder)
        scene = _scene(folder, running)
        bench = scene.bench(database)
        request = bench.submitted("import" if kind == "import" else "export", **FILES)
        url = f"sqlite:///{folder / 'test.db'}"
        killed = died(scene, url, request.id, approve=kind != "rejected", at=at)
        early += check_nothing_early(bench, request.id)
        bench.clock.advance(11)
        go_on(bench, request.id, approve=kind != "rejected")
        check_end(bench, request.id, kind)
        assert verify(database).intact
        database.close()
        at += 1
    assert at > 10
    assert early > 3


def _scene(folder, running) -> Scene:
    workspace = new_id()
    author = person(workspace, WorkspaceRole.RESEARCHER)
    reviewer = person(workspace, WorkspaceRole.AIRLOCK_MANAGER)
    return Scene(folder, workspace, author, reviewer, running)


def check_nothing_early(bench: Bench, request_id: str) -> bool:
    """Nothing is out before somebody approved it; says whether nobody has yet."""
    request = bench.airlock.get(bench.reviewer, request_id)
    if any(review.decision == "approved" for review in request.reviews):
        return False
    assert bench.runtime.inbox(bench.workspace) == {}
    with pytest.raises(CarrelError):
        bench.airlock.release_ticket(bench.author, request_id)
    return True


def check_end(bench: Bench, request_id: str, kind: str) -> None:
    request = bench.airlock.get(bench.author, request_id)
    end, stage = Status.APPROVED, Stage.APPROVED
    if kind == "rejected":
        end, stage = Status.REJECTED, Stage.REJECTED
    assert (request.status, {file.stage for file in request.files}) == (end, {stage})
    assert [entry.new for entry in request.history].count(end) == 1
    assert bench.store.objects(request_id) == sorted((stage, file.id) for file in request.files)
    contents = []
    for file in request.files:
        with bench.store.open(request_id, stage, file.id) as content:
            contents.append(content.read())
    assert sorted(contents) == BYTES
    delivered = sorted(bench.runtime.inbox(bench.workspace).values())
    assert delivered == (BYTES if request.type is Direction.IMPORT else [])
