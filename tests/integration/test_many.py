"""Do fifty workspaces at once all come up, keep apart, and go away whole?"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.ids import new_id

pytestmark = [pytest.mark.root, pytest.mark.machine, pytest.mark.timeout(900)]
COUNT = 50


def test_fifty_workspaces_at_once(tre: ThrowAwayTre, admin: Person, record_property):
    mark = new_id()[:6]

    def create(number: int) -> tuple[str, str, float]:
        name = f"Many {mark} {number}"
        started = time.monotonic()
        body = {
            "templateName": "restricted",
            "properties": {"display_name": name, "description": "One of fifty"},
        }
        created = admin.post("/api/workspaces", body)
        admin.wait(created)
        return created["operation"]["resourceId"], name, time.monotonic() - started

    with ThreadPoolExecutor(COUNT) as pool:
        made = list(pool.map(create, range(COUNT)))
    assert len({workspace for workspace, _, _ in made}) == COUNT
    for workspace, name, _ in made:
        shown = admin.get(f"/api/workspaces/{workspace}")["workspace"]
        assert shown["properties"]["display_name"] == name
        assert shown["deploymentStatus"] == "deployed"
    seconds = sorted(took for _, _, took in made)
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(
        f"\n{COUNT} workspaces at once: median {statistics.median(seconds):.2f} s, p95 {p95:.2f} s"
    )
    record_property("p95_seconds", p95)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda row: admin.delete_resource(f"/api/workspaces/{row[0]}"), made))
    left = tre.carrel_json("status", "--leftovers", "--json", failing_is_an_answer=True)
    gone = {workspace for workspace, _, _ in made}
    assert not [entry for entry in left["leftovers"] if entry["workspace_id"] in gone]
