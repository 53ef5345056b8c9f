"""What are operations and their steps, and which moves may they make?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from carrel.core.errors import IllegalTransition
from carrel.workspaces.rules.resources import Person


class Progress(StrEnum):
    """Where an operation, or one of its steps, stands."""

    WAITING = "waiting"
    RUNNING = "running"
    UNDOING = "undoing"
    """Of an operation: what its steps had made is being removed."""
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    """Of a step: what it had made was removed."""


P = Progress
_INSTALL = ("awaiting_deployment", "deploying", "deployed", "deployment_failed")
_UPGRADE = ("awaiting_update", "updating", "updated", "updating_failed")
_UNINSTALL = ("awaiting_deletion", "deleting", "deleted", "deleting_failed")
_CUSTOM = ("awaiting_action", "invoking_action", "action_succeeded", "action_failed")
_WORDS = {"install": _INSTALL, "upgrade": _UPGRADE, "uninstall": _UNINSTALL}
_PLACE = {P.WAITING: 0, P.RUNNING: 1, P.UNDOING: 1, P.DONE: 2, P.FAILED: 3, P.UNDONE: 3}

FINAL = frozenset({P.DONE, P.FAILED})
"""An operation that stands here moves again only by `retry`."""
SUCCESS_WORDS = frozenset(words[2] for words in (_INSTALL, _UPGRADE, _UNINSTALL, _CUSTOM))
FAILURE_WORDS = frozenset(words[3] for words in (_INSTALL, _UPGRADE, _UNINSTALL, _CUSTOM))


PIPELINE_RUNNING = "pipeline_running"
"""AzureTRE's word for an operation whose pipeline has several steps, while it runs."""


def status_word(action: str, progress: Progress) -> str:
    """Return AzureTRE's word for an operation or step; any other action is a custom one."""
    return _WORDS.get(action, _CUSTOM)[_PLACE[progress]]


@dataclass(frozen=True, slots=True)
class Step:
    """One part of an operation, in its order."""

    id: str
    name: str
    """Key of what the step does (`steps.STEPS`)."""
    title: str
    resource_id: str
    status: str
    message: str
    updated_at: datetime
    progress: Progress
    position: int = 0
    attempts: int = 0
    """How often it was tried so far, where a retry may help."""
    action: str = ""
    """What the step does to its resource, in AzureTRE's words."""
    resource_kind: str = ""
    template_name: str = ""
    """Of the resource that the step is about."""
    pipeline: Mapping[str, Any] | None = None
    """The step of a template's pipeline that it came from, if any (`pipelines.step_of`)."""
    undo: str = ""
    """Sealed: how to undo what it changed in properties."""

    @property
    def template_step_id(self) -> str:
        """How the template calls the step; Carrel's own steps have Carrel's names."""
        return str((self.pipeline or {}).get("step_id", self.name))


@dataclass(frozen=True, slots=True)
class Operation:
    """One asynchronous change of a resource."""

    id: str
    resource_id: str
    resource_path: str
    resource_version: int
    workspace_id: str | None
    action: str
    status: str
    message: str
    steps: Sequence[Step]
    created_at: datetime
    updated_at: datetime
    user: Person
    progress: Progress
    was_cancelled: bool = False
    """Whether somebody asked for it to be cancelled."""
    cancelled_by: str = ""
    """The name of who asked."""
    number: int = 0
    """Grows with every operation of the TRE: the order in which a tree takes them."""
    revision: int = 0
    """Grows with every change of it or of one of its steps."""
    limit_seconds: float | None = None
    """How long it may run; None for ever."""
    started_at: datetime | None = None

    @property
    def is_pipeline(self) -> bool:
        """Whether it belongs to a template's pipeline of more than one step."""
        return len(self.steps) > 1 and any(each.pipeline for each in self.steps)

    @property
    def steps_done(self) -> int:
        """How many steps went well."""
        return sum(each.progress is Progress.DONE for each in self.steps)

    def is_over_time(self, now: datetime) -> bool:
        """Whether it has run longer than it may. What removes something may take for ever."""
        if self.limit_seconds is None or self.started_at is None or self.action == "uninstall":
            return False
        return (now - self.started_at).total_seconds() > self.limit_seconds

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.progress in FINAL

    @property
    def has_succeeded(self) -> bool:
        """Whether it ended as wished."""
        return self.progress is P.DONE

    @property
    def can_cancel(self) -> bool:
        """Whether `cancel_operation` would be accepted now."""
        if self.was_cancelled:
            return False
        if (self.action, self.progress) in _CANCELLABLE:
            return True
        if self.progress is Progress.RUNNING:  # then what it changed elsewhere is undone
            return self.is_pipeline and self.action != "uninstall"
        is_of_template = self.action not in {*_WORDS, *_RECONCILERS}
        return self.progress is Progress.WAITING and is_of_template

    @property
    def can_retry(self) -> bool:
        """Whether `retry_operation` would be accepted now."""
        return self.progress is P.FAILED


START_ACTIONS = ("start", "restart")
"""Custom actions that end with a running sandbox."""
KNOWN_ACTIONS = frozenset({*START_ACTIONS, "stop"})
"""Custom actions that a bundle may offer."""
_RECONCILERS = frozenset({"repair", "clear_up"})
_CANCELLABLE = {
    *((action, P.WAITING) for action in ("install", "uninstall", *START_ACTIONS, "stop")),
    *((action, P.RUNNING) for action in ("install", *START_ACTIONS)),
}


def check_cancel(operation: Operation) -> None:
    """Raise `IllegalTransition` unless the operation can still be cancelled."""
    if operation.is_final:
        raise IllegalTransition("This operation has ended; there is nothing left to cancel.")
    if not operation.can_cancel:
        raise IllegalTransition(
            f"This {operation.action} cannot be cancelled any more. Wait until it has ended, "
            "then undo it by the opposite change."
        )


def check_retry(operation: Operation, latest_id: str) -> None:
    """Raise `IllegalTransition` unless the operation failed and is its resource's latest."""
    if not operation.can_retry:
        raise IllegalTransition("Only an operation that failed can be tried again.")
    if operation.id != latest_id:
        raise IllegalTransition(
            "Something newer was done to this resource. Start the change again instead."
        )
