"""The record of who did what, and its proof."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from carrel.choices import database_of
from carrel.cli import client, refer
from carrel.cli.output import JsonFlag, messages, moment, remark, show, table
from carrel.cli.target import settings
from carrel.core import audit
from carrel.core.database import Database
from carrel.core.errors import NotFound

app = typer.Typer()
ExportOption = Annotated[
    Path | None, typer.Option("--export", help="Check this export instead; needs nothing else.")
]


@app.command("list")
def list_all(
    workspace: Annotated[str, typer.Option(help="Only of this workspace (id or name).")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List events, newest first; without --workspace for TRE administrators."""
    api = client.signed_in()
    path = "/api/audit"
    if workspace:
        path = f"/api{refer.workspace(api, workspace)['resourcePath']}/audit"
    found = api.get(path, limit=limit)
    rows = [
        (one["seq"], moment(one["at"]), one["actor_name"], one["action"], one["subject"])
        for one in found["events"]
    ]
    columns = ("Number", "When (UTC)", "Who", "What", "On what")
    show(found, as_json=json, human=table(columns, rows, empty="No event yet."))


@app.command()
def verify(export: ExportOption = None, json: JsonFlag = False) -> None:
    """Check that nobody changed the record: of the TRE on this machine, or of an export."""
    with messages().status("Checking every event …"):
        if export is not None:
            with export.open(encoding="utf-8") as lines:
                outcome = audit.verify_lines(lines)
        else:
            outcome = audit.verify(_database())
    result = {
        "intact": outcome.intact,
        "events": outcome.events,
        "head": outcome.head,
        "broken_at": outcome.broken_at,
    }
    sentence = (
        f"Intact: {outcome.events} events, head {outcome.head}."
        if outcome.intact
        else f"BROKEN at event {outcome.broken_at}: it does not fit the event before it."
    )
    show(result, as_json=json, human=lambda _console: typer.echo(sentence))
    if not outcome.intact:
        raise typer.Exit(1)


@app.command("export")
def export_all(
    file: Annotated[Path | None, typer.Argument(help="Where to; else standard output.")] = None,
) -> None:
    """Write the whole record of the TRE on this machine, one JSON line for each event."""
    lines = audit.export_lines(_database())
    if file is None:
        for line in lines:
            sys.stdout.write(line + "\n")
        return
    with messages().status(f"Writing {file} …"), file.open("w", encoding="utf-8") as out:
        count = sum(1 for line in lines if out.write(line + "\n"))
    remark(f"{count} events written. Check them anywhere: carrel audit verify --export {file}")


def _database() -> Database:
    given = settings()
    if not given.database_url and not (given.home / "carrel.db").exists():
        raise NotFound(f"There is no TRE in {given.home}. Give --home, or run: carrel init")
    return database_of(given)
