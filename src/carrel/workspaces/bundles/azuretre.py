"""What does one of AzureTRE's bundles say: `porter.yaml` and `template_schema.json`?

Its Terraform is for Azure and is not run; name, version, parameters, outputs and custom actions
come from `porter.yaml`, everything about properties from the schema.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from carrel.core.errors import InvalidRequest
from carrel.workspaces.bundles.problems import Findings
from carrel.workspaces.bundles.reading import SCHEMA, read_json, read_schema, read_yaml
from carrel.workspaces.bundles.registration import (
    ACTION_NAME,
    NAME,
    RESERVED_ACTIONS,
    Registration,
)
from carrel.workspaces.pipelines import parse
from carrel.workspaces.rules import ResourceKind, TemplateAction, parse_version

PORTER, PARAMETERS = "porter.yaml", "parameters.json"
STANDARD_KEYS = frozenset(
    {
        *("schemaVersion", "schemaType", "name", "version", "description", "labels"),
        *("dockerfile", "registry", "reference", "tag", "images", "maintainers", "custom"),
        *("credentials", "parameters", "parameterSets", "outputs", "mixins", "dependencies"),
        *("install", "upgrade", "uninstall", "state", "required", "customActions"),
    }
)
"""Everything else at the top of `porter.yaml` is a custom action."""
KIND_FOLDERS = {
    "workspaces": ResourceKind.WORKSPACE,
    "workspace_services": ResourceKind.SERVICE,
    "shared_services": ResourceKind.SHARED_SERVICE,
    "user_resources": ResourceKind.USER_RESOURCE,
}


def kind_of(folder: Path) -> ResourceKind | None:
    """Return the kind that a bundle's place in AzureTRE's tree means, or None."""
    return KIND_FOLDERS.get(folder.absolute().parent.name)


def parent_of(folder: Path) -> str | None:
    """Return the name of the service in whose folder a user resource lies, or None."""
    findings = Findings(folder.absolute().parent.parent)
    found = read_yaml(findings, PORTER)
    return str(found["name"]) if found and "name" in found else None


def read_azuretre(findings: Findings) -> Registration | None:
    """Return what a bundle registers; None, with problems, if it cannot be used."""
    porter = read_yaml(findings, PORTER)
    if read_schema(findings, None) is not None:
        _check_schema(findings)
    schema = read_json(Findings(findings.folder), SCHEMA)
    if porter is None or not isinstance(schema, dict):
        return None
    _check_porter(findings, porter)
    parameters = _names(findings, porter, "parameters")
    _check_parameters(findings, parameters)
    return Registration(
        name=str(porter.get("name", "")),
        version=str(porter.get("version", "")),
        description=str(porter.get("description", "")),
        json_schema=schema,
        custom_actions=_actions(findings, porter),
        parameters=parameters,
        outputs=_names(findings, porter, "outputs"),
    )


def _check_porter(findings: Findings, porter: Mapping[str, Any]) -> None:
    if not NAME.fullmatch(str(porter.get("name", ""))):
        findings.add(PORTER, "must be letters, digits, dots and dashes, at most 64.", ("name",))
    version = porter.get("version")
    if not isinstance(version, str):
        findings.add(PORTER, f'must be text, for instance "1.0.2", not {version}.', ("version",))
        return
    try:
        parse_version(version)
    except InvalidRequest as error:
        findings.add(PORTER, str(error), ("version",))


def _check_schema(findings: Findings) -> None:
    schema = read_json(Findings(findings.folder), SCHEMA)
    for word in ("title", "description"):
        if not isinstance(schema.get(word), str):
            findings.add(SCHEMA, f"{word} is missing. People read it in the catalogue.")
    roles = schema.get("authorizedRoles") or []
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        findings.add(SCHEMA, "must be a list of role names.", ("authorizedRoles",))
    try:
        parse(schema)
    except InvalidRequest as error:
        path = tuple(
            int(each) if each.isdigit() else each for each in (error.field or "").split(".")
        )
        findings.add(SCHEMA, str(error), path)


def _names(findings: Findings, porter: Mapping[str, Any], word: str) -> Sequence[str]:
    found = porter.get(word) or []
    if not isinstance(found, list):
        findings.add(PORTER, "must be a list.", (word,))
        return []
    names = []
    for number, each in enumerate(found):
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            names.append(each["name"])
        else:
            findings.add(PORTER, "needs a name.", (word, number))
    return names


def _actions(findings: Findings, porter: Mapping[str, Any]) -> Sequence[TemplateAction]:
    described = porter.get("customActions")
    texts = described if isinstance(described, dict) else {}
    actions = []
    for name, steps in porter.items():
        if name in STANDARD_KEYS:
            continue
        if not isinstance(steps, list | dict):
            sentence = "is neither a setting of Porter nor an action with its steps."
            findings.add(PORTER, sentence, (name,))
        elif not ACTION_NAME.fullmatch(name) or name in RESERVED_ACTIONS:
            findings.add(PORTER, "is no name that an action can have.", (name,))
        else:
            told = texts.get(name)
            text = told.get("description", "") if isinstance(told, dict) else ""
            actions.append(TemplateAction(name, str(text)))
    return actions


def _check_parameters(findings: Findings, known: Sequence[str]) -> None:
    """Look at `parameters.json`, which may be absent."""
    found = read_json(findings, PARAMETERS, is_needed=False)
    if found is None:
        return
    given = found.get("parameters") if isinstance(found, dict) else None
    if not isinstance(given, list):
        findings.add(PARAMETERS, "needs a list `parameters`.")
        return
    for number, each in enumerate(given):
        name = each.get("name") if isinstance(each, dict) else None
        if name not in known:
            sentence = f"{name!r} is no parameter of {PORTER}, so nothing reads it."
            findings.add(PARAMETERS, sentence, ("parameters", number), serious=False)
