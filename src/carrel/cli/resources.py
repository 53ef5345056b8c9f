"""User resources: your own sessions in a workspace service."""

from typing import Annotated

import typer

from carrel.cli import client, inspect, properties, refer
from carrel.cli.follow import NoWait, settle
from carrel.cli.output import JsonFlag, fields, remark, show, table
from carrel.cli.services import ServiceReference
from carrel.cli.workspaces import Reference, patch, resource_fields

app = typer.Typer()
ResourceReference = Annotated[str, typer.Argument(help="Id or name of the user resource.")]


@app.command("list")
def list_all(
    workspace: Reference,
    service: Annotated[str, typer.Option(help="Only of this service.")] = "",
    json: JsonFlag = False,
) -> None:
    """List your user resources of a workspace; owners see everybody's."""
    api = client.signed_in()
    found = refer.user_resources(api, refer.workspace(api, workspace)["id"], service)
    rows = [
        (one["id"], refer.name_of(one), one["templateName"], one["deploymentStatus"],
         (one.get("azureStatus") or {}).get("powerState", ""))
        for one in found
    ]  # fmt: skip
    columns = ("ID", "Name", "Template", "Status", "Power")
    human = table(columns, rows, empty="None yet. See: carrel resource create --help")
    show({"userResources": found}, as_json=json, human=human)


@app.command("show")
def show_one(workspace: Reference, resource: ResourceReference, json: JsonFlag = False) -> None:
    """Show one user resource."""
    found = _find(client.signed_in(), workspace, resource)
    show({"userResource": found}, as_json=json, human=fields(resource_fields(found)))


@app.command()
def create(
    workspace: Reference,
    service: ServiceReference,
    name: Annotated[str, typer.Argument(help="Name of the new user resource.")],
    template: Annotated[str, typer.Option(help="Name of a template.")] = "jupyterlab",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Start a session of your own, for instance a JupyterLab."""
    api = client.signed_in()
    given = properties.read(pairs, file, name=name, description=description or name)
    parent = refer.service(api, refer.workspace(api, workspace)["id"], service)
    body = {"templateName": template, "properties": given}
    answer = api.post(f"/api{parent['resourcePath']}/user-resources", body)
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def start(
    workspace: Reference,
    resource: ResourceReference,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Start a stopped user resource; its files are still there."""
    _invoke(workspace, resource, "start", no_wait=no_wait, as_json=json)


@app.command()
def stop(
    workspace: Reference,
    resource: ResourceReference,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Stop a user resource; its files stay, what runs in it ends."""
    _invoke(workspace, resource, "stop", no_wait=no_wait, as_json=json)


@app.command()
def restart(
    workspace: Reference,
    resource: ResourceReference,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Stop and start a user resource."""
    _invoke(workspace, resource, "restart", no_wait=no_wait, as_json=json)


@app.command("open")
def open_session(workspace: Reference, resource: ResourceReference, json: JsonFlag = False) -> None:
    """Print the address at which your browser may open it; good once, for 30 seconds."""
    api = client.signed_in()
    found = _find(api, workspace, resource)
    answer = api.post(f"/api/launch/{found['id']}")
    if not json:
        remark("Open this within 30 seconds; it works once:")
    show(answer, as_json=json, human=lambda _console: typer.echo(answer["url"]))


@app.command()
def usage(workspace: Reference, resource: ResourceReference, json: JsonFlag = False) -> None:
    """Show what a user resource has used so far."""
    api = client.signed_in()
    inspect.show_usage(api, _find(api, workspace, resource), as_json=json)


@app.command()
def output(workspace: Reference, resource: ResourceReference, json: JsonFlag = False) -> None:
    """Print the end of what your own user resource wrote, to see why it failed."""
    api = client.signed_in()
    found = api.get(f"/api{_find(api, workspace, resource)['resourcePath']}/output")
    show(found, as_json=json, human=lambda _console: typer.echo(found["output"]))


@app.command()
def enable(
    workspace: Reference,
    resource: ResourceReference,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Enable a user resource again."""
    api = client.signed_in()
    answer = patch(api, _find(api, workspace, resource), {"isEnabled": True})
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def disable(
    workspace: Reference,
    resource: ResourceReference,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Disable a user resource: it stops, and can then be deleted."""
    api = client.signed_in()
    answer = patch(api, _find(api, workspace, resource), {"isEnabled": False})
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def delete(
    workspace: Reference,
    resource: ResourceReference,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Delete a disabled user resource."""
    api = client.signed_in()
    found = _find(api, workspace, resource)
    answer = api.send("DELETE", f"/api{found['resourcePath']}")
    settle(api, answer, no_wait=no_wait, as_json=json)


def _invoke(workspace: str, resource: str, action: str, *, no_wait: bool, as_json: bool) -> None:
    api = client.signed_in()
    found = _find(api, workspace, resource)
    answer = api.send(
        "POST", f"/api{found['resourcePath']}/invoke-action", params={"action": action}
    )
    settle(api, answer, no_wait=no_wait, as_json=as_json)


def _find(api: client.Api, workspace: str, resource: str) -> refer.Found:
    return refer.user_resource(api, refer.workspace(api, workspace)["id"], resource)
