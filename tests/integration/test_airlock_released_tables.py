"""Does the airlock remember what left, and compare what would leave with it?"""

import orjson
import pytest

from carrel.airlock.rules import Severity
from carrel.airlock.rules.sidecar import SUFFIX
from carrel.core.errors import InvalidRequest
from tests.airlock import Bench

REGIONS = ("North", "South", "West")


@pytest.fixture
def bench(database):
    return Bench(database)


def sidecar(**more: object) -> bytes:
    said = {
        "carrel": 1,
        "dataset": "admissions",
        "dataset_version": "1",
        "statistic": "count",
        "rows": [{"name": "region", "categories": REGIONS}],
    }
    return orjson.dumps({**said, **more})


def by_region(*counts: int) -> bytes:
    lines = [f"{region},{count}" for region, count in zip(REGIONS, counts, strict=True)]
    return "\n".join(["region,n", *lines, ""]).encode()


def drafted(bench, table: bytes, name: str = "table.csv", said: bytes = b""):
    bench.runtime.put_outbox(bench.workspace, name + SUFFIX, said or sidecar())
    request = bench.draft("export")
    bench.fill(request, **{name.replace(".", "__"): table})
    return request


def examined(bench, request):
    bench.airlock.submit(bench.author, request.id)
    bench.run_work()
    return bench.airlock.get(bench.author, request.id)


def released(bench, table: bytes, **named):
    request = examined(bench, drafted(bench, table, **named))
    bench.approve(request)
    bench.run_work()
    return request


def rules(bench, request) -> list[tuple[str, int | None]]:
    found = bench.airlock.list_findings(bench.author, request.id)
    return [(one.rule, one.row) for one in found if one.scanner == "differencing"]


def test_eleven_then_ten_is_caught_when_the_second_would_leave(bench):
    first = released(bench, by_region(50, 11, 40))
    assert rules(bench, first) == []
    again = examined(bench, drafted(bench, by_region(50, 10, 40), name="again.csv"))
    assert rules(bench, again) == [("near_release", 3)]
    [found] = [
        one
        for one in bench.airlock.list_findings(bench.author, again.id)
        if one.rule == "near_release"
    ]
    assert found.severity is Severity.FLAG
    assert "table.csv" in found.sentence
    assert "10" not in found.sentence.replace(first.id[:8], "")


def test_a_table_that_was_refused_is_not_remembered(bench):
    request = examined(bench, drafted(bench, by_region(50, 11, 40)))
    bench.airlock.review(
        bench.reviewer,
        request.id,
        approve=False,
        explanation="Not a result",
        seen_manifest_sha256=request.manifest_sha256,
    )
    bench.run_work()
    again = examined(bench, drafted(bench, by_region(50, 10, 40), name="again.csv"))
    assert rules(bench, again) == []


def test_two_tables_of_one_request_are_compared_with_each_other(bench):
    request = drafted(bench, by_region(50, 11, 40))
    bench.runtime.put_outbox(bench.workspace, f"again.csv{SUFFIX}", sidecar())
    bench.fill(request, again__csv=by_region(50, 10, 40))
    examined(bench, request)
    assert rules(bench, request) == [("near_release", 3)]


def test_another_dataset_or_version_is_not_compared(bench):
    released(bench, by_region(50, 11, 40))
    for said in (sidecar(dataset="deaths"), sidecar(dataset_version="2")):
        again = examined(bench, drafted(bench, by_region(50, 10, 40), said=said))
        assert rules(bench, again) == []


def test_what_another_workspace_released_is_compared_and_not_named(bench):
    released(bench, by_region(50, 11, 40), name="secret-plan.csv")
    other = Bench(bench.database, store=bench.store)
    again = examined(other, drafted(other, by_region(50, 10, 40)))
    [found] = [
        one
        for one in other.airlock.list_findings(other.author, again.id)
        if one.rule == "near_release"
    ]
    assert "another workspace" in found.sentence
    assert "secret-plan" not in found.sentence


def test_a_table_without_a_sidecar_cannot_be_compared_and_says_so(bench):
    request = bench.in_review("export", table__csv=by_region(50, 11, 40))
    assert rules(bench, request) == [("cannot_compare", None)]


def test_a_sidecar_of_another_table_is_flagged(bench):
    said = sidecar(rows=[{"name": "region", "categories": ["East"]}])
    request = examined(bench, drafted(bench, by_region(50, 11, 40), said=said))
    assert rules(bench, request) == [("sidecar_misfit", None)]


def test_dominance_comes_from_the_contributions_that_the_sidecar_declares(bench):
    cell = {"row": 2, "column": 2, "count": 50, "total": "100", "largest": "80", "second": "15"}
    said = sidecar(statistic="sum", contributions=[cell])
    request = examined(bench, drafted(bench, by_region(100, 110, 400), said=said))
    assert rules(bench, request) == [("nk_dominance", 2), ("p_percent", 2)]


def test_a_sidecar_that_cannot_be_read_stops_the_collection_with_a_sentence(bench):
    bench.runtime.put_outbox(bench.workspace, f"table.csv{SUFFIX}", b'{"carrel": 1, "magic": 2}')
    request = bench.draft("export")
    with pytest.raises(InvalidRequest, match="Write it with carrel_outputs, or remove it"):
        bench.fill(request, table__csv=by_region(50, 11, 40))
    assert not bench.airlock.get(bench.author, request.id).files


def test_new_content_does_not_keep_the_old_sidecar(bench):
    request = drafted(bench, by_region(50, 11, 40))
    bench.runtime.take_from_outbox(bench.workspace, f"table.csv{SUFFIX}")
    bench.fill(request, table__csv=by_region(50, 12, 40))
    assert rules(bench, examined(bench, request)) == [("cannot_compare", None)]


def test_its_author_cannot_talk_a_sidecar_away(bench):
    released(bench, by_region(50, 11, 40))
    request = drafted(bench, by_region(50, 10, 40), name="again.csv")
    bench.airlock.describe_file(bench.author, request.id, "again.csv", {"text": "Harmless"})
    assert rules(bench, examined(bench, request)) == [("near_release", 3)]
