"""Does the threat model name only attacks that exist, and every one of them?"""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from carrel.evidence.probes import PROBES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security" / "threat-model.md"
PROBE_IDS = {probe.id for probe in PROBES}
CODE = re.compile(r"`([^`]+)`")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def section(title: str) -> str:
    return PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named_tests() -> list[tuple[str, str]]:
    return sorted(set(TEST.findall(PAGE.read_text())))


@pytest.mark.parametrize(("path", "name"), named_tests())
def test_every_test_that_is_named_exists(path: str, name: str):
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_promise_names_its_attacks_and_each_exists():
    promises = rows("Promises")
    assert len(promises) >= 15
    for promise, _, attacked_by in promises:
        attacks = CODE.findall(attacked_by)
        assert attacks, f"nobody attacks: {promise}"
        for attack in attacks:
            known = TEST.fullmatch(attack) or any(fnmatchcase(id_, attack) for id_ in PROBE_IDS)
            assert known, f"{attack} is neither a probe nor a test"


def test_no_probe_is_missing_in_the_promises():
    patterns = CODE.findall(" ".join(row[2] for row in rows("Promises")))
    missing = {id_ for id_ in PROBE_IDS if not any(fnmatchcase(id_, p) for p in patterns)}
    assert missing == set()


def test_the_red_team_list_is_whole_and_says_where_probes_are():
    listed = {number: answer for number, _, answer in rows("The red-team list")}
    assert list(listed) == [str(number) for number in range(1, 58)]
    with_probes = {number for number, answer in listed.items() if answer.startswith("probes")}
    assert with_probes == {probe.reference for probe in PROBES}
