"""User resources: your own sessions in a workspace service."""

from typing import Annotated

import typer

from carrel.cli import client, kinds, properties, refer, services
from carrel.cli.follow import NoWait
from carrel.cli.kinds import DryRun
from carrel.cli.output import JsonFlag, remark, show, table
from carrel.cli.services import ServiceReference
from carrel.cli.workspaces import Reference

app = typer.Typer()
ResourceReference = Annotated[str, typer.Argument(help="Id or name of the user resource.")]


def find(api: client.Api, workspace: str, resource: str) -> refer.Found:
    """Return the user resource that a person means."""
    return refer.user_resource(api, refer.workspace(api, workspace)["id"], resource)


USER_RESOURCE = kinds.Kind(
    "userResource",
    "user resource",
    [("workspace", Reference), ("resource", ResourceReference)],
    find,
)


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


@app.command()
def create(
    workspace: Reference,
    service: ServiceReference,
    name: Annotated[str, typer.Argument(help="Name of the new user resource.")],
    template: Annotated[str, typer.Option(help="Name of a template.")] = "jupyterlab",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    owner: Annotated[
        str, typer.Option("--for", help="User name of the member it is for (workspace owners).")
    ] = "",
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Start a session of your own, for instance a JupyterLab."""
    api = client.signed_in()
    given = properties.read(pairs, file, name=name, description=description or name)
    parent = services.find(api, workspace, service)
    if owner:
        given |= {"assign_to_another_user": True, "owner_id": refer.member(api, parent, owner)}
    path = f"/api{parent['resourcePath']}/user-resources"
    kinds.create(api, path, template, given, dry_run=dry_run, no_wait=no_wait, json=json)


@app.command("open")
def open_session(workspace: Reference, resource: ResourceReference, json: JsonFlag = False) -> None:
    """Print the address at which your browser may open it; good once, for 30 seconds."""
    api = client.signed_in()
    found = find(api, workspace, resource)
    answer = api.post(f"/api/launch/{found['id']}")
    if not json:
        remark("Open this within 30 seconds; it works once:")
    show(answer, as_json=json, human=lambda _console: typer.echo(answer["url"]))


@app.command()
def output(workspace: Reference, resource: ResourceReference, json: JsonFlag = False) -> None:
    """Print the end of what your own user resource wrote, to see why it failed."""
    api = client.signed_in()
    found = api.get(f"/api{find(api, workspace, resource)['resourcePath']}/output")
    show(found, as_json=json, human=lambda _console: typer.echo(found["output"]))


kinds.add_commands(
    app,
    USER_RESOURCE,
    actions={
        "start": "Start a stopped user resource; its files are still there.",
        "stop": "Stop a user resource; its files stay, what runs in it ends.",
        "restart": "Stop and start a user resource.",
    },
)
