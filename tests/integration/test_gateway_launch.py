"""Do the portal's launch button and the API's launch route lead to the gateway?"""

import asyncio

import pytest
from argon2 import PasswordHasher

from carrel.api.assembly import create_app
from carrel.core.actors import TreRole, system
from carrel.core.audit import Audit
from carrel.core.clock import ManualClock, monotonic
from carrel.core.errors import Unavailable
from carrel.core.events import Events
from carrel.core.ids import new_id
from carrel.core.secrets import KeyRing
from carrel.core.settings import load
from carrel.core.web import Services
from carrel.gateway import pages, routes
from carrel.gateway.epochs import PolledEpochs, SqliteEpochs
from carrel.gateway.service import Entrance
from carrel.people import pages as people_pages
from carrel.people import routes as people_routes
from carrel.people.access import bump_access_epoch
from carrel.people.authenticator import RequestAuthenticator
from carrel.people.passwords import Passwords
from carrel.people.proofs import local_proofs
from carrel.people.service import People
from tests.factories import any_workspace, make_database
from tests.gateway_world import MemoryEndpoints, Tool
from tests.web import app_client

PASSWORD = "correct horse battery"


@pytest.fixture
def world(tmp_path):
    clock, settings, keys = ManualClock(), load(tmp_path), KeyRing(tmp_path)
    database, audit = make_database(tmp_path), Audit(clock)
    hashing = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    people = People(
        database=database,
        audit=audit,
        events=Events(),
        clock=clock,
        settings=settings,
        proofs=local_proofs(database, keys, hashing),
        is_workspace=any_workspace,
    )
    rosa = people.create_account(
        system("test"),
        username="rosa",
        display_name="Rosa",
        password=PASSWORD,
        tre_roles=frozenset({TreRole.USER}),
    )
    tool = Tool(resource_id=new_id(), workspace_id=new_id(), owner_id=rosa.id)
    endpoints = MemoryEndpoints({tool.resource_id: tool})
    entrance = Entrance(
        database=database, audit=audit, clock=clock, settings=settings, endpoints=endpoints
    )
    services = Services()
    services.add(people, entrance)
    authenticator = RequestAuthenticator(people=people, keys=keys, settings=settings)
    app = create_app(
        services,
        settings,
        authenticator,
        [people_pages.router, pages.router],
        [people_routes.router, routes.router],
    )
    yield app, tool, entrance
    database.close()


def test_a_program_gets_the_address_and_a_stranger_nothing(world):
    app, tool, entrance = world
    client = app_client(app)
    answer = client.post("/api/sign-in", json={"username": "rosa", "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    url = client.post(f"/api/launch/{tool.resource_id}").json()["url"]
    assert url.startswith(f"https://w-{tool.workspace_id}.carrel.localhost:8444/enter?ticket=")
    assert entrance.redeem(url.partition("ticket=")[2]).resource_id == tool.resource_id
    assert client.post(f"/api/launch/{new_id()}").status_code == 404
    assert app_client(app).post(f"/api/launch/{tool.resource_id}").status_code == 401


def test_a_browser_is_sent_to_the_gateway_only_from_the_portals_own_form(world):
    app, tool, _ = world
    client = app_client(app, headers={"Sec-Fetch-Site": "same-origin"})
    client.post("/sign-in", data={"username": "rosa", "password": PASSWORD})
    path = f"/launch/{tool.resource_id}"
    assert client.post(path).status_code == 403
    page = client.get("/account").text
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    answer = client.post(path, data={"csrf_token": token})
    assert answer.status_code == 303
    assert "/enter?ticket=" in answer.headers["location"]


def test_the_epoch_is_seen_at_once_on_sqlite(tmp_path):
    database = make_database(tmp_path)
    epochs = SqliteEpochs(str(tmp_path / "test.db"))
    before = epochs.current()
    with database.write() as connection:
        bump_access_epoch(connection)
    deadline = monotonic() + 1
    while epochs.current() == before:
        assert monotonic() < deadline
    assert epochs.current() == before + 1
    epochs.close()
    database.close()


def test_a_polled_epoch_is_unknown_until_it_was_read(database):
    epochs = PolledEpochs(database)
    with pytest.raises(Unavailable):
        epochs.current()
    asyncio.run(epochs.refresh())
    before = epochs.current()
    with database.write() as connection:
        bump_access_epoch(connection)
    asyncio.run(epochs.refresh())
    assert epochs.current() == before + 1
