"""How does a person watch an operation until it has ended?"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.text import Text

from carrel.cli.client import Api
from carrel.cli.output import PAUSE_SECONDS, messages, remark, show
from carrel.core.clock import monotonic
from carrel.core.errors import CarrelError, NotFound, Unavailable
from carrel.workspaces.rules import FAILURE_WORDS, SUCCESS_WORDS

NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Return at once; the change goes on in the background.")
]
PATIENCE_SECONDS = 60.0
"""How long the API may be away while an operation is watched."""


def settle(api: Api, answer: Mapping[str, Any], *, no_wait: bool, as_json: bool) -> None:
    """Show the operation that an API answer began, and watch it unless told not to.

    Leaves with status 1 if it ends badly.
    """
    operation = answer["operation"]
    if not no_wait:
        operation = watch(api, operation)
    show({"operation": operation}, as_json=as_json, human=_conclusion(operation))
    if operation["status"] in FAILURE_WORDS:
        raise typer.Exit(1)


def watch(api: Api, operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Show the steps on standard error until the operation has ended; return it as it then is."""
    path = f"/api{operation['resourcePath']}/operations/{operation['id']}"
    pause = threading.Event()
    lost_at: float | None = None
    with Live(_drawn(operation), console=messages(), refresh_per_second=8, transient=True) as live:
        for seen in _sent(api, path):
            operation = seen
            live.update(_drawn(operation))
        while not has_ended(operation):  # where the stream ended early, or there is none
            pause.wait(PAUSE_SECONDS)
            try:
                operation = api.get(path)["operation"]
                lost_at = None
            except NotFound:
                if operation["action"] != "uninstall":
                    raise
                return {**operation, "status": "deleted", "message": "Deleted."}
            except Unavailable:
                lost_at = lost_at or monotonic()
                if monotonic() - lost_at > PATIENCE_SECONDS:
                    raise
            live.update(_drawn(operation))
    return operation


def _sent(api: Api, path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the operation whenever the server sends it; ends early if the server stops."""
    try:
        with api.stream(f"{path}/events") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: ") and "id" in (seen := json.loads(line[6:])):
                    yield seen
    except CarrelError:
        return


def has_ended(operation: Mapping[str, Any]) -> bool:
    """Whether the operation changes no more by itself."""
    return operation["status"] in SUCCESS_WORDS | FAILURE_WORDS


def _drawn(operation: Mapping[str, Any]) -> Group:
    title = f"{operation['action']} of {operation['resourcePath']}"
    lines: list[Any] = [Spinner("dots", text=escape(title))]
    for step in operation.get("steps", ()):
        lines.append(Text.from_markup(f"  {_mark(step['status'])} {escape(step['stepTitle'])}"))
        if step["status"] not in SUCCESS_WORDS and step.get("message"):
            lines.append(Text(f"      {step['message']}", style="dim"))
    return Group(*lines)


def _mark(status: str) -> str:
    if status in SUCCESS_WORDS:
        return "[green]✓[/]"
    if status in FAILURE_WORDS:
        return "[red]✗[/]"
    return "[dim]·[/]" if status.startswith("awaiting") else "[yellow]…[/]"


def _conclusion(operation: Mapping[str, Any]) -> Callable[[Any], None]:
    def draw(_console: Any) -> None:
        remark(f"{operation['action']}: {operation['status']}. {operation.get('message', '')}")
        typer.echo(operation["resourceId"])

    return draw
