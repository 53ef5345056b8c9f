"""How are the files of a bundle read, so that every problem has its line?"""

import json
import tomllib
from collections.abc import Mapping
from typing import Any

import yaml

from carrel.workspaces.bundles.lines import json_lines, repeated_keys, toml_lines, yaml_lines
from carrel.workspaces.bundles.problems import Findings
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.schemas import check_values, merge_defaults, normalise, schema_problems
from carrel.workspaces.schemas.values import InvalidProperties

SCHEMA = "template_schema.json"
DEEPEST_SCHEMA = 64


def read_json(findings: Findings, file: str, *, is_needed: bool = True) -> Any:
    """Return a JSON document, or None with a problem."""
    if (text := findings.read(file, is_needed=is_needed)) is None:
        return None
    repeated: list[str] = []

    def group(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated.extend(name for name in set(names) if names.count(name) > 1)
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=group)
    except json.JSONDecodeError as error:
        findings.add_at(file, error.lineno, f"is not valid JSON: {error.msg}.")
        return None
    except RecursionError:
        findings.add(file, "is nested too deep.")
        return None
    findings.know(file, json_lines(text))
    for name in repeated:
        findings.add(file, f"{name!r} stands twice in one group.")
    return found


def read_yaml(findings: Findings, file: str) -> Mapping[str, Any] | None:
    """Return a YAML document that is a group, or None with a problem."""
    if (text := findings.read(file)) is None:
        return None
    try:
        found = yaml.safe_load(text)
        findings.know(file, yaml_lines(text))
        for name, line in repeated_keys(text):
            findings.add_at(file, line, f"{name!r} stands twice in one group.")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or "it cannot be read"
        findings.add_at(file, mark.line + 1 if mark else 0, f"is not valid YAML: {why}.")
        return None
    if not isinstance(found, dict):
        findings.add(file, "must be a group of settings.")
        return None
    return {str(name): value for name, value in found.items()}


def read_toml(findings: Findings, file: str) -> Mapping[str, Any] | None:
    """Return a TOML document, or None with a problem."""
    if (text := findings.read(file)) is None:
        return None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        findings.add(file, f"is not valid TOML: {error}.")
        return None
    findings.know(file, toml_lines(text))
    return found


def read_schema(findings: Findings, kind: ResourceKind | None) -> dict[str, Any] | None:
    """Return the schema of a bundle with what its kind adds, or None with problems."""
    found = read_json(findings, SCHEMA)
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("properties"), dict):
        findings.add(SCHEMA, "needs an object with `properties`.")
        return None
    try:
        check_values(found, deepest=DEEPEST_SCHEMA)
    except InvalidProperties as error:
        findings.add(SCHEMA, str(error))
        return None
    schema = normalise(found)
    before = findings.are_serious
    for path, sentence, is_serious in schema_problems(schema):
        findings.add(SCHEMA, sentence, path, serious=is_serious)
    if findings.are_serious and not before:
        return None
    return merge_defaults(kind, schema) if kind else schema
