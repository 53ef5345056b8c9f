"""What would a change do? It is done in a transaction that is never kept, and told."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from carrel.workspaces.rules import Operation, Step


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One property, or `isEnabled` or `templateVersion`, before and after; secrets masked."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change would do, step by step."""

    action: str
    steps: Sequence[Step]
    changes: Sequence[PlannedChange]
    warnings: Sequence[str]
    made_id: str | None = None
    """The id that steps name for a resource that would be new; it has no meaning afterwards."""


@dataclass(slots=True)
class Rehearsal:
    """What is noted while a change is tried out."""

    changes: list[PlannedChange] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    made_id: str | None = None

    def plan(self, operation: Operation) -> Plan:
        """Return what was noted, with the steps that the operation would have had."""
        steps = [] if operation.is_final else operation.steps
        if not steps:
            self.warnings.append("Nothing has to be done on the host: only the record changes.")
        return Plan(
            operation.action, steps, self.changes, list(dict.fromkeys(self.warnings)), self.made_id
        )


REHEARSAL: ContextVar[Rehearsal | None] = ContextVar("rehearsal", default=None)
"""The rehearsal that the present call belongs to; None outside of one."""


def property_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], secret_names: frozenset[str]
) -> list[PlannedChange]:
    """Return what differs between two sets of masked properties, by name.

    `secret_names` are properties whose secret parts differ although both look the same.
    """
    return [
        PlannedChange(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name) or name in secret_names
    ]
