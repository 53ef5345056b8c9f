"""Shared services: one for the whole TRE."""

from typing import Annotated

import typer

from carrel.cli import client, completion, kinds, properties, refer
from carrel.cli.follow import NoWait
from carrel.cli.kinds import DryRun
from carrel.cli.output import JsonFlag, show, table

app = typer.Typer()
SharedReference = Annotated[
    str,
    typer.Argument(
        help="Id, name or template of the shared service.",
        autocompletion=completion.shared_services,
    ),
]
SHARED_SERVICE = kinds.Kind(
    "sharedService", "shared service", [("service", SharedReference)], refer.shared_service
)


@app.command("list")
def list_all(json: JsonFlag = False) -> None:
    """List the services that all workspaces share."""
    found = client.signed_in().get("/api/shared-services")
    rows = [
        (one["id"], refer.name_of(one), one["templateName"], one["deploymentStatus"])
        for one in found["sharedServices"]
    ]
    columns = ("ID", "Name", "Template", "Status")
    human = table(columns, rows, empty="None yet. See: carrel shared-service create --help")
    show(found, as_json=json, human=human)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new shared service.")],
    template: Annotated[str, typer.Option(help="Name of a shared service template.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Make a service for the whole TRE (TRE administrators); one of each template."""
    given = properties.read(pairs, file, name=name, description=description or name)
    path = "/api/shared-services"
    api = client.signed_in()
    kinds.create(api, path, template, given, dry_run=dry_run, no_wait=no_wait, json=json)


kinds.add_commands(app, SHARED_SERVICE)
