"""Does the code keep the house's own limits that no tool checks?"""

import ast
import re
from collections.abc import Iterator
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
VAGUE |= {"handler", "handlers", "handles", "managers"}
MEANT = {
    "process_bind_param": "SQLAlchemy calls it so",
    "process_result_value": "SQLAlchemy calls it so",
    "handle_starttag": "html.parser calls it so",
    "get_route_handler": "FastAPI calls it so",
    "handle_error": "socketserver calls it so",
    "open_by_handle": "attacks the system call of that name",
    "first_process": "a process of the host",
    "find_process": "a process of the host",
    "signal_process": "a process of the host",
    "through_process_one": "a process of the host",
    "read_process_memory": "a process of the host",
    "handle_comment": "the name in html.parser",
    "handle_decl": "the name in html.parser",
}
"""Names of functions that may have such a word, and why."""


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


def defined(path: Path) -> Iterator[str]:
    """Names of the functions and classes that a module defines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    yield from (n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, kinds))


def words(identifier: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", identifier)}


def test_functions_and_classes_say_what_they_are_about():
    found = {(each, name(path)) for path in SOURCES for each in defined(path)}
    vague = {(each, where) for each, where in found if words(each) & VAGUE}
    assert {(each, where) for each, where in vague if each not in MEANT} == set()
    assert {each for each, _ in vague} == set(MEANT), "An exception is not needed any more."


def test_what_switches_a_check_off_says_why():
    """`type: ignore[code]  # why`, and `except Exception:  # why` unless it raises it on."""
    bare = [
        f"{name(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"# type: ignore\S*\s*$", line)
    ]
    for path in SOURCES:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = getattr(node.type, "id", "") in {"Exception", "BaseException"}
            goes_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if (broad or node.type is None) and not goes_on and "#" not in lines[node.lineno - 1]:
                bare.append(f"{name(path)}:{node.lineno}")
    assert bare == []


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


CHOSEN = {"Database", "LocalRuntime", "MemoryRuntime", "FolderStore", "MemoryStore", "object_store"}
MAY_CHOOSE = {
    "carrel/app.py": "the roof",
    "carrel/choices.py": "its part for quick commands",
    "carrel/storage.py": "its part for the airlock's files",
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
