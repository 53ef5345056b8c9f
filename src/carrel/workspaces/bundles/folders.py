"""Which kind of bundle is this folder, and can it be registered?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from carrel.core.errors import InvalidRequest
from carrel.workspaces.bundles.azuretre import PORTER, kind_of, parent_of, read_azuretre
from carrel.workspaces.bundles.carrel_kind import TOML, read_carrel
from carrel.workspaces.bundles.problems import Findings, InvalidBundle, Problem
from carrel.workspaces.bundles.registration import Registration, template_of
from carrel.workspaces.rules import ResourceKind, Template

K = ResourceKind


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a folder."""

    template: Template | None
    """None if it cannot be registered."""
    registration: Registration | None
    """What AzureTRE's tools would post; None for one of Carrel's own."""
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder that was read and found good."""

    folder: Path
    template: Template

    @property
    def name(self) -> str:
        """The template's name."""
        return self.template.name

    @classmethod
    def load(
        cls, folder: Path, *, kind: ResourceKind | None = None, parent: str | None = None
    ) -> "Bundle":
        """Read and try a bundle, Carrel's or AzureTRE's. Raises `InvalidBundle`.

        `kind` and `parent` (the service template of a user resource) are asked for only where an
        AzureTRE bundle does not lie in AzureTRE's tree of folders.
        """
        found = inspect(folder, kind=kind, parent=parent)
        if found.template is None:
            raise InvalidBundle(folder, found.problems)
        return cls(folder, found.template)


def inspect(
    folder: Path, *, kind: ResourceKind | None = None, parent: str | None = None
) -> Inspection:
    """Return what a folder holds and everything that is wrong with it; changes nothing."""
    findings = Findings(folder)
    if not (folder / TOML).exists() and (folder / PORTER).exists():
        return _inspect_azuretre(findings, kind or kind_of(folder), parent)
    template = read_carrel(findings)
    is_good = not findings.are_serious
    return Inspection(template if is_good else None, None, findings.found)


def _inspect_azuretre(
    findings: Findings, kind: ResourceKind | None, parent: str | None
) -> Inspection:
    registration = read_azuretre(findings)
    if kind is None:
        kinds = ", ".join(K)
        findings.add(PORTER, f"its folder does not tell its kind. Say --kind: {kinds}.")
    if kind is K.USER_RESOURCE:
        parent = parent or parent_of(findings.folder)
        if parent is None:
            findings.add(PORTER, "a user resource needs the name of its service. Say --parent.")
    elif parent is not None:
        findings.add(PORTER, "only a user resource has a parent. Leave --parent out.")
    if registration is None or kind is None or findings.are_serious:
        return Inspection(None, registration, findings.found)
    try:
        template = template_of(registration, kind, parent)
    except InvalidRequest as error:
        findings.add(PORTER, str(error))
        return Inspection(None, registration, findings.found)
    return Inspection(template, registration, findings.found)
