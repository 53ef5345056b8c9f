"""Is an ACRO session read as a claim, and held against the files and the policy?"""

import hashlib
import json
from typing import Any

import pytest

from carrel.airlock.rules import AirlockPolicy, Severity, acro
from carrel.airlock.rules.acro import SessionFile, adopt, contradictions
from carrel.core.errors import InvalidRequest

TABLE = b"region,f,m\nA,110.0,100.0\nB,,63.0\n"
CONFIG = {"safe_threshold": 10, "zeros_are_disclosive": True, "suppress": True}
POLICY = AirlockPolicy()


def output(name: str = "output_0_0.csv", **changes: Any) -> dict[str, Any]:
    """One result as ACRO 1.0.2 writes it for a suppressed frequency table."""
    words = {
        "uid": "output_0",
        "status": "review",
        "type": "table",
        "properties": {"method": "crosstab", "mitigation": "suppress"},
        "files": [
            {
                "name": name,
                "sdc": {
                    "summary": {"MinimumThresholdCheck": 1},
                    "cells": {"MinimumThresholdCheck": [[1, 0]]},
                },
            }
        ],
        "outcome": {
            "f": {"A": "ok", "B": "MinimumThresholdCheck; "},
            "m": {"A": "ok", "B": "ok"},
        },
        "command": "acro.crosstab(secret.region, secret.sex)",
        "summary": "",
        "timestamp": "2026-11-24T04:54:02.151595",
        "comments": [],
        "exception": "",
        "fair": {"independent": ["region", "sex"]},
    }
    return {**words, **changes}


class Session:
    """A session folder that a test can spoil."""

    def __init__(self, *outputs: dict[str, Any], version: str = "1.0.2") -> None:
        results = {one["uid"]: one for one in outputs or [output()]}
        self.document: dict[str, Any] = {"version": version, "tool": {}, "results": results}
        self.files = {file["name"]: TABLE for one in results.values() for file in one["files"]}
        self.config: dict[str, Any] | None = dict(CONFIG)

    def adopt(self, **sums: str) -> acro.Adopted:
        results = json.dumps(self.document).encode()
        folder = {**self.files, "results.json": results, "config.json": b"{}"}
        listed = [SessionFile(name, sha256(content)) for name, content in folder.items()]
        checksums = {f"{name}.txt": sha256(content) for name, content in self.files.items()}
        config = None if self.config is None else json.dumps(self.config).encode()
        return adopt(listed, results, config, {**checksums, **sums})

    def claim(self) -> Any:
        return self.adopt().claims["output_0_0.csv"]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rules_found(claim: Any, content: bytes = TABLE, policy: AirlockPolicy = POLICY) -> set[str]:
    return {one.rule for one in contradictions(claim, content, sha256(content), policy)}


def test_an_honest_session_gives_its_outputs_and_drops_its_papers():
    adopted = Session().adopt()
    assert list(adopted.claims) == ["output_0_0.csv"]
    assert adopted.dropped == ["config.json", "results.json"]
    assert rules_found(adopted.claims["output_0_0.csv"]) == set()


def test_neither_the_command_nor_the_outcome_travels_on():
    assert "secret" not in json.dumps(Session().adopt().claims)


def test_what_must_not_be_released_is_dropped():
    never = output("session_summary.csv", uid="2ndary_risk_summary_csv-DONT_RELEASE")
    adopted = Session(output(), never).adopt()
    assert list(adopted.claims) == ["output_0_0.csv"]
    assert "session_summary.csv" in adopted.dropped


def test_a_cell_filled_in_again_is_found_though_checksums_fit():
    filled = TABLE.replace(b"B,,", b"B,9.0,")
    session = Session()
    session.files["output_0_0.csv"] = filled
    [found] = contradictions(session.claim(), filled, sha256(filled), POLICY)
    assert (found.rule, found.row, found.column) == ("acro_filled_again", 3, 2)
    assert found.severity is Severity.FLAG


def test_a_small_cell_that_acro_left_out_is_found():
    small = TABLE.replace(b"63.0", b"3.0")
    session = Session()
    session.files["output_0_0.csv"] = small
    [found] = contradictions(session.claim(), small, sha256(small), POLICY)
    assert (found.rule, found.row, found.column) == ("acro_left_out", 3, 3)


def test_a_file_changed_after_adoption_is_found():
    assert "acro_other_file" in rules_found(Session().claim(), TABLE.replace(b"100", b"105"))


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({**CONFIG, "safe_threshold": 5}, "acro_weak_threshold"),
        ({**CONFIG, "zeros_are_disclosive": False}, "acro_zeros_passed"),
        (None, "acro_no_thresholds"),
    ],
)
def test_weaker_thresholds_than_the_policy_are_found(config, rule):
    session = Session()
    session.config = config
    assert rules_found(session.claim()) == {rule}


def test_a_strict_policy_finds_the_usual_threshold_weak():
    assert rules_found(Session().claim(), policy=AirlockPolicy(threshold=20)) == {
        "acro_weak_threshold"
    }


@pytest.mark.parametrize(
    ("changes", "rule"),
    [({"status": "fail"}, "acro_fail"), ({"exception": "please"}, "acro_exception")],
)
def test_what_acro_itself_objects_to_is_told(changes, rule):
    assert rules_found(Session(output(**changes)).claim()) == {rule}


def test_another_shape_is_found():
    more = {"f": dict.fromkeys("ABCD", "ok")}
    assert rules_found(Session(output(outcome=more)).claim()) == {"acro_other_shape"}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: s.document.update(version="2.0.0"), "Carrel reads ACRO 1.0"),
        (lambda s: s.document.update(version="1.0.2\n"), "Carrel reads ACRO 1.0"),
        (lambda s: s.document.update(more=1), "not a session of ACRO"),
        (lambda s: s.document["results"]["output_0"].update(status="fine"), "not a session"),
        (lambda s: s.document["results"]["output_0"].update(extra=1), "not a session"),
        (lambda s: s.document.update(results={}), "lists no output"),
        (lambda s: s.files.update({"more.csv": TABLE}), "does not list it"),
        (lambda s: s.files.clear(), "not in the session's folder"),
        (lambda s: s.config.update(safe_threshold="ten"), "cannot be read"),
    ],
)
def test_a_session_that_cannot_be_believed_is_refused_with_what_to_do(spoil, sentence):
    session = Session()
    spoil(session)
    with pytest.raises(InvalidRequest, match=sentence):
        session.adopt()


def test_a_wrong_or_missing_checksum_is_refused():
    for wrong in ("", "0" * 64):
        with pytest.raises(InvalidRequest, match="not the file that ACRO wrote"):
            Session().adopt(**{"output_0_0.csv.txt": wrong})


def test_one_file_listed_by_two_outputs_is_refused():
    with pytest.raises(InvalidRequest, match="twice"):
        Session(output(), output(uid="output_1")).adopt()
