"""The TRE on this machine: make its home, start it, stop it."""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from carrel.cli import setup
from carrel.cli.output import JsonFlag, messages, remark, show
from carrel.cli.session import read_password
from carrel.cli.target import settings
from carrel.core.errors import CarrelError, InvalidRequest, OutsideFailure
from carrel.core.ids import new_secret
from carrel.core.processes import control, ports
from carrel.core.settings import Settings, default_home

PortOption = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="Port of the portal; kept.")
]
GatewayPortOption = Annotated[
    int | None, typer.Option("--gateway-port", min=1, max=65535, help="Port of the gateway; kept.")
]


def init(
    admin: Annotated[
        str, typer.Option("--admin", help="User name of the first administrator.")
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Make the people of the demo TRE.")] = False,
    port: PortOption = None,
    gateway_port: GatewayPortOption = None,
    json: JsonFlag = False,
) -> None:
    """Make the home of a TRE: settings, keys, certificates, tables, the first people.

    May be run again: it repairs what is missing and brings the tables up to date.
    """
    given = _ports(settings(), port, gateway_port)
    setup.prepare(given)
    result: dict[str, Any] = {"home": str(given.home), "portal": given.portal_url}
    if admin:
        result["administrator"] = _administrator(given, admin, password_stdin=password_stdin)
    if demo:
        result["demo"] = setup.add_demo_people(given)
    if not json:
        remark(f"The home {given.home} is ready. Start it with: carrel up")
    show(result, as_json=json)


def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Fill a fresh TRE with demo people and data.")
    ] = False,
    port: PortOption = None,
    gateway_port: GatewayPortOption = None,
    json: JsonFlag = False,
) -> None:
    """Start the TRE on this machine and wait until it answers; nothing happens if it runs."""
    given = _ports(settings(), port, gateway_port)
    with messages().status("Preparing the home …") as progress:
        if not control.is_up(given):
            setup.prepare(given)
        if demo:
            setup.add_demo_people(given)
        progress.update("Starting …")
        started = control.up(given, lambda text: progress.update(f"Starting: {text} …"))
        if demo:
            from carrel.cli.sample import fill  # noqa: PLC0415 - only the demo TRE needs it

            fill(given, progress.update)
    if not json:
        remark("Started." if started else "It runs already.")
    show(
        {"portal": given.portal_url, "home": str(given.home), "started": started},
        as_json=json,
        human=lambda console: _welcome(console, given, demo=demo),
    )


def down(
    keep_sandboxes: Annotated[
        bool, typer.Option("--keep-sandboxes", help="Let people's sessions run on.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Stop every process of the TRE on this machine, people's running sessions included."""
    given = settings()
    with messages().status("Stopping …"):
        stopper = None if keep_sandboxes else lambda: _stop_sandboxes(given)
        ran = control.down(given, stopper)
    if not json:
        remark("Stopped." if ran else "Nothing ran.")
    show({"stopped": ran}, as_json=json)


def destroy(
    yes: Annotated[
        bool, typer.Option("--yes", help="Really: there is no way back but a backup.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Remove this TRE: processes, workspaces, its tables in the database, the whole home."""
    given = settings()
    if not yes:
        raise InvalidRequest(
            f"This deletes every workspace and file of the TRE in {given.home}, for good. "
            "If you mean that: carrel destroy --yes"
        )
    if not setup.is_home(given.home):
        raise InvalidRequest(f"{given.home} is not the home of a TRE; nothing was touched.")
    with messages().status("Removing …"):
        control.down(given, lambda: _stop_sandboxes(given))
        control.purge(given)
        _remove_tables(given)
        shutil.rmtree(given.home)
    if not json:
        remark("Nothing of it is left.")
    show({"destroyed": str(given.home)}, as_json=json)


def _remove_tables(given: Settings) -> None:
    """Drop the TRE's tables from a database that does not lie in the home."""
    if not given.database_url:
        return
    from carrel.migrations import remove  # noqa: PLC0415 - takes most of a second to import

    try:
        remove(given.database_url)
    except CarrelError as error:
        raise OutsideFailure(
            "The processes and the workspaces are gone, but two things stay: the tables in the "
            f"database, which could not be dropped, and the home {given.home}, which knows where "
            "that is. Repeat `carrel destroy --yes` when the database answers and nobody uses "
            f"it. ({error.log_detail or error})",
        ) from error


def restart(json: JsonFlag = False) -> None:
    """Restart every process of the TRE; people's running sessions go on."""
    given = settings()
    ports.check_address(given.bind_address)  # before anything stops that could not come back
    with messages().status("Stopping …") as progress:
        control.down(given)
        progress.update("Starting …")
        setup.prepare(given)
        control.up(given, lambda text: progress.update(f"Starting: {text} …"))
    if not json:
        remark("Restarted.")
    show({"portal": given.portal_url, "home": str(given.home)}, as_json=json)


def _ports(given: Settings, port: int | None, gateway_port: int | None) -> Settings:
    wanted = {"portal_port": port, "gateway_port": gateway_port}
    changes = {
        name: value
        for name, value in wanted.items()
        if value is not None and value != getattr(given, name)
    }
    if changes and control.is_up(given):
        raise InvalidRequest("The TRE runs. Stop it with `carrel down` before you move its ports.")
    return setup.configure(given, changes)


def _administrator(given: Settings, username: str, *, password_stdin: bool) -> dict[str, Any]:
    password = read_password(from_stdin=True) if password_stdin else new_secret(12)
    made = setup.add_administrator(given, username, password)
    if not made:
        remark(f"The account {username} exists already; its password stays as it is.")
        return {"username": username, "created": False}
    if password_stdin:
        return {"username": username, "created": True}
    remark(f"The administrator's password, shown only now: {password}")
    return {"username": username, "created": True, "password": password}


def _stop_sandboxes(given: Settings) -> None:
    from carrel.choices import runtime_of  # noqa: PLC0415 - only `down` needs it

    runtime = runtime_of(given)
    for workspace_id in runtime.running():
        runtime.rest(workspace_id)


def _command(given: Settings) -> str:
    """Return how this TRE's commands begin."""
    own = Path(sys.prefix) / "bin" / "carrel"
    return f"{own}" if given.home == default_home() else f"{own} --home {given.home}"


def _welcome(console: Console, given: Settings, *, demo: bool) -> None:
    console.print(f"\n[bold]{given.tre_name}[/] is at [link]{given.portal_url}[/]\n")
    logins = setup.read_logins(given.home) if demo else {}
    for person in setup.DEMO_PEOPLE:
        if person.username in logins:
            console.print(
                f"  {person.username:<10} {logins[person.username]:<18} [dim]{person.does}[/]",
                highlight=False,
            )
    if logins:
        console.print(
            f"\nThe logins are also in {given.home / setup.LOGINS}.\n"
            f"Your browser asks about the certificate: trust {given.home / 'tls' / 'ca.pem'},\n"
            "or accept it for this visit. First steps: sign in as rosalind, open the workspace\n"
            "[bold]Breast cancer survival[/], start a JupyterLab, and look into /inbox.\n"
            f"Stop it with: {_command(given)} down",
            highlight=False,
            soft_wrap=True,
        )
