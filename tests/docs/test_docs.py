"""Do the documents say what is true: links, commands, settings, routes, dependencies?"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from carrel.cli import groups, reference
from carrel.core.settings import Settings

ROOT = Path(__file__).parents[2]
TOP = [ROOT / page for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").rglob("*.md"))]
RENEW = "Run: python -m carrel.cli.reference"
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(carrel [^`]+|scripts/\w+[^`]*|python -m [^`]+)`")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def headings(page: Path) -> set[str]:
    """Anchors as code hosting sites make them."""
    return {
        re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
        for line in page.read_text().splitlines()
        if line.startswith("#")
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path):
    for target in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name(page)} links to {target}, which is not there"
        if anchor and linked.suffix == ".md":
            assert anchor in headings(linked), f"{name(page)}: no heading for {target}"


def spoken_commands(page: Path) -> Iterator[str]:
    """Every command line that a page tells people to type."""
    text = page.read_text()
    for language, block in FENCE.findall(text):
        if language == "console":
            for line in block.splitlines():
                if line.startswith("$ "):
                    yield from re.split(r"\s*(?:&&|\|)\s*", line[2:].split(" #")[0])
    yield from INLINE.findall(FENCE.sub("", text))


def command_paths() -> set[str]:
    whole = typer.main.get_command(groups.build())
    return {path for path, _ in reference._walk("carrel", whole)}


@pytest.fixture(scope="module")
def known() -> set[str]:
    return command_paths()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_pages_exist(page: Path, known: set[str]):
    for line in spoken_commands(page):
        words = [word for word in line.split() if word != "sudo" and "=" not in word]
        while words and words[0].startswith("-"):
            words.pop(0)
        if not words:
            continue
        first = words[0].removeprefix(".venv/bin/")
        if first == "carrel":
            check_command(page, words, known)
        elif first.startswith("scripts/"):
            assert (ROOT / first).is_file(), f"{name(page)}: {first} is not there"
        elif first == "python" and words[1:2] == ["-m"]:
            module = words[2].replace(".", "/")
            places = [ROOT / "src" / module, ROOT / module]
            assert any(p.is_dir() or p.with_suffix(".py").is_file() for p in places), (
                f"{name(page)}: there is no module {words[2]}"
            )


def check_command(page: Path, words: list[str], known: set[str]) -> None:
    plain = [word for word in words[1:] if not word.startswith("-")]
    if not plain or plain[0].startswith(("|", "…")):
        return
    heads = {" ".join(["carrel", *plain[:count]]) for count in (1, 2, 3)}
    alternatives = {f"carrel {part}" for part in plain[0].split("|")}
    is_group = any(path.startswith(f"carrel {plain[0]} ") for path in known) and len(plain) == 1
    assert is_group or heads & known or alternatives <= known, (
        f"{name(page)}: `{' '.join(words)}` is no command"
    )


@pytest.mark.parametrize("page", ["settings.md", "commands.md", "api.md"])
def test_pages_written_from_the_code_are_up_to_date(page: str, written: dict[str, str]):
    """So every setting, command and route is documented."""
    assert (ROOT / "docs" / "reference" / page).read_text() == written[page], RENEW


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return dict(reference.pages())


def test_every_setting_is_described():
    assert [key for key, field in Settings.model_fields.items() if not field.description] == []


def test_every_route_says_what_it_does(written: dict[str, str]):
    rows = [line for line in written["api.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=~! ]", line)[0] for line in wanted}
    page = (ROOT / "docs" / "explanation" / "dependencies.md").read_text()
    reasoned = set(re.findall(r"^\| `([\w.-]+)` \| \S", page, re.MULTILINE))
    assert names == reasoned
