"""Workspace services: the tools of a workspace."""

from typing import Annotated

import typer

from carrel.cli import client, kinds, properties, refer
from carrel.cli.follow import NoWait
from carrel.cli.kinds import DryRun
from carrel.cli.output import JsonFlag, show, table
from carrel.cli.workspaces import Reference

app = typer.Typer()
ServiceReference = Annotated[str, typer.Argument(help="Id or name of the workspace service.")]


def find(api: client.Api, workspace: str, service: str) -> refer.Found:
    """Return the service that a person means."""
    return refer.service(api, refer.workspace(api, workspace)["id"], service)


SERVICE = kinds.Kind(
    "workspaceService",
    "workspace service",
    [("workspace", Reference), ("service", ServiceReference)],
    find,
)


@app.command("list")
def list_all(workspace: Reference, json: JsonFlag = False) -> None:
    """List the services of a workspace."""
    api = client.signed_in()
    found = refer.services(api, refer.workspace(api, workspace)["id"])
    rows = [
        (one["id"], refer.name_of(one), one["templateName"], one["deploymentStatus"])
        for one in found
    ]
    columns = ("ID", "Name", "Template", "Status")
    human = table(columns, rows, empty="No service yet. See: carrel service create --help")
    show({"workspaceServices": found}, as_json=json, human=human)


@app.command()
def create(
    workspace: Reference,
    name: Annotated[str, typer.Argument(help="Name of the new service.")],
    template: Annotated[str, typer.Option(help="Name of a service template.")] = "notebooks",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Add a service to a workspace (workspace owners)."""
    api = client.signed_in()
    given = properties.read(pairs, file, name=name, description=description or name)
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/workspace-services"
    kinds.create(api, path, template, given, dry_run=dry_run, no_wait=no_wait, json=json)


kinds.add_commands(app, SERVICE)
