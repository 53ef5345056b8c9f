"""Can people do their work in the portal, from sign-in to an approved export?"""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitors
from tests.browser.site import PASSWORD, Site
from tests.browser.story import TABLE, Story


def create_workspace(page: Page, site: Site, name: str) -> None:
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="Create a workspace").first.click()
    page.get_by_role("link", name="Restricted workspace", exact=True).click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Owner").select_option(label="Ruth Whitmore (ruth)")
    page.get_by_role("button", name="Create workspace").click()
    expect(page.get_by_role("heading", name=f"Created {name}")).to_be_visible()


def test_a_page_asks_to_sign_in_and_then_shows_what_was_wanted(visitors: Visitors, story: Story):
    visitor = visitors()
    page = visitor.go(f"/workspaces/{story.study.id}/audit")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("User name").fill("tomas")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("User name").fill("tomas")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Audit trail")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(visitor.go("/").get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_workspace_is_created_and_its_steps_appear_live(visitors: Visitors, site: Site):
    page = visitors("ada").page
    create_workspace(page, site, "Asthma in winter")
    expect(page.locator(".steps li.done").first).to_be_visible()
    page.get_by_role("button", name="Go to the workspace").click()
    expect(page.get_by_role("heading", name="Asthma in winter")).to_be_visible()
    expect(page.get_by_text("You see the outside only")).to_be_visible()


def test_the_same_works_without_scripts(visitors: Visitors, site: Site):
    page = visitors("ada", java_script_enabled=False).page
    create_workspace(page, site, "Without scripts")
    page.get_by_role("button", name="Go to the workspace").click()
    expect(page.get_by_role("heading", name="Without scripts")).to_be_visible()


def test_a_form_that_is_sent_twice_makes_one_workspace(visitors: Visitors, site: Site):
    page = visitors("ada").go("/new-workspace/restricted")
    page.get_by_label("Name", exact=True).fill("Only once")
    body = page.evaluate("new URLSearchParams(new FormData(document.querySelector('.form'))) + ''")
    send = """async body => (await fetch(location.href, {method: "POST", body,
        headers: {"Content-Type": "application/x-www-form-urlencoded"}})).url"""
    assert page.evaluate(send, body) == page.evaluate(send, body)
    found = site.workspaces.list_workspaces(site.actor("ada"))
    assert [each.display_name for each in found].count("Only once") == 1


def test_a_taken_name_is_refused_beside_the_field(visitors: Visitors, story: Story):
    page = visitors("ada").go("/new-workspace/restricted")
    page.get_by_label("Name", exact=True).fill(story.study.display_name.upper())
    page.get_by_role("button", name="Create workspace").click()
    expect(page.locator("#display_name-error")).to_contain_text("Choose another name")


def test_a_researcher_starts_a_tool_opens_and_stops_it(visitors: Visitors, story: Story):
    visitor = visitors("tomas")
    page = visitor.go(f"/workspaces/{story.frailty.id}")
    page.get_by_role("button", name="New tool in Notebooks").click()
    page.get_by_role("button", name="Create user resource").click()
    page.get_by_role("button", name=re.compile("^Open JupyterLab")).click()
    expect(page.get_by_text("Inside the sandbox at /ws/")).to_be_visible()
    assert page.url.startswith(visitor.site.settings.gateway_url(story.frailty.id))
    visitor.go(f"/workspaces/{story.frailty.id}")
    page.get_by_role("button", name=re.compile("^Stop")).click()
    expect(page.get_by_role("heading", name=re.compile("^Stopped"))).to_be_visible()
    visitor.go(f"/workspaces/{story.frailty.id}")
    expect(page.get_by_role("button", name=re.compile("^Start"))).to_be_visible()


def test_an_owner_gives_a_role_and_takes_it_away(visitors: Visitors, story: Story):
    page = visitors("ruth").go(f"/workspaces/{story.study.id}/members")
    page.get_by_label("User name").fill("who")
    page.get_by_role("button", name="Give this role").click()
    expect(page.locator("#username-error")).to_contain_text("no account with this user name")
    page.get_by_label("User name").fill("nobody")
    page.get_by_label("Airlock manager").check()
    page.get_by_role("button", name="Give this role").click()
    expect(page.get_by_role("main").get_by_text("Noor Haddad")).to_have_count(2)
    page.get_by_role("button", name="Remove Noor Haddad as Airlock manager").click()
    expect(page.get_by_role("main").get_by_text("Noor Haddad")).to_have_count(0)


def test_a_researcher_cannot_change_members(visitors: Visitors, story: Story):
    page = visitors("tomas").go(f"/workspaces/{story.study.id}/members")
    expect(page.get_by_text("Give this role")).to_have_count(0)


def test_strangers_find_nothing(visitors: Visitors, story: Story):
    visitor = visitors("nobody")
    for path in (
        f"/workspaces/{story.study.id}",
        f"/workspaces/{story.study.id}/audit",
        f"/workspaces/{story.study.id}/members",
        f"/resources/{story.lab.id}",
        f"/operations/{story.operation.id}",
        f"/operations/{story.operation.id}/stream",
        f"/workspaces/{story.study.id}/airlock/{story.in_review.id}",
    ):
        answer = visitor.page.goto(f"{visitor.site.url}{path}")
        assert answer is not None
        assert answer.status == 404, path


def test_a_change_by_somebody_else_in_between_is_told(visitors: Visitors, site: Site, story: Story):
    page = visitors("ruth").go(f"/resources/{story.service.id}/settings")
    site.workspaces.update(
        site.actor("ada"), story.service.id, etag="*", properties={"description": "Python, R"}
    )
    page.get_by_label("Description").fill("Mine")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_label("Description").input_value() == "Mine"


def test_deleting_asks_for_the_name_and_leaves_nothing(visitors: Visitors, site: Site):
    page = visitors("ada").page
    create_workspace(page, site, "Soon gone")
    page.get_by_role("button", name="Go to the workspace").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Go to the workspace").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_label("Type its name to confirm").fill("Soon")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator("#name-error")).to_contain_text("Soon gone")
    page.get_by_label("Type its name to confirm").fill("Soon gone")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="Deleted")).to_be_visible()
    expect(page.get_by_role("button", name="Go to my workspaces")).to_be_visible()


def test_an_export_is_raised_by_one_person_and_approved_by_another(
    visitors: Visitors, site: Site, story: Story
):
    site.runtime.put_outbox(story.study.id, "figures/table4.csv", TABLE)
    author = visitors("tomas").go(f"/workspaces/{story.study.id}")
    author.get_by_role("link", name="Airlock", exact=True).last.click()
    author.get_by_role("button", name="Take results out").click()
    author.get_by_label("Title").fill("Table 4")
    author.get_by_label("Why should it cross?").fill("For the appendix.")
    author.get_by_label("figures/table4.csv").check()
    author.get_by_role("button", name="Save as draft").click()
    author.get_by_role("button", name="Seal and submit").click()
    expect(author.get_by_text("In review").first).to_be_visible()
    expect(author.get_by_role("button", name="Decide")).to_have_count(0)
    reviewer = visitors("mina").go("/airlock")
    reviewer.get_by_role("link", name="Table 4").click()
    reviewer.get_by_label("Approve").check()
    reviewer.get_by_role("button", name="Decide").click()
    expect(reviewer.get_by_text("Approved").first).to_be_visible()
    author.reload()
    expect(author.get_by_role("button", name="Download", exact=True)).to_be_visible()


def test_the_chain_is_verified_on_request(visitors: Visitors):
    page = visitors("ada").go("/audit")
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.get_by_text("The chain is intact")).to_be_visible()
