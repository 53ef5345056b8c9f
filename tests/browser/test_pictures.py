"""The pictures of the documentation: `pytest tests/browser/test_pictures.py --screenshots`."""

from pathlib import Path

import pytest

from tests.browser.conftest import Visitors
from tests.browser.story import Story

IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where pictures go: the documentation if asked, else nowhere that lasts."""
    return IMAGES if request.config.getoption("--screenshots") else tmp_path


@pytest.mark.parametrize(
    ("name", "username", "path"),
    [
        ("portal", "tomas", "/workspaces/{study}"),
        ("home", "tomas", "/"),
        ("airlock-review", "mina", "/workspaces/{study}/airlock/{in_review}"),
    ],
)
def test_a_picture_can_be_taken(
    visitors: Visitors, story: Story, folder: Path, name, username, path
):
    visitor = visitors(username, viewport={"width": 1280, "height": 1000}, device_scale_factor=1.5)
    page = visitor.go(path.format(study=story.study.id, in_review=story.in_review.id))
    page.evaluate("document.fonts.ready")
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{name}.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 30_000, "the page is almost empty"
