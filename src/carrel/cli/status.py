"""What of the TRE on this machine runs now, and is anything left that should be gone?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import select

from carrel.choices import database_of, runtime_of
from carrel.cli import client
from carrel.cli.output import JsonFlag, moment, remark, show, table
from carrel.cli.target import settings
from carrel.core.errors import CarrelError
from carrel.core.processes import control
from carrel.core.settings import Settings
from carrel.runtime.ports import Leftover, SelfTest
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.tables import resources


def status(
    leftovers: Annotated[
        bool, typer.Option("--leftovers", help="Only what no resource accounts for; 1 if any.")
    ] = False,
    drift: Annotated[
        bool, typer.Option("--drift", help="Only what is not as it should be; 1 if anything.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Show what runs: processes, isolation level, workspaces. Status 1 unless all is well."""
    if drift:
        _show_drift(as_json=json)
        return
    given = settings()
    if leftovers:
        _show_leftovers(given, as_json=json)
        return
    found = _look(given)
    show(found, as_json=json, human=lambda console: _draw(console, found))
    if not found["is_up"] or found["workspaces"] is None:
        raise typer.Exit(1)


def unaccounted(found: Sequence[Leftover], living: Mapping[str, str]) -> Sequence[Leftover]:
    """Return what is on the host for workspaces that are not in `living` (status by id)."""
    return [one for one in found if one.workspace_id not in living]


def _show_leftovers(given: Settings, *, as_json: bool) -> None:
    found = runtime_of(given).leftovers()
    rows = [asdict(one) for one in unaccounted(found, _workspaces(given))]
    human = table(
        ("Kind", "Name", "Workspace"),
        [(row["kind"], row["name"], row["workspace_id"]) for row in rows],
        empty="Nothing is left over.",
    )
    show({"leftovers": rows}, as_json=as_json, human=human)
    if rows:
        raise typer.Exit(1)


def _show_drift(*, as_json: bool) -> None:
    found = client.signed_in().get("/api/drift")
    human = table(
        ("Resource", "Should be", "Is", "Since (UTC)", "What was done"),
        [
            (
                one["resourceId"],
                one["shouldBe"],
                one["reallyIs"],
                moment(one["since"]),
                one["whatWasDone"],
            )
            for one in found["drift"]
        ],
        empty="Everything is as it should be.",
    )
    show(found, as_json=as_json, human=human)
    if found["drift"]:
        raise typer.Exit(1)


def _look(given: Settings) -> dict[str, Any]:
    roles = control.status(given)
    test, trouble = _self_test(given)
    workspaces: Mapping[str, str] | None
    try:
        workspaces = _workspaces(given)
    except CarrelError as error:  # what is true of the processes is wanted all the more
        workspaces, trouble = None, " ".join(filter(None, (str(error), trouble)))
    return {
        "home": str(given.home),
        "portal": given.portal_url,
        "is_up": control.is_up(given),
        "roles": [asdict(role) for role in roles],
        "level": test.level.value if test else None,
        "checks": [asdict(check) for check in test.checks] if test else [],
        "workspaces": None if workspaces is None else dict(Counter(workspaces.values())),
        "trouble": trouble,
    }


def _self_test(given: Settings) -> tuple[SelfTest | None, str]:
    try:
        return runtime_of(given).self_test(), ""
    except CarrelError as error:
        return None, str(error)


def _workspaces(given: Settings) -> Mapping[str, str]:
    """Return the status of every workspace that is not deleted, by id."""
    if not given.database_url and not (given.home / "carrel.db").exists():
        return {}
    database = database_of(given)
    query = select(resources.c.id, resources.c.status).where(
        resources.c.kind == ResourceKind.WORKSPACE, resources.c.deleted_at.is_(None)
    )
    try:
        with database.read() as connection:
            return {row.id: row.status for row in connection.execute(query)}
    finally:
        database.close()


def _draw(console: Console, found: Mapping[str, Any]) -> None:
    rows = [
        (role["name"], _word(role), role["pid"] or "", _age(role["age_seconds"]), role["starts"])
        for role in found["roles"]
    ]
    table(("Process", "State", "PID", "Runs since", "Starts"), rows, empty="")(console)
    console.print()
    level = found["level"] or "unknown"
    console.print(f"Portal      {found['portal']}", highlight=False)
    console.print(f"Home        {found['home']}", highlight=False)
    console.print(f"Isolation   level {level}", highlight=False)
    console.print(f"Workspaces  {_counted(found['workspaces'])}", highlight=False)
    for check in found["checks"]:
        if not check["passed"]:
            remark(f"Not enforced: {check['enforces']}: {check['evidence']}")
    if found["trouble"]:
        remark(found["trouble"])
    if not found["is_up"]:
        remark("Not everything runs. Start it with: carrel up")


def _counted(workspaces: Mapping[str, int] | None) -> str:
    if workspaces is None:
        return "unknown"
    return ", ".join(f"{count} {word}" for word, count in sorted(workspaces.items())) or "none"


def _word(role: Mapping[str, Any]) -> str:
    if role["pid"] is None:
        return "stopped"
    return "ready" if role["is_ready"] else "starting"


def _age(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds else ""
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
