"""Are proofs shown to administrators, over the API and in the portal, and to nobody else?"""

import pytest
from fastapi import FastAPI

from carrel.api.assembly import create_app
from carrel.core.actors import Actor, TreRole, system
from carrel.core.audit import Audit
from carrel.core.clock import ManualClock
from carrel.core.ids import new_id
from carrel.core.settings import load
from carrel.core.web import Services
from carrel.evidence import pages, routes
from carrel.evidence.rules import Line, Outcome, Probe, Proof, Report
from carrel.evidence.service import Proofs
from tests.factories import make_database
from tests.web import app_client

PEOPLE = {
    "ada": Actor("a", "Ada", frozenset({TreRole.ADMIN})),
    "rosa": Actor("r", "Rosa", frozenset({TreRole.USER})),
}
THROUGH = Outcome("open", "<b>connected</b>", "root")
REFUSED = Outcome("ENETUNREACH", "no route")
PROBE = Probe("net-x", "1", "connect somewhere", "tcp", frozenset({"ENETUNREACH"}))
CLOSED = Report([Line(PROBE, REFUSED, THROUGH)], "A")
OPEN = Report([Line(PROBE, THROUGH, THROUGH)], "C", ["gateway: not asked for"])


class ByHeader:
    """Believes the header `who`."""

    def authenticate(self, request):
        return PEOPLE.get(request.headers.get("who", ""))

    def csrf_token(self, request):
        return ""


@pytest.fixture
def proofs(tmp_path):
    database, clock = make_database(tmp_path), ManualClock()
    yield Proofs(database=database, audit=Audit(clock), clock=clock)
    database.close()


@pytest.fixture
def app(proofs, tmp_path) -> FastAPI:
    services = Services()
    services.add(proofs)
    return create_app(services, load(tmp_path), ByHeader(), [pages.router], [routes.router])


def keep(proofs: Proofs, report: Report) -> Proof:
    return proofs.keep(system("prove"), report, seconds=20)


def test_an_administrator_reads_proofs_over_the_api(app, proofs):
    kept = keep(proofs, OPEN)
    client = app_client(app, headers={"who": "ada"})

    (listed,) = client.get("/api/evidence/proofs").json()["proofs"]
    assert (listed["id"], listed["open"], listed["level"]) == (kept.id, 1, "C")
    assert "report" not in listed

    whole = client.get(f"/api/evidence/proofs/{kept.id}").json()["proof"]
    assert whole["report"] == OPEN.to_json()


@pytest.mark.parametrize("path", ["/api/evidence/proofs", "/evidence"])
def test_nobody_else_reads_them(app, proofs, path):
    kept = keep(proofs, OPEN)
    one = f"{path}/{kept.id}" if path.startswith("/api") else f"{path}/proofs/{kept.id}"
    for address in (path, one):
        assert app_client(app, headers={"who": "rosa"}).get(address).status_code == 403
        stranger = app_client(app).get(address)
        assert stranger.status_code in (303, 401)
        assert "net-x" not in stranger.text


def test_an_unknown_proof_is_not_found(app):
    client = app_client(app, headers={"who": "ada"})
    assert client.get(f"/api/evidence/proofs/{new_id()}").status_code == 404
    assert client.get("/evidence/proofs/nothing").status_code == 404


def test_the_page_says_first_whether_a_way_is_open(app, proofs):
    client = app_client(app, headers={"who": "ada"})
    assert "No proof yet" in client.get("/evidence").text
    keep(proofs, CLOSED)
    assert "Every way out is closed" in client.get("/evidence").text
    proofs._clock.advance(60)
    keep(proofs, OPEN)
    page = client.get("/evidence").text
    assert "A way out is open" in page
    assert "Every way out is closed" not in page


def test_a_proof_s_page_shows_its_lines_and_runs_nothing_of_them(app, proofs):
    kept = keep(proofs, OPEN)
    page = app_client(app, headers={"who": "ada"}).get(f"/evidence/proofs/{kept.id}").text
    assert "connect somewhere" in page
    assert "&lt;b&gt;connected" in page
    assert "<b>connected" not in page
    assert "gateway: not asked for" in page
