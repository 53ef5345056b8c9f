"""Workspace services: the tools of a workspace."""

from typing import Annotated

import typer

from carrel.cli import client, properties, refer
from carrel.cli.follow import NoWait, settle
from carrel.cli.output import JsonFlag, fields, show, table
from carrel.cli.workspaces import Reference, patch, patch_body, resource_fields

app = typer.Typer()
ServiceReference = Annotated[str, typer.Argument(help="Id or name of the workspace service.")]


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


@app.command("show")
def show_one(workspace: Reference, service: ServiceReference, json: JsonFlag = False) -> None:
    """Show one workspace service."""
    api = client.signed_in()
    found = refer.service(api, refer.workspace(api, workspace)["id"], service)
    show({"workspaceService": found}, as_json=json, human=fields(resource_fields(found)))


@app.command()
def create(
    workspace: Reference,
    name: Annotated[str, typer.Argument(help="Name of the new service.")],
    template: Annotated[str, typer.Option(help="Name of a service template.")] = "notebooks",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Add a service to a workspace (workspace owners)."""
    api = client.signed_in()
    given = properties.read(pairs, file, name=name, description=description or name)
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/workspace-services"
    answer = api.post(path, {"templateName": template, "properties": given})
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def update(
    workspace: Reference,
    service: ServiceReference,
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    template_version: Annotated[str, typer.Option(help="Template version to move to.")] = "",
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Change properties of a service, or its template's version."""
    api = client.signed_in()
    found = refer.service(api, refer.workspace(api, workspace)["id"], service)
    change = patch_body(properties.read(pairs, file), template_version)
    settle(api, patch(api, found, change), no_wait=no_wait, as_json=json)


@app.command()
def enable(
    workspace: Reference, service: ServiceReference, no_wait: NoWait = False, json: JsonFlag = False
) -> None:
    """Enable a service again."""
    _switch(workspace, service, on=True, no_wait=no_wait, as_json=json)


@app.command()
def disable(
    workspace: Reference, service: ServiceReference, no_wait: NoWait = False, json: JsonFlag = False
) -> None:
    """Disable a service and the sessions in it."""
    _switch(workspace, service, on=False, no_wait=no_wait, as_json=json)


@app.command()
def delete(
    workspace: Reference, service: ServiceReference, no_wait: NoWait = False, json: JsonFlag = False
) -> None:
    """Delete a disabled service."""
    api = client.signed_in()
    found = refer.service(api, refer.workspace(api, workspace)["id"], service)
    answer = api.send("DELETE", f"/api{found['resourcePath']}")
    settle(api, answer, no_wait=no_wait, as_json=json)


def _switch(workspace: str, service: str, *, on: bool, no_wait: bool, as_json: bool) -> None:
    api = client.signed_in()
    found = refer.service(api, refer.workspace(api, workspace)["id"], service)
    settle(api, patch(api, found, {"isEnabled": on}), no_wait=no_wait, as_json=as_json)
