"""Accounts of people, for TRE administrators."""

from typing import Annotated

import typer

from carrel.cli import client, refer
from carrel.cli.output import JsonFlag, remark, show, table
from carrel.cli.session import read_password
from carrel.core.actors import TreRole

app = typer.Typer()
UserReference = Annotated[str, typer.Argument(help="User name or id of the account.")]


@app.command("list")
def list_all(json: JsonFlag = False) -> None:
    """List every account."""
    found = client.signed_in().get("/api/accounts")
    rows = [
        (one["id"], one["username"], one["display_name"], one["tre_roles"], one["is_active"],
         one["has_totp"])
        for one in found["accounts"]
    ]  # fmt: skip
    columns = ("ID", "User name", "Name", "Roles", "Active", "Second factor")
    show(found, as_json=json, human=table(columns, rows, empty="No account yet."))


@app.command()
def create(
    username: Annotated[str, typer.Argument(help="User name, for signing in.")],
    name: Annotated[str, typer.Option(help="Name as people read it.")] = "",
    email: Annotated[str, typer.Option(help="E-mail address, if any.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Make a TRE administrator.")] = False,
    json: JsonFlag = False,
) -> None:
    """Create an account; the password is asked for, or read from standard input."""
    api = client.signed_in()
    roles = [TreRole.USER.value, *([TreRole.ADMIN.value] if admin else [])]
    body = {
        "username": username,
        "display_name": name or username,
        "password": read_password(from_stdin=False),
        "tre_roles": roles,
        **({"email": email} if email else {}),
    }
    answer = api.post("/api/accounts", body)
    if not json:
        remark(f"The account {username} can sign in now.")
    show(answer, as_json=json)


@app.command()
def disable(user: UserReference, json: JsonFlag = False) -> None:
    """Disable an account: its sessions end at once."""
    _switch(user, active=False, as_json=json)


@app.command()
def enable(user: UserReference, json: JsonFlag = False) -> None:
    """Enable an account again."""
    _switch(user, active=True, as_json=json)


def _switch(user: str, *, active: bool, as_json: bool) -> None:
    api = client.signed_in()
    path = f"/api/accounts/{refer.account(api, user)['id']}"
    answer = api.send("PATCH", path, json={"is_active": active})
    if not as_json:
        remark(f"The account {user} is {'enabled' if active else 'disabled'}.")
    show(answer, as_json=as_json)
