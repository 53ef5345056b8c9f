"""What does one of Carrel's own bundles say?

It is a folder with `template.toml` (what it is, what it needs), `template_schema.json` (JSON
Schema of its properties, AzureTRE's half), `README.md` (what people read before they choose it)
and `tests/accepted.json` and `tests/refused.json`: properties that its own schema must accept,
and properties that it must refuse, tried whenever the bundle is loaded.
"""

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from carrel.core.errors import InvalidRequest
from carrel.workspaces.bundles.problems import Findings
from carrel.workspaces.bundles.reading import SCHEMA, read_json, read_schema, read_toml
from carrel.workspaces.bundles.wanted import HostSettings, Strict
from carrel.workspaces.pipelines import parse
from carrel.workspaces.rules import KNOWN_ACTIONS, ResourceKind, Template, TemplateAction
from carrel.workspaces.schemas import InvalidProperties, check_properties, with_defaults

TOML, README = "template.toml", "README.md"


class _Action(Strict):
    name: str
    description: str


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
_Version = Annotated[str, Field(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")]


class _Toml(HostSettings):
    name: _Name
    version: _Version
    kind: ResourceKind
    parent: _Name | None = None
    title: str = Field(min_length=1, max_length=100)
    description: str = Field(min_length=1, max_length=500)
    actions: list[_Action] = Field(default_factory=list)


def shipped_folder() -> Path:
    """Return the folder of the bundles that come with Carrel."""
    packaged = Path(str(resources.files("carrel"))) / "bundles"
    checkout = Path(str(resources.files("carrel"))).parents[1] / "templates"
    return packaged if packaged.is_dir() else checkout


def find_bundles(root: Path) -> Iterator[Path]:
    """Yield every folder below `root` that holds a `template.toml`, in order of name."""
    for file in sorted(root.rglob(TOML)):
        yield file.parent


def read_carrel(findings: Findings) -> Template | None:
    """Return the template of a bundle; None, with problems, if it cannot be used."""
    toml = _read_toml(findings)
    schema = read_schema(findings, toml.kind if toml else None)
    readme = findings.read(README)
    if toml:
        _check_meaning(findings, toml, schema)
    if schema and toml:
        _check_pipeline(findings, schema)
        _check_examples(findings, schema)
    if toml is None or schema is None or readme is None:
        return None
    return _template(toml, schema, readme)


def _read_toml(findings: Findings) -> _Toml | None:
    if (found := read_toml(findings, TOML)) is None:
        return None
    try:
        return _Toml.model_validate(found)
    except ValidationError as error:
        for each in error.errors():
            findings.add(TOML, f"{each['msg']}.", each["loc"])
        return None


def _check_meaning(findings: Findings, toml: _Toml, schema: Mapping[str, Any] | None) -> None:
    folder = findings.folder.name
    if toml.name != folder.replace("_", "-"):
        findings.add(TOML, f"is not the folder's name, {folder!r}.", ("name",))
    if (toml.parent is None) is (toml.kind is ResourceKind.USER_RESOURCE):
        findings.add(TOML, "a user resource needs one, other kinds have none.", ("parent",))
    known = ", ".join(sorted(KNOWN_ACTIONS))
    for number, action in enumerate(toml.actions):
        if action.name not in KNOWN_ACTIONS:
            sentence = f"{action.name!r} is not known; known: {known}."
            findings.add(TOML, sentence, ("actions", number, "name"))
    for place, sentence in toml.unfit(toml.kind, schema["properties"] if schema else None):
        findings.add(TOML, sentence, place)


def _check_pipeline(findings: Findings, schema: Mapping[str, Any]) -> None:
    try:
        parse(schema)
    except InvalidRequest as error:
        findings.add(SCHEMA, str(error), ("pipeline",))


def _check_examples(findings: Findings, schema: Mapping[str, Any]) -> None:
    for file, is_good in (("tests/accepted.json", True), ("tests/refused.json", False)):
        examples = read_json(findings, file)
        if examples is None:
            continue
        if not isinstance(examples, list) or not all(isinstance(one, dict) for one in examples):
            findings.add(file, "must be a list of property groups.")
            continue
        for number, properties in enumerate(examples):
            refusal = _refusal(schema, properties)
            if is_good and refusal:
                findings.add(file, f"example {number} is refused: {refusal}", (number,))
            elif not is_good and not refusal:
                findings.add(file, f"example {number} is accepted by the schema.", (number,))


def _refusal(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    try:
        check_properties(schema, with_defaults(schema, properties))
    except InvalidProperties as error:
        return str(error)
    return ""


def _template(toml: _Toml, schema: Mapping[str, Any], readme: str) -> Template:
    return Template(
        kind=toml.kind,
        name=toml.name,
        version=toml.version,
        parent=toml.parent,
        title=toml.title,
        description=toml.description,
        overview=readme,
        schema=schema,
        level=toml.level,
        isolation=frozenset(toml.isolation),
        runtime=toml.runtime.needs() if toml.runtime else None,
        policy=toml.policy.policy(),
        actions=[TemplateAction(each.name, each.description) for each in toml.actions],
        authorized_roles=list(schema.get("authorizedRoles", ())),
    )
