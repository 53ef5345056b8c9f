"""Signing in and out, and who am I?"""

import getpass
import sys
from typing import Annotated, Any

import typer

from carrel.cli import client
from carrel.cli.client import Api, Login
from carrel.cli.device import token_by_device
from carrel.cli.output import JsonFlag, fields, remark, show
from carrel.core.errors import CarrelError, InvalidRequest, NotAuthenticated


def login(
    username: Annotated[
        str, typer.Argument(help="Your user name, to sign in with the password here.")
    ] = "",
    username_option: Annotated[
        str, typer.Option("--username", help="The same, for scripts.", metavar="NAME")
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    code: Annotated[str, typer.Option(help="The code of your authenticator, if you use one.")] = "",
    json: JsonFlag = False,
) -> None:
    """Sign in; the token is kept in your own folder for later commands.

    Without a user name you sign in in a browser, on this machine or another one: the command
    prints an address and a code, and waits.
    """
    api = client.anonymous()
    name = username or username_option
    if name or password_stdin or code:
        token, account = _by_password(api, name, code, from_stdin=password_stdin)
    else:
        token = token_by_device(api)
        account = Api(api.url, api.ca, token).get("/api/me")["account"]
    name = str(account.get("username", name))
    client.keep(Login(api.url, api.ca, token, name))
    if not json:
        remark(f"Signed in at {api.url} as {account.get('display_name', name)}.")
    show({"url": api.url, "account": account}, as_json=json)


def _by_password(
    api: Api, username: str, code: str, *, from_stdin: bool
) -> tuple[str, dict[str, Any]]:
    """Return a token and the account it is of."""
    name = username or typer.prompt("User name", err=True)
    password = read_password(from_stdin=from_stdin)
    body = {"username": name, "password": password}
    if code:
        body["totp_code"] = code
    answer = api.post("/api/sign-in", body)
    return str(answer["token"]), answer.get("account", {})


def logout() -> None:
    """Sign out: the token ends here and at the TRE."""
    found = client.current_login()
    if found is None:
        remark("Nobody is signed in here.")
        return
    try:
        client.signed_in().post("/api/sign-out")
    except NotAuthenticated:
        pass  # it had ended already
    except CarrelError as error:
        client.forget(found)
        remark(f"The token is removed here, but the TRE could not be told: {error}")
        raise typer.Exit(1) from error
    client.forget(found)
    remark(f"Signed out of {found.url}.")


def whoami(json: JsonFlag = False) -> None:
    """Show who is signed in, and with which roles."""
    api = client.signed_in()
    me = api.get("/api/me")
    account = me.get("account", me)
    show(
        me,
        as_json=json,
        human=fields(
            {
                "User name": account.get("username"),
                "Name": account.get("display_name"),
                "Roles": account.get("tre_roles"),
                "TRE": api.url,
            }
        ),
    )


def read_password(*, from_stdin: bool, prompt: str = "Password: ") -> str:
    """Read a password without showing it. Raises `InvalidRequest` if there is none."""
    if from_stdin or not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = getpass.getpass(prompt, stream=sys.stderr)
    if not password:
        raise InvalidRequest("The password is empty. Give it on standard input or when asked.")
    return password
