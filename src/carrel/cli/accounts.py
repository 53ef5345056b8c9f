"""Accounts of people, for TRE administrators."""

from typing import Annotated

import typer

from carrel.cli import client, refer
from carrel.cli.output import JsonFlag, fields, remark, show, table
from carrel.cli.session import read_password
from carrel.core.actors import TreRole

app = typer.Typer()
password_app = typer.Typer()
totp_app = typer.Typer()
identity_app = typer.Typer()
app.add_typer(password_app, name="password", help="Passwords: your own, or a forgotten one.")
app.add_typer(totp_app, name="totp", help="Authenticator apps: a second factor for signing in.")
app.add_typer(identity_app, name="identity", help="Who somebody is with other token issuers.")
UserReference = Annotated[str, typer.Argument(help="User name or id of the account.")]
Issuer = Annotated[str, typer.Argument(help="Address of the other issuer.")]
Subject = Annotated[str, typer.Argument(help="Its `oid` of the person.")]


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


@app.command("show")
def show_one(user: UserReference, json: JsonFlag = False) -> None:
    """Show an account."""
    api = client.signed_in()
    found = api.get(f"/api/accounts/{refer.account(api, user)['id']}")
    show(found, as_json=json, human=fields(found["account"]))


@identity_app.command("list")
def list_identities(user: UserReference, json: JsonFlag = False) -> None:
    """List who an account is with other issuers of access tokens."""
    api = client.signed_in()
    found = api.get(_identities(api, user))
    rows = [(one["issuer"], one["subject"]) for one in found["identities"]]
    show(found, as_json=json, human=table(("Issuer", "Subject"), rows, empty="None."))


@identity_app.command("link")
def link_identity(user: UserReference, issuer: Issuer, subject: Subject) -> None:
    """Let the access tokens of another issuer stand for an account."""
    api = client.signed_in()
    api.post(_identities(api, user), {"issuer": issuer, "subject": subject})
    remark(f"{subject} of {issuer} now is {user}.")


@identity_app.command("unlink")
def unlink_identity(user: UserReference, issuer: Issuer, subject: Subject) -> None:
    """Take such a link away."""
    api = client.signed_in()
    who = {"issuer": issuer, "subject": subject}
    api.send("DELETE", _identities(api, user), params=who)
    remark(f"{subject} of {issuer} no longer is {user}.")


@app.command()
def disable(user: UserReference, json: JsonFlag = False) -> None:
    """Disable an account: its sessions end at once."""
    _switch(user, active=False, as_json=json)


@app.command()
def enable(user: UserReference, json: JsonFlag = False) -> None:
    """Enable an account again."""
    _switch(user, active=True, as_json=json)


@password_app.command("change")
def change_password() -> None:
    """Change your password: asked for, or two lines of standard input (old, new)."""
    api = client.signed_in()
    old = read_password(from_stdin=False, prompt="Present password: ")
    new = read_password(from_stdin=False, prompt="New password: ")
    api.post("/api/me/password", {"old": old, "new": new})
    remark("Your password is changed; your other sessions ended.")


@password_app.command("reset")
def reset_password(user: UserReference) -> None:
    """Give a person who forgot it a new password; their sessions end."""
    api = client.signed_in()
    path = f"/api/accounts/{refer.account(api, user)['id']}/password"
    api.post(path, {"password": read_password(from_stdin=False, prompt="New password: ")})
    remark(f"{user} has a new password.")


@totp_app.command("start")
def start_totp(json: JsonFlag = False) -> None:
    """Begin to add an authenticator app: print the address to give it. Then: confirm."""
    answer = client.signed_in().post("/api/me/totp")
    show(answer, as_json=json, human=lambda _console: typer.echo(answer["uri"]))


@totp_app.command("confirm")
def confirm_totp(code: Annotated[str, typer.Argument(help="The code that the app shows.")]) -> None:
    """Turn your authenticator app on: from now on you sign in with its codes."""
    client.signed_in().post("/api/me/totp/confirm", {"code": code})
    remark("Your authenticator app is on.")


@totp_app.command("remove")
def remove_totp(
    user: Annotated[str, typer.Argument(help="Somebody else's, for administrators.")] = "",
) -> None:
    """Take your authenticator app away, with your password; or that of somebody who lost it."""
    api = client.signed_in()
    if user:
        api.send("DELETE", f"/api/accounts/{refer.account(api, user)['id']}/totp")
        remark(f"{user} signs in without an authenticator app now.")
        return
    api.post("/api/me/totp/remove", {"password": read_password(from_stdin=False)})
    remark("You sign in without an authenticator app now.")


def _identities(api: client.Api, user: str) -> str:
    return f"/api/accounts/{refer.account(api, user)['id']}/identities"


def _switch(user: str, *, active: bool, as_json: bool) -> None:
    api = client.signed_in()
    path = f"/api/accounts/{refer.account(api, user)['id']}"
    answer = api.send("PATCH", path, json={"is_active": active})
    if not as_json:
        remark(f"The account {user} is {'enabled' if active else 'disabled'}.")
    show(answer, as_json=as_json)
