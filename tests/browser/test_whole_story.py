"""Can people do a study in the browser alone, on a whole TRE, with the real JupyterLab?"""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.ids import new_id

pytestmark = [pytest.mark.root, pytest.mark.machine]
PASSWORD = "three-random-words-here"
RESULT = "group,patients\nA,40\nB,65\n"
CELL = f"open('/outbox/result.csv', 'w').write({RESULT!r}); print('answer', 6 * 7)"

Window = Callable[[str], Page]


@pytest.fixture
def names(tre: ThrowAwayTre, admin: Person) -> dict[str, str]:
    """Accounts made for this story: user name by part."""
    mark = new_id()[:6]
    made = {part: f"{part}-{mark}" for part in ("owner", "researcher", "checker", "chief")}
    for part, username in made.items():
        roles = ["TREAdmin", "TREUser"] if part == "chief" else ["TREUser"]
        body = {"username": username, "display_name": f"{part.title()} {mark}"}
        admin.post("/api/accounts", {**body, "password": PASSWORD, "tre_roles": roles})
    return made


@pytest.fixture
def window(browser: Browser, tre: ThrowAwayTre) -> Iterator[Window]:
    """Opens a browser of its own for a person and signs in."""
    contexts = []

    def open_for(username: str) -> Page:
        context = browser.new_context(
            ignore_https_errors=True, viewport={"width": 1280, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(f"{tre.settings.portal_url}/sign-in")
        page.get_by_label("User name").fill(username)
        page.locator("input[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{tre.settings.portal_url}/")
        return page

    yield open_for
    for context in contexts:
        context.close()


def test_a_study_from_sign_in_to_released_result(
    tre: ThrowAwayTre, window: Window, names: dict[str, str], tmp_path: Path
):
    title = f"Story {new_id()[:6]}"
    address = create_workspace(window(names["chief"]), title, names)
    add_notebooks(window(names["owner"]), address, names)
    author = window(names["researcher"])
    compute(author, address)
    raise_export(author, tre, address)
    approve(window(names["checker"]))
    assert download(author, tmp_path) == {"result.csv": RESULT.encode()}


def create_workspace(page: Page, title: str, names: dict[str, str]) -> str:
    page.get_by_role("button", name="Create a workspace").first.click()
    page.get_by_role("link", name="Restricted workspace", exact=True).click()
    page.get_by_label("Name", exact=True).fill(title)
    owner = page.get_by_label("Owner").locator("option", has_text=f"({names['owner']})")
    page.get_by_label("Owner").select_option(label=owner.inner_text())
    page.get_by_role("button", name="Create workspace").click()
    expect(page.get_by_role("heading", name=f"Created {title}")).to_be_visible()
    page.get_by_role("button", name="Go to the workspace").click()
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    return page.url


def add_notebooks(page: Page, address: str, names: dict[str, str]) -> None:
    for part, role in (("researcher", "Researcher"), ("checker", "Airlock manager")):
        page.goto(f"{address}/members")
        page.get_by_label("User name").fill(names[part])
        page.get_by_label(role, exact=True).check()
        page.get_by_role("button", name="Give this role").click()
        expect(page.get_by_role("main").get_by_text(names[part]).first).to_be_visible()
    page.goto(address)
    page.get_by_role("button", name=re.compile("^Add a service")).first.click()
    page.get_by_role("link", name="Notebooks", exact=True).click()
    page.get_by_role("button", name=re.compile("^Create")).click()
    expect(page.get_by_role("heading", name=re.compile("^Created"))).to_be_visible()


def compute(page: Page, address: str) -> None:
    """Open JupyterLab through the gateway and execute a cell with the keyboard."""
    page.goto(address)
    page.get_by_role("button", name=re.compile("^New tool")).click()
    page.get_by_role("button", name="Create user resource").click()
    page.get_by_role("button", name=re.compile("^Open JupyterLab")).click()
    page.locator(".jp-LauncherCard[data-category=Notebook]", has_text="Python 3").click()
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click()
    page.keyboard.type(CELL, delay=1)
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("answer 42")


def raise_export(page: Page, tre: ThrowAwayTre, address: str) -> None:
    page.goto(f"{address}/airlock")
    assert page.url.startswith(tre.settings.portal_url)
    page.get_by_role("button", name="Take results out").click()
    page.get_by_label("Title").fill("Two groups")
    page.get_by_label("Why should it cross?").fill("For the paper.")
    page.get_by_label("result.csv").check()
    page.get_by_role("button", name="Save as draft").click()
    page.get_by_role("button", name="Seal and submit").click()
    expect(page.get_by_text("In review").first).to_be_visible(timeout=30_000)
    digest = hashlib.sha256(RESULT.encode()).hexdigest()
    expect(page.get_by_text(digest[:12]).first).to_be_attached()
    expect(page.get_by_role("button", name="Decide")).to_have_count(0)


def approve(page: Page) -> None:
    page.get_by_role("link", name="Airlock", exact=True).click()
    page.get_by_role("link", name="Two groups").click()
    page.get_by_label("Approve").check()
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_text("Approved").first).to_be_visible(timeout=30_000)


def download(page: Page, folder: Path) -> dict[str, bytes]:
    """Download the release; returns its files without the manifest."""
    page.reload()
    with page.expect_download() as started:
        page.get_by_role("button", name="Download", exact=True).click()
    path = folder / "release.zip"
    started.value.save_as(path)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith(".csv")}
