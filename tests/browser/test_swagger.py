"""Does Swagger UI start in a real browser under the strict policy, ready to sign in?"""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser

from carrel.app import make_web
from carrel.core.database import Database
from tests.api import make_world

SOME = "0a0b0c0d-0000-4000-8000-000000000000"


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    world = make_world(Database(f"sqlite:///{tmp_path / 'test.db'}"), tmp_path, portal_port=port)
    config = uvicorn.Config(make_web(world.carrel), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)
    listener.close()
    world.close()


@pytest.mark.parametrize("path", ["/api/docs", f"/api/workspaces/{SOME}/docs"])
def test_swagger_starts_without_an_error_and_knows_how_to_sign_in(
    portal: str, browser: Browser, path: str
):
    complaints: list[str] = []
    page = browser.new_page()
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{portal}{path}")
    page.wait_for_selector(".opblock-tag")
    page.click("button.authorize")
    client = page.locator("#client_id_authorizationCode").input_value()
    scopes = page.locator(".scopes input[type=checkbox]:checked")
    assert scopes.count() == 1
    audience = SOME if SOME in path else client
    name = f"api://{audience}/user_impersonation"
    assert (scopes.first.get_attribute("id") or "").startswith(name)
    page.close()
    assert complaints == []
