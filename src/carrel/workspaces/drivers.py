"""Which of Carrel's drivers makes a template of AzureTRE's real, and what is not honoured?

The table is a TOML file of entries that match names of templates; the first that matches counts.
A site's own file (`template_map`) comes before the shipped one, `templates/azuretre.toml`.
docs/how-to/register-azuretre-bundles.md describes an entry.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from carrel.core.errors import InvalidRequest
from carrel.runtime.ports import Level
from carrel.workspaces.bundles import shipped_folder
from carrel.workspaces.bundles.wanted import HostSettings, Strict
from carrel.workspaces.rules import KNOWN_ACTIONS, ResourceKind, Template, TemplateAction

K = ResourceKind
SHIPPED = "azuretre.toml"
_RECORDED = frozenset({K.SERVICE, K.SHARED_SERVICE})
"""Kinds of which the record alone can be of use."""


class _Entry(HostSettings):
    """What one kind of templates comes to here."""

    match: str = Field(min_length=1)
    """A name, or a pattern with `*`."""
    kind: ResourceKind
    parent: str = "*"
    driver: Literal["local", "record", ""]
    missing: str = ""
    """Of an entry without a driver: which one it would take, and what to do instead."""
    actions: list[str] = Field(default_factory=list)
    """Actions that the driver adds to those of the bundle."""
    uses: dict[str, str] = Field(default_factory=dict)
    """What a property is used for here, where that is not what the bundle says."""

    @model_validator(mode="after")
    def _meant(self) -> "_Entry":
        if bool(self.driver) is bool(self.missing):
            raise ValueError("give a driver, or say under `missing` which one it would take")
        if self.driver == "record" and self.kind not in _RECORDED:
            raise ValueError("only services and shared services can be a mere record")
        if unknown := set(self.actions) - KNOWN_ACTIONS:
            raise ValueError(f"no driver knows the action {min(unknown)!r}")
        problems = self.unfit(self.kind, None) if self.driver == "local" else ()
        for path, sentence in problems:
            raise ValueError(f"{'.'.join(str(part) for part in path)}: {sentence}")
        return self

    def matches(self, template: Template) -> bool:
        """Whether the entry is about this template."""
        return (
            template.kind is self.kind
            and fnmatchcase(template.name, self.match)
            and fnmatchcase(template.parent or "", self.parent)
        )

    def apply(self, template: Template) -> Template:
        """Return the template with what it comes to here."""
        if not self.driver:
            return replace(template, driver="", missing_driver=_missing(template, self.missing))
        is_record = self.driver == "record"
        known = template.action_names
        added = [TemplateAction(each, "") for each in self.actions if each not in known]
        return replace(
            template,
            driver=self.driver,
            missing_driver="",
            level=Level.C if is_record else self.level,
            isolation=frozenset() if is_record else frozenset(self.isolation),
            runtime=self.runtime.needs() if self.runtime else None,
            policy=self.policy.policy(),
            actions=[*template.actions, *added],
            effects=dict(self.uses),
        )


class _File(Strict):
    template: list[_Entry] = Field(default_factory=list)


class DriverMap:
    """The table, ready to be asked."""

    def __init__(self, entries: Sequence[_Entry] = ()) -> None:
        self._entries = entries

    def apply(self, template: Template) -> Template:
        """Return a template with the driver that makes it real here, or with what is missing.

        Carrel's own templates name their driver themselves.
        """
        if template.origin == "carrel":
            return template
        for entry in self._entries:
            if entry.matches(template):
                return entry.apply(template)
        return replace(template, driver="", missing_driver=_missing(template, ""))


def load_drivers(*files: Path | None) -> DriverMap:
    """Read the table: the files given, then the shipped one. Raises `InvalidRequest`."""
    entries: list[_Entry] = []
    for file in (*(each for each in files if each), shipped_folder() / SHIPPED):
        entries += _read(file)
    return DriverMap(entries)


def _read(file: Path) -> Sequence[_Entry]:
    try:
        found: Mapping[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        return _File.model_validate(found).template
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.", field="template_map") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{file} is not valid TOML: {error}.", field="template_map") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{file}: {where}: {why}.", field="template_map") from error


def _missing(template: Template, why: str) -> str:
    reason = why or (
        "no driver here can make it real: what its bundle holds is for Azure. Map it to a driver "
        "in the file that the setting template_map names"
    )
    return f"Nothing can be made of the template {template.name} in this TRE: {reason.rstrip('.')}."
