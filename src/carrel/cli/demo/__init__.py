"""The whole story on real data, against a TRE made for it and removed after it."""

from functools import partial

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from carrel.cli.demo.story import STEPS, Scene, outcome, stop_tre
from carrel.cli.demo.tre import ThrowAwayTre
from carrel.core.database import canonical_json

_STOP = STEPS[-1][0]


def play(console: Console) -> list[dict[str, object]]:
    """Play every step, showing progress on `console`; stop the TRE whatever happens.

    Returns rows `{"name","ok","seconds","detail"}`; a failed step ends the story.
    """
    scene = Scene(ThrowAwayTre())
    rows: list[dict[str, object]] = []
    try:
        with Live(console=console, refresh_per_second=8) as live:
            for name, step in STEPS[:-1]:
                live.update(_progress(rows, name))
                rows.append(outcome(name, partial(step, scene)))
                live.update(_progress(rows, ""))
                if not rows[-1]["ok"]:
                    break
    finally:
        rows.append(outcome(_STOP, lambda: stop_tre(scene)))
    return rows


def _progress(rows: list[dict[str, object]], running: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        mark = "[green]✓[/]" if row["ok"] else "[red]✗[/]"
        table.add_row(
            mark,
            str(row["name"]),
            f"{row['seconds']:.1f} s",
            f"[dim]{escape(str(row['detail']))}[/]",
        )
    if running:
        table.add_row(Spinner("dots"), running, "", "")
    return table


def demo(
    json: bool = typer.Option(False, "--json", help="Print the steps as JSON on standard output."),
) -> None:
    """Play the whole story on real data against a fresh, throw-away TRE."""
    console = Console(stderr=True)
    rows = play(console)
    if json:
        typer.echo(canonical_json({"steps": rows}))
    good = sum(bool(row["ok"]) for row in rows)
    if not console.is_terminal:
        console.print()  # elsewhere the last table has no end of line
    seconds = sum(float(str(row["seconds"])) for row in rows)
    console.print(f"{good} of {len(STEPS)} steps ok in {seconds:.0f} s.")
    if good < len(STEPS):
        raise typer.Exit(1)
