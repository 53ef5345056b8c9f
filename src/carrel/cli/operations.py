"""Operations: what changes, step by step."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from carrel.cli import client
from carrel.cli.follow import NoWait, settle, watch
from carrel.cli.output import JsonFlag, moment, show, table
from carrel.workspaces.rules import FAILURE_WORDS

app = typer.Typer()
OperationId = Annotated[str, typer.Argument(help="Id of the operation.")]


@app.command("list")
def list_all(json: JsonFlag = False) -> None:
    """List your operations that are still at work."""
    found = client.signed_in().get("/api/operations")
    rows = [
        (one["id"], one["action"], one["resourcePath"], one["status"], moment(one["createdWhen"]))
        for one in found["operations"]
    ]
    columns = ("ID", "Action", "Resource", "Status", "Begun (UTC)")
    show(found, as_json=json, human=table(columns, rows, empty="Nothing is at work."))


@app.command("show")
def show_one(operation: OperationId, json: JsonFlag = False) -> None:
    """Show an operation and its steps as they are now."""
    _display(_get(client.signed_in(), operation), as_json=json)


@app.command("watch")
def watch_one(operation: OperationId, json: JsonFlag = False) -> None:
    """Watch an operation until it has ended; status 1 if it ends badly."""
    api = client.signed_in()
    ended = watch(api, _get(api, operation))
    _display(ended, as_json=json)
    if ended["status"] in FAILURE_WORDS:
        raise typer.Exit(1)


@app.command()
def cancel(operation: OperationId, json: JsonFlag = False) -> None:
    """Cancel an operation between two steps; what it made is removed again."""
    api = client.signed_in()
    _display(api.post(f"/api/operations/{operation}/cancel")["operation"], as_json=json)


@app.command()
def retry(operation: OperationId, no_wait: NoWait = False, json: JsonFlag = False) -> None:
    """Try a failed operation again, from the step that failed."""
    api = client.signed_in()
    answer = api.post(f"/api/operations/{operation}/retry")
    settle(api, answer, no_wait=no_wait, as_json=json)


def _get(api: client.Api, operation_id: str) -> Mapping[str, Any]:
    return dict(api.get(f"/api/operations/{operation_id}")["operation"])


def _display(operation: Mapping[str, Any], *, as_json: bool) -> None:
    rows = [
        (step["stepTitle"], step["status"], step.get("message", ""))
        for step in operation.get("steps", ())
    ]
    columns = (f"{operation['action']}: {operation['status']}", "Status", "Message")
    human = table(columns, rows, empty=f"{operation['action']}: {operation['status']}")
    show({"operation": operation}, as_json=as_json, human=human)
