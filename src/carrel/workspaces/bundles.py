"""Is this folder a template bundle, and what does it say?

A bundle is a folder with `template.toml` (what it is, what it needs), `template_schema.json`
(JSON Schema of its properties, AzureTRE's half), `README.md` (what people read before they
choose it) and `tests/accepted.json` and `tests/refused.json`: properties that its own schema
must accept, and properties that it must refuse, tried whenever the bundle is loaded.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carrel.core.errors import InvalidRequest
from carrel.runtime.ports import Level
from carrel.runtime.rules import EVERY_WORD
from carrel.workspaces.rules import (
    KNOWN_ACTIONS,
    Policy,
    ResourceKind,
    RuntimeNeeds,
    Template,
    TemplateAction,
)
from carrel.workspaces.schemas import (
    InvalidProperties,
    check_properties,
    merge_defaults,
    normalise,
    schema_problems,
    with_defaults,
)

TOML, SCHEMA, README = "template.toml", "template_schema.json", "README.md"
LIMIT_NAMES = frozenset({"memory_gib", "cpus", "disk_gib", "processes"})
FILE_BYTES_LIMIT = 256 * 1024


class InvalidBundle(InvalidRequest):
    """A folder is no usable bundle; the message names the folder, the file and the cause."""

    code = "invalid_bundle"

    def __init__(self, folder: Path, file: str, cause: str) -> None:
        super().__init__(f"The bundle {folder.name!r} cannot be used: {file}: {cause}")
        self.folder = folder
        self.file = file
        self.cause = cause


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Runtime(_Strict):
    driver: Literal["local"] = "local"
    image: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,63}$")
    command: list[str] = []
    prefix_style: Literal["keep", "strip"] = "keep"
    start_seconds: int = Field(60, ge=1, le=3600)
    operation_minutes: float | None = Field(None, gt=0, le=10_080)
    limits: dict[str, str] = {}


class _Policy(_Strict):
    network: Literal["none", "egress-proxy"] = "none"
    package_gateway: bool = True
    downloads: bool = False
    clipboard: bool = False
    airlock: bool = True
    may_hold_sensitive: bool = False


class _Action(_Strict):
    name: str
    description: str


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
_Version = Annotated[str, Field(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")]


class _Toml(_Strict):
    name: _Name
    version: _Version
    kind: ResourceKind
    parent: _Name | None = None
    title: str = Field(min_length=1, max_length=100)
    description: str = Field(min_length=1, max_length=500)
    level: Level = Level.A
    isolation: list[str] = []
    runtime: _Runtime | None = None
    policy: _Policy = _Policy()
    actions: list[_Action] = []


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder that was read and found good."""

    folder: Path
    template: Template

    @property
    def name(self) -> str:
        """The template's name, which is the folder's too."""
        return self.template.name

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read and try a bundle. Raises `InvalidBundle`."""
        toml = _read_toml(folder)
        schema = _read_schema(folder, toml.kind)
        _check_meaning(folder, toml, schema)
        bundle = cls(folder, _template(toml, schema, _read_text(folder, README)))
        bundle.check_examples()
        return bundle

    def check_examples(self) -> None:
        """Raise `InvalidBundle` if the schema refuses a good example or accepts a bad one."""
        schema = self.template.schema
        for number, properties in enumerate(_examples(self.folder, "tests/accepted.json")):
            try:
                check_properties(schema, with_defaults(schema, properties))
            except InvalidProperties as error:
                raise InvalidBundle(
                    self.folder, "tests/accepted.json", f"example {number} is refused: {error}"
                ) from error
        for number, properties in enumerate(_examples(self.folder, "tests/refused.json")):
            try:
                check_properties(schema, with_defaults(schema, properties))
            except InvalidProperties:
                continue
            raise InvalidBundle(
                self.folder, "tests/refused.json", f"example {number} is accepted by the schema."
            )


def shipped_folder() -> Path:
    """Return the folder of the bundles that come with Carrel."""
    packaged = Path(str(resources.files("carrel"))) / "bundles"
    checkout = Path(str(resources.files("carrel"))).parents[1] / "templates"
    return packaged if packaged.is_dir() else checkout


def find_bundles(root: Path) -> Iterator[Path]:
    """Yield every folder below `root` that holds a `template.toml`, in order of name."""
    for file in sorted(root.rglob(TOML)):
        yield file.parent


def _read_text(folder: Path, file: str) -> str:
    path = folder / file
    try:
        if path.stat().st_size > FILE_BYTES_LIMIT:
            raise InvalidBundle(folder, file, f"is larger than {FILE_BYTES_LIMIT} bytes.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InvalidBundle(folder, file, "is missing.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidBundle(folder, file, f"cannot be read: {error}.") from error


def _read_toml(folder: Path) -> _Toml:
    try:
        return _Toml.model_validate(tomllib.loads(_read_text(folder, TOML)))
    except tomllib.TOMLDecodeError as error:
        raise InvalidBundle(folder, TOML, f"is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidBundle(folder, TOML, f"{where}: {first['msg']}.") from error


def _read_json(folder: Path, file: str) -> Any:
    try:
        return json.loads(_read_text(folder, file))
    except json.JSONDecodeError as error:
        raise InvalidBundle(
            folder, file, f"line {error.lineno}: is not valid JSON: {error.msg}."
        ) from error


def _examples(folder: Path, file: str) -> Sequence[Mapping[str, Any]]:
    found = _read_json(folder, file)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidBundle(folder, file, "must be a list of property groups.")
    return found


def _read_schema(folder: Path, kind: ResourceKind) -> dict[str, Any]:
    schema = _read_json(folder, SCHEMA)
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        raise InvalidBundle(folder, SCHEMA, "needs an object with `properties`.")
    merged = merge_defaults(kind, normalise(schema))
    for path, sentence, is_serious in schema_problems(merged):
        if is_serious:
            where = ".".join(str(part) for part in path)
            raise InvalidBundle(folder, SCHEMA, f"{where}: {sentence}")
    return merged


def _check_meaning(folder: Path, toml: _Toml, schema: Mapping[str, Any]) -> None:
    problems = {
        f"name: is not the folder's name, {folder.name!r}.": toml.name
        != folder.name.replace("_", "-"),
        "parent: a user resource needs one, other kinds have none.": (toml.parent is None)
        is (toml.kind is ResourceKind.USER_RESOURCE),
        "runtime: a user resource needs an image and a command.": (
            toml.kind is ResourceKind.USER_RESOURCE
            and not (toml.runtime and toml.runtime.image and toml.runtime.command)
        ),
        "policy.may_hold_sensitive: needs level A and network none.": (
            toml.policy.may_hold_sensitive
            and (toml.level is not Level.A or toml.policy.network != "none")
        ),
    }
    problems |= {
        f"isolation: {word!r} is no word that a driver can enforce.": word not in EVERY_WORD
        for word in toml.isolation
    }
    problems |= {
        f"actions: {action.name!r} is not known; known: {', '.join(sorted(KNOWN_ACTIONS))}.": (
            action.name not in KNOWN_ACTIONS
        )
        for action in toml.actions
    }
    for limit, name in (toml.runtime.limits if toml.runtime else {}).items():
        problems[f"runtime.limits: {limit!r} is no limit."] = limit not in LIMIT_NAMES
        problems[f"runtime.limits: the schema has no property {name!r}."] = (
            name not in schema["properties"]
        )
    for problem, is_so in problems.items():
        if is_so:
            raise InvalidBundle(folder, TOML, problem)


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
        runtime=RuntimeNeeds(**toml.runtime.model_dump()) if toml.runtime else None,
        policy=Policy(**toml.policy.model_dump()),
        actions=[TemplateAction(each.name, each.description) for each in toml.actions],
        authorized_roles=list(schema.get("authorizedRoles", ())),
    )
