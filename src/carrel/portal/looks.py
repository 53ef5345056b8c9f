"""In which words and colours do states, times and sizes appear to people?"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Look:
    """A state in plain words and a colour of the NHS.UK tag component."""

    text: str
    colour: str


LOOKS = {
    # Operations and resources (AzureTRE's words)
    "awaiting_deployment": Look("Waiting", "yellow"),
    "deploying": Look("Creating", "yellow"),
    "pipeline_running": Look("Under way", "yellow"),
    "deployed": Look("Ready", "green"),
    "deployment_failed": Look("Creation failed", "red"),
    "awaiting_update": Look("Waiting", "yellow"),
    "updating": Look("Changing", "yellow"),
    "updated": Look("Ready", "green"),
    "updating_failed": Look("Change failed", "red"),
    "awaiting_deletion": Look("Waiting", "yellow"),
    "deleting": Look("Deleting", "yellow"),
    "deleted": Look("Deleted", "grey"),
    "deleting_failed": Look("Deletion failed", "red"),
    "awaiting_action": Look("Waiting", "yellow"),
    "invoking_action": Look("Working", "yellow"),
    "action_succeeded": Look("Ready", "green"),
    "action_failed": Look("Action failed", "red"),
    # What a tool is doing
    "running": Look("Running", "green"),
    "stopped": Look("Stopped", "grey"),
    "failed": Look("Failed", "red"),
    "disabled": Look("Disabled", "grey"),
    # Airlock requests
    "draft": Look("Draft", "grey"),
    "submitted": Look("Checking", "yellow"),
    "in_review": Look("In review", "blue"),
    "partially_reviewed": Look("Partly reviewed", "blue"),
    "reviewed": Look("Reviewed, to be decided", "blue"),
    "approval_in_progress": Look("Approving", "yellow"),
    "approved": Look("Approved", "green"),
    "rejection_in_progress": Look("Rejecting", "yellow"),
    "rejected": Look("Rejected", "red"),
    "cancelled": Look("Cancelled", "grey"),
    "blocking_in_progress": Look("Blocking", "yellow"),
    "blocked_by_scan": Look("Blocked by a check", "red"),
    "revoked": Look("Revoked", "red"),
    "returned": Look("Returned to author", "orange"),
    # Health
    "ok": Look("Working", "green"),
    "late": Look("Silent", "red"),
    "absent": Look("Not running", "red"),
    "off": Look("Not running", "grey"),
}
BUSY = frozenset(name for name, look in LOOKS.items() if look.colour == "yellow")
"""States in which something is under way."""

_ROLES = {
    "TREAdmin": "TRE administrator",
    "TREUser": "TRE user",
    "WorkspaceOwner": "Owner",
    "WorkspaceResearcher": "Researcher",
    "AirlockManager": "Airlock manager",
}


def status_look(status: str) -> Look:
    """Return how a state is shown; an unknown one in its own words."""
    return LOOKS.get(status) or Look(status.replace("_", " ").capitalize(), "white")


def role_name(role: str) -> str:
    """Return a role in plain words."""
    return _ROLES.get(role, role)


_ACTIONS = {"install": "Creation", "upgrade": "Change", "uninstall": "Deletion"}


def action_name(action: str) -> str:
    """Return what an operation does, as a noun."""
    return _ACTIONS.get(action, action.replace("_", " ").capitalize())


def when(moment: datetime | str) -> str:
    """Return a time as people say it, for instance `23 Nov 2026, 18:05`, in UTC."""
    moment = _aware(moment)
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def iso(moment: datetime | str) -> str:
    """Return a time for machines."""
    return _aware(moment).isoformat(timespec="seconds")


def clock_time(moment: datetime | str) -> str:
    """Return the time of day with seconds, in UTC."""
    return f"{_aware(moment):%H:%M:%S}"


def size(size_bytes: float) -> str:
    """Return a number of bytes in the unit that reads best."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(size_bytes) < 1024:
            return f"{size_bytes:.0f} bytes" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def duration(seconds: float) -> str:
    """Return a length of time in the unit that reads best."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 file`, `3 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


_TITLE = re.compile(r"\A\s*# [^\n]*\n")
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def markdown(text: str) -> Markup:
    """Return Markdown as safe HTML, without its title: the page around it has one."""
    html = _MARKDOWN.render(_TITLE.sub("", text, count=1))
    for level in (4, 3, 2, 1):
        html = html.replace(f"<h{level}>", f"<h{level + 1}>")
        html = html.replace(f"</h{level}>", f"</h{level + 1}>")
    return Markup(nh3.clean(html))  # noqa: S704  nh3 has just cleaned it


def _aware(moment: datetime | str) -> datetime:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC)
