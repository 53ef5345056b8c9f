"""Workspaces and their members."""

from typing import Annotated

import typer

from carrel.cli import client, completion, kinds, properties, refer
from carrel.cli.follow import NoWait
from carrel.cli.kinds import DryRun
from carrel.cli.output import JsonFlag, moment, remark, show, size, table
from carrel.core.actors import WorkspaceRole

app = typer.Typer()
Reference = Annotated[
    str, typer.Argument(help="Id or name of the workspace.", autocompletion=completion.workspaces)
]
UserReference = Annotated[str, typer.Argument(help="User name of the person.")]
_ROLES = {
    "owner": WorkspaceRole.OWNER,
    "researcher": WorkspaceRole.RESEARCHER,
    "airlock-manager": WorkspaceRole.AIRLOCK_MANAGER,
}
RoleArgument = Annotated[str, typer.Argument(help="owner, researcher or airlock-manager.")]
OWNER = "workspace_owner_object_id"
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")]
WORKSPACE = kinds.Kind(
    "workspace", "workspace", [("workspace", Reference)], refer.workspace, asks_before_delete=True
)


@app.command("list")
def list_all(json: JsonFlag = False) -> None:
    """List the workspaces you belong to; administrators see all."""
    found = client.signed_in().get("/api/workspaces")
    rows = [
        (one["id"], refer.name_of(one), one["templateName"], one["deploymentStatus"],
         one["isEnabled"])
        for one in found["workspaces"]
    ]  # fmt: skip
    columns = ("ID", "Name", "Template", "Status", "Enabled")
    show(found, as_json=json, human=table(columns, rows, empty="No workspace yet."))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new workspace.")],
    template: Annotated[str, typer.Option(help="Name of a workspace template.")] = "restricted",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    owner: Annotated[
        str, typer.Option(help="User name of its owner; without it nobody owns it yet.")
    ] = "",
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Create a workspace (TRE administrators) and watch it come up."""
    given = properties.read(pairs, file, name=name, description=description or name)
    api = client.signed_in()
    if owner or OWNER not in given:  # else the API makes whoever creates it its owner
        given[OWNER] = refer.account(api, owner)["id"] if owner else ""
    kinds.create(
        api, "/api/workspaces", template, given, dry_run=dry_run, no_wait=no_wait, json=json
    )


@app.command()
def packages(workspace: Reference, limit: Limit = 100, json: JsonFlag = False) -> None:
    """List the packages that a workspace downloaded, newest first."""
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/packages"
    found = api.get(path, limit=limit)
    rows = [
        (moment(one["first_at"]), one["ecosystem"], one["name"], one["version"], one["filename"])
        for one in found["packages"]
    ]
    columns = ("First download (UTC)", "From", "Package", "Version", "File")
    show(found, as_json=json, human=table(columns, rows, empty="No package yet."))


@app.command()
def egress(workspace: Reference, limit: Limit = 100, json: JsonFlag = False) -> None:
    """List the connections that a workspace made to the internet, newest first."""
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/egress"
    found = api.get(path, limit=limit)
    rows = [
        (moment(one["at"]), one["host"], one["port"], one["outcome"], size(one["sent_bytes"]),
         size(one["received_bytes"]))
        for one in found["connections"]
    ]  # fmt: skip
    columns = ("When (UTC)", "Host", "Port", "Outcome", "Sent", "Received")
    show(found, as_json=json, human=table(columns, rows, empty="No connection yet."))


@app.command()
def members(workspace: Reference, json: JsonFlag = False) -> None:
    """List who belongs to a workspace, and with which roles."""
    api = client.signed_in()
    found = api.get(f"/api{refer.workspace(api, workspace)['resourcePath']}/users")
    rows = [
        (one["id"], one.get("userPrincipalName"), one.get("displayName"),
         [role["displayName"] for role in one.get("roles", ())])
        for one in found["users"]
    ]  # fmt: skip
    columns = ("ID", "User name", "Name", "Roles")
    show(found, as_json=json, human=table(columns, rows, empty="Nobody belongs to it yet."))


@app.command()
def assign(workspace: Reference, user: UserReference, role: RoleArgument) -> None:
    """Give somebody a role in a workspace."""
    api = client.signed_in()
    found = refer.workspace(api, workspace)
    body = {"role_id": _role(role), "user_ids": [_assignable(api, found, user)]}
    api.post(f"/api{found['resourcePath']}/users/assign", body)
    remark(f"{user} now is {role} of {refer.name_of(found)}.")


@app.command()
def unassign(workspace: Reference, user: UserReference, role: RoleArgument) -> None:
    """Take a role in a workspace from somebody; open sessions end."""
    api = client.signed_in()
    found = refer.workspace(api, workspace)
    who = {"user_id": refer.member(api, found, user), "role_id": _role(role)}
    api.send("DELETE", f"/api{found['resourcePath']}/users/assign", params=who)
    remark(f"{user} no longer is {role} of {refer.name_of(found)}.")


@app.command()
def catalogue(
    workspace: Reference,
    offer: Annotated[
        list[str], typer.Option("--offer", help="Only this service template; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    everything: Annotated[bool, typer.Option("--all", help="Offer every template.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show which service templates a workspace may use, or set them (TRE administrators)."""
    if offer and everything:
        raise typer.BadParameter("Give --offer or --all, not both.")
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/catalogue"
    if offer or everything:
        wanted = None if everything else [{"name": name} for name in offer]
        found = api.send("PUT", path, json={"templates": wanted})
    else:
        found = api.get(path)
    if found["templates"] is None:
        show(found, as_json=json, human=lambda _console: typer.echo("Every service template."))
        return
    rows = [(one["name"],) for one in found["templates"]]
    show(found, as_json=json, human=table(("Template",), rows, empty="No service template."))


