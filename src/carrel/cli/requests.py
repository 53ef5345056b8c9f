"""Airlock requests across workspaces, and their links; `carrel airlock` offers these too."""

from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import quote

import typer

from carrel.cli import client, refer
from carrel.cli.follow import NoWait, settle
from carrel.cli.output import JsonFlag, moment, remark, show, table
from carrel.cli.workspaces import Reference

RequestId = Annotated[str, typer.Argument(help="Id of the request.")]


def path_of(api: client.Api, workspace: str, request: str) -> str:
    """Return the address of a request in the API."""
    found = refer.workspace(api, workspace)
    return f"/api{found['resourcePath']}/requests/{quote(request, safe='')}"


def mine(
    to_review: Annotated[
        bool, typer.Option("--to-review", help="Of the workspaces in which you review.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """List your own airlock requests of every workspace."""
    api = client.signed_in()
    found = api.get("/api/requests", airlock_manager="true" if to_review else None)
    rows = [(one["id"], one["type"], one["title"], one["status"]) for one in found]
    columns = ("ID", "Type", "Title", "Status")
    show(found, as_json=json, human=table(columns, rows, empty="No request yet."))


def link(
    workspace: Reference,
    request: RequestId,
    end: Annotated[bool, typer.Option("--end", help="End every link of yours instead.")] = False,
    json: JsonFlag = False,
) -> None:
    """Print an address for programs that speak Azure's Blob protocol; it is yours alone."""
    api = client.signed_in()
    path = f"{path_of(api, workspace, request)}/link"
    if end:
        api.send("DELETE", path)
        remark("Your links to it are over.")
        return
    found = api.get(path)
    show(found, as_json=json, human=lambda _console: typer.echo(found["containerUrl"]))


def review_resource(
    workspace: Reference, request: RequestId, no_wait: NoWait = False, json: JsonFlag = False
) -> None:
    """Make the user resource in which you review, as the workspace configures it."""
    api = client.signed_in()
    answer = api.post(f"{path_of(api, workspace, request)}/review-user-resource")
    settle(api, answer, no_wait=no_wait, as_json=json)


def tickets(
    workspace: Reference,
    request: RequestId,
    revoke: Annotated[str, typer.Option("--revoke", help="End this ticket instead (id).")] = "",
    json: JsonFlag = False,
) -> None:
    """List the tickets to a release: who holds them, which were used."""
    api = client.signed_in()
    path = f"{path_of(api, workspace, request)}/tickets"
    if revoke:
        api.send("DELETE", f"{path}/{quote(revoke, safe='')}")
        remark("That ticket is over.")
        return
    found = api.get(path)
    rows = [
        (one["id"], one["holder"]["name"], one["state"], moment(one["madeWhen"]),
         moment(one["expiresWhen"]))
        for one in found["tickets"]
    ]  # fmt: skip
    columns = ("ID", "Holder", "State", "Made (UTC)", "Ends (UTC)")
    show(found, as_json=json, human=table(columns, rows, empty="No ticket yet."))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "mine": mine,
    "link": link,
    "tickets": tickets,
    "review-resource": review_resource,
}
