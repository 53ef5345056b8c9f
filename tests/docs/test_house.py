"""Does the code keep the house's own limits that no tool checks?"""

import ast
from pathlib import Path

import pytest

from carrel.airlock.service import Airlock
from carrel.people.service import People
from carrel.workspaces.service import Workspaces

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MODULES = [path for path in SOURCES if "versions" not in path.parts]
LONGEST = 400
VAGUE = {"data", "info", "manager", "helper", "helpers", "utils", "util", "process", "handle"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "src"))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_is_a_drawer(path: Path):
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_which_question_it_answers(path: Path):
    assert ast.get_docstring(ast.parse(path.read_text())) or path.name == "__init__.py"


def test_names_say_something():
    assert [name(path) for path in SOURCES if path.stem in VAGUE] == []


def test_every_table_is_where_the_migrations_look():
    """In `tables.py` of a room, or directly in core."""
    elsewhere = [
        name(path)
        for path in SOURCES
        if any(
            isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Table"
            for node in ast.walk(ast.parse(path.read_text()))
        )
        and "sqlalchemy" in path.read_text()
        and path.name != "tables.py"
        and path.parent.name != "core"
    ]
    assert elsewhere == []


CHOSEN = {"Database", "LocalRuntime", "MemoryRuntime", "FolderStore", "MemoryStore"}
MAY_CHOOSE = {
    "carrel/app.py": "the roof",
    "carrel/choices.py": "its part for quick commands",
    "carrel/migrations/__init__.py": "runs before there are tables to use",
    "carrel/migrations/__main__.py": "compares with a scratch database",
    "carrel/evidence/doors/hosting.py": "attacks the doors over a database that is gone afterwards",
}


def called(path: Path) -> set[str]:
    """Names of what a module calls or makes."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {getattr(node.func, "id", getattr(node.func, "attr", "")) for node in calls}


def test_only_the_roof_chooses_implementations():
    assert [name(p) for p in SOURCES if called(p) & CHOSEN and name(p) not in MAY_CHOOSE] == []


@pytest.mark.parametrize("service", [Airlock, People, Workspaces])
def test_the_parts_of_a_service_are_siblings(service: type):
    """Each stands on the base alone, so that one can be read without the others."""
    parts = service.__bases__
    assert len(parts) > 2
    assert [(a, b) for a in parts for b in parts if a is not b and issubclass(a, b)] == []