@app.command()
def roles(workspace: Reference, json: JsonFlag = False) -> None:
    """List the roles that can be given in a workspace."""
    api = client.signed_in()
    found = api.get(f"/api{refer.workspace(api, workspace)['resourcePath']}/roles")
    rows = [(one["id"], one["displayName"]) for one in found["roles"]]
    show(found, as_json=json, human=table(("ID", "Role"), rows, empty=""))


@app.command()
def scope(workspace: Reference, json: JsonFlag = False) -> None:
    """Print the scope by which a client asks for access tokens for a workspace."""
    api = client.signed_in()
    found = api.get(f"/api{refer.workspace(api, workspace)['resourcePath']}/scopeid")
    human = lambda _console: typer.echo(found["workspaceAuth"]["scopeId"])  # noqa: E731
    show(found, as_json=json, human=human)


@app.command()
def people(
    workspace: Reference,
    beginning: Annotated[str, typer.Argument(help="Beginning of a name or user name.")] = "",
    json: JsonFlag = False,
) -> None:
    """Search the people who can be given a role in a workspace."""
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/assignable-users"
    found = api.get(path, filter=beginning or None)
    rows = [
        (one["id"], one["userPrincipalName"], one["displayName"])
        for one in found["assignable_users"]
    ]
    columns = ("ID", "User name", "Name")
    show(found, as_json=json, human=table(columns, rows, empty="Nobody of that name."))


@app.command()
def templates(
    workspace: Reference,
    service: Annotated[str, typer.Option(help="User resources of this service template.")] = "",
    json: JsonFlag = False,
) -> None:
    """List the templates that you may use in a workspace."""
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/workspace-service-templates"
    found = api.get(f"{path}/{service}/user-resource-templates" if service else path)
    rows = [(one["name"], one["title"], one["description"]) for one in found["templates"]]
    columns = ("Name", "Title", "Description")
    show(found, as_json=json, human=table(columns, rows, empty="No template for you here."))


def _assignable(api: client.Api, found: refer.Found, user: str) -> str:
    path = f"/api{found['resourcePath']}/assignable-users"
    return refer.chosen(api.get(path, filter=user, maxResultCount=100)["assignable_users"], user)


def _role(name: str) -> str:
    for known, role in _ROLES.items():
        if name.casefold() in (known, role.value.casefold()):
            return role.value
    raise typer.BadParameter(f"{name!r} is none of: {', '.join(_ROLES)}.")


kinds.add_commands(app, WORKSPACE)
