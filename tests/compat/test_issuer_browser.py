"""Does a person in a real browser get Microsoft's own libraries their tokens?"""

import queue
import threading
import webbrowser
from collections.abc import Callable, Iterator

import pytest
from azure.identity import (
    ClientSecretCredential,
    DeviceCodeCredential,
    InteractiveBrowserCredential,
)
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.site import PASSWORD
from tests.compat.issuer import BrowserPerson, Portal


class Asks(webbrowser.GenericBrowser):
    """The "browser" of this machine: tells the test which page it should open."""

    wanted: "queue.Queue[str]" = queue.Queue()

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        del new, autoraise
        self.wanted.put(url)
        return True


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    """Make it the browser that `webbrowser.open` uses."""
    webbrowser.register("tests", None, Asks("tests"), preferred=True)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(ignore_https_errors=True)
        opened = context.new_page()
        opened.set_default_timeout(10_000)
        yield opened
        browser.close()


def beside(run: Callable[[], object]) -> tuple[threading.Thread, "queue.Queue[object]"]:
    """Run what waits for the browser in another thread; its result comes in the queue."""
    results: queue.Queue[object] = queue.Queue()
    thread = threading.Thread(target=lambda: results.put(run()))
    thread.start()
    return thread, results


def sign_in(page: Page, username: str) -> None:
    page.get_by_label("User name").fill(username)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_msal_signs_a_person_in_through_the_browser(portal: Portal, page: Page):
    app = portal.public()
    thread, results = beside(lambda: app.acquire_token_interactive([portal.core_scope], timeout=30))
    page.goto(Asks.wanted.get(timeout=10))
    sign_in(page, "ada")
    page.get_by_role("heading", name="Continue to a program on your computer?").wait_for()
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("Authentication complete").or_(page.get_by_text("completed")).wait_for()
    thread.join(20)
    answer = results.get(timeout=1)
    assert answer["id_token_claims"]["preferred_username"] == "ada"
    shown = portal.call(answer["access_token"], "GET", "/api/workspaces")
    assert shown.status_code == 200, shown.text


def test_a_person_may_say_no(portal: Portal, page: Page):
    app = portal.public()
    thread, results = beside(lambda: app.acquire_token_interactive([portal.core_scope], timeout=30))
    page.goto(Asks.wanted.get(timeout=10))
    sign_in(page, "ada")
    page.get_by_role("button", name="Stop").click()
    thread.join(20)
    assert results.get(timeout=1)["error"] == "access_denied"


def test_azure_identity_signs_a_person_in_through_the_browser(portal: Portal, page: Page):
    with InteractiveBrowserCredential(
        authority=portal.url,
        tenant_id=portal.tenant,
        client_id=portal.client_id,
        disable_instance_discovery=True,
        connection_verify=portal.ca,
        timeout=30,
    ) as credential:
        thread, results = beside(lambda: credential.get_token(portal.core_scope))
        page.goto(Asks.wanted.get(timeout=10))
        sign_in(page, "ada")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("Authentication complete").wait_for()
        thread.join(20)
        token = results.get(timeout=1)
    shown = portal.call(token.token, "GET", "/api/workspaces")
    assert shown.status_code == 200, shown.text


def test_azure_identity_gets_a_token_by_device_code(portal: Portal):
    person = BrowserPerson(portal, "ada")
    with DeviceCodeCredential(
        portal.client_id,
        authority=portal.url,
        tenant_id=portal.tenant,
        disable_instance_discovery=True,
        connection_verify=portal.ca,
        prompt_callback=lambda _page, code, _until: person.allow_device(code),
    ) as credential:
        token = credential.get_token(portal.core_scope)
    person.close()
    shown = portal.call(token.token, "GET", "/api/workspaces")
    assert shown.status_code == 200, shown.text


def test_azure_identity_gets_a_token_by_a_secret(portal: Portal):
    client_id, secret, _ = portal.application("Azure identity")
    with ClientSecretCredential(
        portal.tenant,
        client_id,
        secret,
        authority=portal.url,
        disable_instance_discovery=True,
        connection_verify=portal.ca,
    ) as credential:
        token = credential.get_token(f"api://{portal.client_id}/.default")
    shown = portal.call(token.token, "GET", "/api/workspaces")
    assert shown.status_code == 200, shown.text
