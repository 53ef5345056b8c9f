"""Do two people come to one decision in the browser, each on their own first, by keyboard?"""

from playwright.sync_api import Page, expect

from carrel.core.actors import WorkspaceRole, system
from tests.browser.conftest import Visitors
from tests.browser.site import Site
from tests.browser.story import Story
from tests.browser.test_accessibility import violations

NAMES = [f"table{number:02}.csv" for number in range(1, 13)]
TITLE = "Twelve tables"


def table(number: int) -> bytes:
    return b"group,n\nold,%d\nyoung,85\n" % (100 + 5 * number)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the button, link or field of this name has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => { const at = document.activeElement, shown = at.labels && at.labels[0] || at;
            return (shown.innerText || "").trim().replace(/\\s+/g, " "); }"""
        )
        if found == name:
            return
    raise AssertionError(f"Tab never reaches {name!r}")


def press(page: Page, name: str) -> None:
    with page.expect_navigation():
        tab_to(page, name)
        page.keyboard.press("Enter")


def raised(author: Page, site: Site, story: Story) -> None:
    """Raise a request of twelve files, from the workspace's outbox."""
    for number, name in enumerate(NAMES):
        site.runtime.put_outbox(story.prescribing.id, name, table(number))
    author.goto(f"{site.url}/workspaces/{story.prescribing.id}/airlock/new/export")
    author.get_by_label("Title").fill(TITLE)
    author.get_by_label("Why should it cross?").fill("For the appendix.")
    for name in NAMES:
        author.get_by_label(name).check()
    author.get_by_role("button", name="Save as draft").click()
    author.get_by_role("button", name="Seal and submit").click()
    expect(author.get_by_text("In review").first).to_be_visible()


def open_request(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/airlock")
    press(page, TITLE)


def approve_all(page: Page) -> None:
    """Vote on every file, from one to the next, with Tab and Enter alone."""
    press(page, NAMES[0])
    for number in range(1, len(NAMES) + 1):
        expect(page.get_by_text(f"File {number} of {len(NAMES)}.")).to_be_visible()
        press(page, "Approve this file")
    expect(page.get_by_role("heading", name="Review by 2")).to_be_visible()


def test_two_reviewers_return_and_then_approve_a_request_of_twelve_files(
    visitors: Visitors, site: Site, story: Story
):
    for username, name in (("priya", "Priya Nair"), ("owen", "Owen Hale")):
        account = site.add_person(username, name)
        site.people.assign_role(
            system("tests"), story.prescribing.id, account.id, WorkspaceRole.AIRLOCK_MANAGER
        )
    tomas = site.people.find_account_by_name("tomas")
    assert tomas is not None
    site.people.assign_role(
        system("tests"), story.prescribing.id, tomas.id, WorkspaceRole.RESEARCHER
    )
    rules = visitors("ada").go(f"/workspaces/{story.prescribing.id}/airlock/policy")
    rules.get_by_label("Two").check()
    rules.get_by_label("Reviewers see nothing of each other").check()
    rules.get_by_role("button", name="Save the policy").click()
    expect(rules.get_by_text("Version 1")).to_be_visible()
    author = visitors("tomas").go("/airlock")
    raised(author, site, story)

    priya, owen = visitors("priya").go("/airlock"), visitors("owen").go("/airlock")
    open_request(priya, site)
    approve_all(priya)
    press(priya, "Submit your review")
    expect(priya.get_by_text("Partly reviewed").first).to_be_visible()
    open_request(owen, site)
    expect(owen.get_by_text("Not to be seen").first).to_be_visible()
    approve_all(owen)
    press(owen, NAMES[-1])
    owen.get_by_role("button", name="Request changes").press("Enter")
    owen.get_by_label("Comment", exact=True).fill("Which year is this?")
    owen.get_by_role("button", name="Comment").press("Enter")
    expect(owen.locator("dd p", has_text="Which year is this?")).to_be_visible()
    assert violations(owen) == []
    owen.get_by_label("What do you say of the whole?").fill("The last table has no year.")
    owen.get_by_role("button", name="Submit your review").press("Enter")
    expect(owen.get_by_text("Priya Nair: approve").first).to_be_visible()
    expect(owen.get_by_text("Conflicted").first).to_be_visible()
    assert violations(owen) == []
    owen.get_by_label("Return to the author").press("Space")
    owen.get_by_label("Explanation").fill("Please say the year in the last table.")
    owen.get_by_role("button", name="Decide").press("Enter")

    author.goto(author.url)
    expect(author.get_by_text("Please say the year in the last table.").first).to_be_visible()
    expect(author.get_by_text("Which year is this?")).to_have_count(0)  # it was private
    site.runtime.put_outbox(story.prescribing.id, NAMES[-1], b"group 2025,n\nold,155\nyoung,85\n")
    author.get_by_label(NAMES[-1]).first.check()
    author.get_by_role("button", name="Take the chosen files").click()
    author.get_by_role("button", name="Seal and submit").click()
    expect(author.get_by_text("In review").first).to_be_visible()

    for page in (priya, owen):
        open_request(page, site)
        expect(page.get_by_text("changed since the last version")).to_be_visible()
        expect(page.get_by_text("Not yet")).to_have_count(1)  # eleven approvals stand
        press(page, NAMES[-1])
        press(page, "Approve this file")
        press(page, "Submit your review")
    owen.get_by_label("Approve").press("Space")
    press(owen, "Decide")
    expect(owen.get_by_text("Approved").first).to_be_visible(timeout=15_000)
    author.reload()
    with author.expect_download() as download:
        author.get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename.endswith(".zip")
