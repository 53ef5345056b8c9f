"""Applications: programs with an account of their own, for TRE administrators."""

from typing import Annotated, Any

import typer

from carrel.cli import client
from carrel.cli.client import Api
from carrel.cli.output import JsonFlag, fields, moment, remark, show, table
from carrel.core.actors import TreRole
from carrel.core.errors import Conflict, NotFound
from carrel.people.service.applications import SECRET_DAYS

app = typer.Typer()
Reference = Annotated[str, typer.Argument(help="Name or client id of the application.")]
Days = Annotated[int, typer.Option("--days", help="For how many days the secret holds.")]


@app.command("list")
def list_all(json: JsonFlag = False) -> None:
    """List every application."""
    found = client.signed_in().get("/api/applications")
    rows = [
        (one["client_id"], one["name"], one["account_id"], one["tre_roles"], one["is_active"],
         moment(one["secret_expires_at"]))
        for one in found["applications"]
    ]  # fmt: skip
    columns = ("Client id", "Name", "Account id", "Roles", "Active", "Secret until")
    show(found, as_json=json, human=table(columns, rows, empty="No application yet."))


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name as people read it.")],
    admin: Annotated[bool, typer.Option("--admin", help="Make it a TRE administrator.")] = False,
    days: Days = SECRET_DAYS,
    json: JsonFlag = False,
) -> None:
    """Add an application and print its client id and its secret, which is shown only now."""
    roles = [TreRole.USER.value, *([TreRole.ADMIN.value] if admin else [])]
    body = {"name": name, "tre_roles": roles, "secret_days": days}
    _show_secret(client.signed_in().post("/api/applications", body), as_json=json)


@app.command("show")
def show_one(application: Reference, json: JsonFlag = False) -> None:
    """Show an application; its secret is never shown again."""
    api = client.signed_in()
    found = api.get(_path(api, application))
    show(found, as_json=json, human=fields(found["application"]))


@app.command()
def rotate(application: Reference, days: Days = SECRET_DAYS, json: JsonFlag = False) -> None:
    """Give an application a new secret; the old one ends at once."""
    api = client.signed_in()
    path = f"{_path(api, application)}/secret"
    _show_secret(api.post(path, {"secret_days": days}), as_json=json)


@app.command()
def disable(application: Reference, json: JsonFlag = False) -> None:
    """Disable an application: it gets no token any more, and those it has end."""
    _switch(application, active=False, as_json=json)


@app.command()
def enable(application: Reference, json: JsonFlag = False) -> None:
    """Enable an application again."""
    _switch(application, active=True, as_json=json)


@app.command()
def remove(application: Reference) -> None:
    """Remove an application with every role of it; its tokens end at once."""
    api = client.signed_in()
    api.send("DELETE", _path(api, application))
    remark(f"The application {application} is removed.")


def _switch(application: str, *, active: bool, as_json: bool) -> None:
    api = client.signed_in()
    answer = api.send("PATCH", _path(api, application), json={"is_active": active})
    if not as_json:
        remark(f"The application {application} is {'enabled' if active else 'disabled'}.")
    show(answer, as_json=as_json)


def _path(api: Api, reference: str) -> str:
    """Return the address of the application of this name or client id."""
    found = api.get("/api/applications")["applications"]
    ids = [one["client_id"] for one in found if reference in (one["client_id"], one["name"])]
    if not ids:
        raise NotFound(f"There is no application {reference}. See: carrel application list")
    if len(ids) > 1:
        raise Conflict(f"Several applications are named {reference}. Give the client id.")
    return f"/api/applications/{ids[0]}"


def _show_secret(answer: Any, *, as_json: bool) -> None:
    made = answer["application"]
    if as_json:
        show(answer, as_json=True)
        return
    typer.echo(f"client_id {made['client_id']}")
    typer.echo(f"client_secret {answer['secret']}")
    remark(
        f"The secret is shown only now and holds until {moment(made['secret_expires_at'])}. "
        f"Roles in workspaces: give them to the account {made['account_id']}."
    )
