"""Are the pages on which people let programs in clear, accessible, and small enough?"""

from urllib.parse import urlencode

from carrel.people.issuer.rules import CLI_CLIENT_ID, CLI_SCOPE
from carrel.people.issuer.service import Issuer
from tests.browser.conftest import Visitors
from tests.browser.site import Site
from tests.browser.test_accessibility import violations


def test_a_person_lets_a_program_in(visitors: Visitors, site: Site):
    issuer = site.carrel.services.get(Issuer)
    device = issuer.devices.start(issuer.client(CLI_CLIENT_ID), CLI_SCOPE, "192.0.2.7")
    page = visitors("ruth", viewport={"width": 360, "height": 740}).go("/device")
    page.get_by_label("Code").fill("BCDF-GHJK")
    page.get_by_role("button", name="Continue").click()
    assert "There is no such code" in page.get_by_role("alert").inner_text()
    assert violations(page) == []
    page.get_by_label("Code").fill(device["user_code"].lower())
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="Let this program in as Ruth Whitmore?").wait_for()
    assert "192.0.2.7" in page.locator("main").inner_text()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Let it in").click()
    page.get_by_role("heading", name="The program is signed in").wait_for()
    assert violations(page) == []


def test_a_person_is_asked_in_words_before_a_program_is_answered(visitors: Visitors, site: Site):
    issuer = site.carrel.services.get(Issuer)
    wish = {
        "client_id": issuer.identity.api_client_id,
        "response_type": "code",
        "redirect_uri": "http://localhost:8400",
        "scope": f"{issuer.identity.api_root_scope} openid",
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
    }
    path = f"/{issuer.identity.tenant_id}/oauth2/v2.0/authorize?{urlencode(wish)}"
    page = visitors("ruth").go(path)
    page.get_by_role("heading", name="Continue to a program on your computer?").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="Use another account").click()
    page.get_by_role("heading", name="Sign in").wait_for()
