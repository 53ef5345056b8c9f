"""What do all browser tests share? One portal full of data, one Chromium, one window each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.site import PASSWORD, Site, free_port, running
from tests.browser.story import Story, tell

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * 127.0.0.1",
]
AXE = Path(__file__).parents[2] / ".cache/npm/node_modules/axe-core/axe.min.js"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots",
        action="store_true",
        help="write the pictures of the documentation to docs/images",
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A portal on HTTPS with a worker, empty."""
    with running(Site(tmp_path_factory.mktemp("site"), free_port())) as served:
        yield served


@pytest.fixture(scope="session")
def story(site: Site) -> Story:
    """The portal's content."""
    return tell(site)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, kept off the network."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


class Visitor:
    """One person at a browser of their own."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context = context
        self.site = site
        self.page: Page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        """Note what the browser finds wrong with pages of the portal (not of the tools)."""
        is_ours = message.location["url"].startswith(self.site.url)
        is_answer = "Failed to load resource" in message.text  # a 404 that the test asked for
        if is_ours and not is_answer and message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def sign_in(self, username: str) -> "Visitor":
        """Sign in by the form, as people do."""
        self.page.goto(f"{self.site.url}/sign-in")
        self.page.get_by_label("User name").fill(username)
        self.page.locator("input[name=password]").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.site.url}/")
        return self

    def go(self, path: str) -> Page:
        """Open a page of the portal."""
        self.page.goto(f"{self.site.url}{path}")
        return self.page


@pytest.fixture
def visitors(browser: Browser, site: Site, story: Story) -> Iterator["Visitors"]:
    """Makes people at browsers; closes them at the end and asserts that no page complained."""
    del story
    made = Visitors(browser, site)
    yield made
    made.close()


class Visitors:
    """Opens windows."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site
        self._open: list[Visitor] = []

    def __call__(self, username: str | None = None, **options) -> Visitor:
        """Return a new window, signed in if a user name is given."""
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = self._browser.new_context(ignore_https_errors=True, **options)
        visitor = Visitor(context, self._site)
        self._open.append(visitor)
        return visitor.sign_in(username) if username else visitor

    def close(self) -> None:
        """Close all windows."""
        complaints = [each for visitor in self._open for each in visitor.complaints]
        for visitor in self._open:
            visitor.context.close()
        assert not complaints, complaints
