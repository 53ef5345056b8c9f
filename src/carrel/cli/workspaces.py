"""Workspaces and their members."""

from collections.abc import Sequence
from typing import Annotated

import typer

from carrel.cli import client, inspect, properties, refer
from carrel.cli.follow import NoWait, settle
from carrel.cli.output import JsonFlag, fields, moment, remark, show, size, table
from carrel.core.actors import WorkspaceRole
from carrel.core.errors import NotFound

app = typer.Typer()
Reference = Annotated[str, typer.Argument(help="Id or name of the workspace.")]
UserReference = Annotated[str, typer.Argument(help="User name of the person.")]
_ROLES = {
    "owner": WorkspaceRole.OWNER,
    "researcher": WorkspaceRole.RESEARCHER,
    "airlock-manager": WorkspaceRole.AIRLOCK_MANAGER,
}
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")]
RoleArgument = Annotated[str, typer.Argument(help="owner, researcher or airlock-manager.")]


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


@app.command("show")
def show_one(workspace: Reference, json: JsonFlag = False) -> None:
    """Show one workspace."""
    found = refer.workspace(client.signed_in(), workspace)
    show({"workspace": found}, as_json=json, human=fields(resource_fields(found)))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new workspace.")],
    template: Annotated[str, typer.Option(help="Name of a workspace template.")] = "restricted",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Create a workspace (TRE administrators) and watch it come up."""
    api = client.signed_in()
    given = properties.read(pairs, file, name=name, description=description or name)
    answer = api.post("/api/workspaces", {"templateName": template, "properties": given})
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def update(
    workspace: Reference,
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    template_version: Annotated[str, typer.Option(help="Template version to move to.")] = "",
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Change properties of a workspace, or its template's version."""
    api = client.signed_in()
    found = refer.workspace(api, workspace)
    change = patch_body(properties.read(pairs, file), template_version)
    settle(api, patch(api, found, change), no_wait=no_wait, as_json=json)


@app.command()
def enable(workspace: Reference, no_wait: NoWait = False, json: JsonFlag = False) -> None:
    """Enable a workspace again."""
    api = client.signed_in()
    answer = patch(api, refer.workspace(api, workspace), {"isEnabled": True})
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def disable(workspace: Reference, no_wait: NoWait = False, json: JsonFlag = False) -> None:
    """Disable a workspace and everything in it; nothing is lost."""
    api = client.signed_in()
    answer = patch(api, refer.workspace(api, workspace), {"isEnabled": False})
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def delete(
    workspace: Reference,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Delete a disabled workspace with everything in it; nothing is left."""
    api = client.signed_in()
    found = refer.workspace(api, workspace)
    if not yes:
        question = f"Delete {refer.name_of(found)} with every file in it, for ever?"
        typer.confirm(question, abort=True, err=True)
    answer = api.send("DELETE", f"/api{found['resourcePath']}")
    settle(api, answer, no_wait=no_wait, as_json=json)


@app.command()
def usage(workspace: Reference, json: JsonFlag = False) -> None:
    """Show what a workspace has used so far."""
    api = client.signed_in()
    inspect.show_usage(api, refer.workspace(api, workspace), as_json=json)


@app.command()
def history(workspace: Reference, json: JsonFlag = False) -> None:
    """Show the former states of a workspace."""
    api = client.signed_in()
    inspect.show_history(api, refer.workspace(api, workspace), as_json=json)


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
    who = {"user_id": _member(api, found, user), "role_id": _role(role)}
    api.send("DELETE", f"/api{found['resourcePath']}/users/assign", params=who)
    remark(f"{user} no longer is {role} of {refer.name_of(found)}.")


def patch(api: client.Api, found: refer.Found, change: dict[str, object]) -> refer.Found:
    """Send a change of a resource as it was just seen; a newer state is a conflict."""
    answer = api.send(
        "PATCH", f"/api{found['resourcePath']}", json=change, headers={"etag": found["_etag"]}
    )
    return dict(answer)


def patch_body(given: dict[str, object], template_version: str) -> dict[str, object]:
    """Return the body of a change of properties and version."""
    body: dict[str, object] = {"properties": given} if given else {}
    if template_version:
        body["templateVersion"] = template_version
    if not body:
        raise typer.BadParameter("Say what to change: -p NAME=VALUE or --template-version.")
    return body


def resource_fields(found: refer.Found) -> dict[str, object]:
    """Return what a person wants to know of any resource, name by name."""
    given = dict(found.get("properties", {}))
    return {
        "Name": given.pop("display_name", ""),
        "ID": found["id"],
        "Template": f"{found['templateName']} {found['templateVersion']}",
        "Status": found.get("deploymentStatus"),
        "Enabled": found.get("isEnabled"),
        "Description": given.pop("description", ""),
        **{name: value for name, value in given.items() if name != "overview"},
        "Changed": moment(found.get("updatedWhen")),
        "Changed by": (found.get("user") or {}).get("name"),
    }


def _assignable(api: client.Api, found: refer.Found, user: str) -> str:
    path = f"/api{found['resourcePath']}/assignable-users"
    return _chosen(api.get(path, filter=user, maxResultCount=100)["assignable_users"], user)


def _member(api: client.Api, found: refer.Found, user: str) -> str:
    return _chosen(api.get(f"/api{found['resourcePath']}/users")["users"], user)


def _chosen(people: Sequence[refer.Found], user: str) -> str:
    for one in people:
        if user.casefold() in (one["id"], one["userPrincipalName"].casefold()):
            return str(one["id"])
    raise NotFound(f"There is no such person here: {user}. Give the user name.")


def _role(name: str) -> str:
    for known, role in _ROLES.items():
        if name.casefold() in (known, role.value.casefold()):
            return role.value
    raise typer.BadParameter(f"{name!r} is none of: {', '.join(_ROLES)}.")
