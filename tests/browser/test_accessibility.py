"""Can everybody use every page? axe-core on each route, with data in it (WCAG 2.2 AA)."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import AXE, Visitor, Visitors
from tests.browser.routes import NO_PAGE, VISITORS, Address, addresses, page_routes
from tests.browser.site import Site
from tests.browser.story import Story

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """async tags => (await axe.run(document, {runOnly: tags})).violations.map(
    rule => `${rule.id}: ${rule.help} at ${rule.nodes.map(node => node.target).join(", ")}`)"""


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong on the page that is open."""
    page.evaluate(AXE.read_text())  # not a script element: the page's own policy stays in force
    found: list[str] = page.evaluate(_RUN, TAGS)
    return found


def test_no_page_is_forgotten(site: Site):
    assert page_routes(site.app) == set(VISITORS) | set(NO_PAGE)


EVERYBODY = ("ada", "mina", "nobody", "ruth", "tomas", None)


@pytest.fixture
def people(visitors: Visitors) -> dict[str | None, Visitor]:
    return {name: visitors(name) for name in EVERYBODY}


def visit(people: dict[str | None, Visitor], address: Address) -> Page:
    page = people[address.username].go(address.path)
    assert page.locator("main h1").count() == 1, f"{address}: not one h1"
    return page


def test_every_page_is_free_of_violations(people, story: Story):
    people["mina"].go("/account").get_by_role("button", name="Set up an app").click()
    found = {
        address: wrong
        for address in addresses(story)
        if (wrong := violations(visit(people, address)))
    }
    assert not found, "\n".join(f"{where}: {wrong}" for where, wrong in found.items())


def test_the_check_itself_sees_a_field_without_a_label(visitors: Visitors):
    page = visitors().go("/sign-in")
    page.evaluate("document.querySelector('label[for=username]').remove()")
    assert any(wrong.startswith("label:") for wrong in violations(page))


def test_every_page_fits_a_telephone(visitors: Visitors, story: Story):
    phones = {name: visitors(name, viewport={"width": 360, "height": 740}) for name in EVERYBODY}
    wide = []
    for address in addresses(story):
        page = visit(phones, address)
        if page.evaluate("document.documentElement.scrollWidth") > 360:
            wide.append(address)
    assert not wide


def test_refused_forms_are_accessible_and_name_the_field(visitors: Visitors, story: Story):
    page = visitors("ada").go("/new-workspace/restricted")
    page.get_by_label("Disk (GiB)").fill("a lot")
    page.get_by_role("button", name="Create workspace").click()
    summary = page.get_by_role("alert")
    summary.get_by_role("link", name="Disk (GiB) must be a whole number").click()
    assert page.evaluate("document.activeElement.id") == "disk_gib"
    assert page.get_by_label("Disk (GiB)").input_value() == "a lot"
    assert page.title().startswith("Error: ")
    assert violations(page) == []
