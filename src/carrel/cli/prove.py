"""What does `carrel prove` do?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from carrel.choices import database_of, runtime_at, runtime_of
from carrel.cli.target import settings as given_settings
from carrel.core import logs
from carrel.core.actors import system
from carrel.core.audit import Audit
from carrel.core.clock import SystemClock, monotonic
from carrel.core.errors import Unavailable
from carrel.core.settings import Settings
from carrel.evidence.doors import door_probes
from carrel.evidence.proving import ProvableRuntime
from carrel.evidence.proving import prove as run_probes
from carrel.evidence.rules import Line, Report
from carrel.evidence.service import Proofs
from carrel.evidence.throwaway import throwaway_launcher

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print the report as one JSON document on standard output.")
]


def prove(json: JsonFlag = False) -> None:
    """Attack every kind of workspace from inside, with controls outside, and report.

    Uses the TRE that runs on this machine and keeps the report there; if none runs, uses a
    throw-away launcher. Exit status 1 if any way is open.
    """
    settings = given_settings()
    console = Console(stderr=True)
    logs.configure("prove", "error")
    began = monotonic()
    with (
        console.status("Looking for a TRE on this machine …") as status,
        _runtime(settings, console) as (runtime, is_running),
    ):
        report = run_probes(
            runtime,
            doors=door_probes(),
            progress=lambda text: status.update(f"{escape(text)} …"),
        )
    if is_running:
        _keep(settings, report, monotonic() - began)
    if json:
        typer.echo(orjson.dumps(report.to_json()))
    _show(console, report)
    raise typer.Exit(1 if report.open else 0)


@contextmanager
def _runtime(settings: Settings, console: Console) -> Iterator[tuple[ProvableRuntime, bool]]:
    """Give the runtime of the running TRE, or a throw-away one; the second value says which."""
    runtime = runtime_of(settings)
    try:
        runtime.uid_range()
    except Unavailable:
        console.print("No TRE runs here; a throw-away launcher is used, and nothing is kept.")
        with throwaway_launcher(runtime_at) as alone:
            yield alone, False
        return
    yield runtime, True


def _keep(settings: Settings, report: Report, seconds: float) -> None:
    database, clock = database_of(settings), SystemClock()
    try:
        proofs = Proofs(database=database, audit=Audit(clock), clock=clock)
        proofs.keep(system("prove"), report, seconds=seconds)
    finally:
        database.close()


def _show(console: Console, report: Report) -> None:
    """Print one row a probe, the open ones last, where a person looks first."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "Probe", "Attempt", "Inside", "Control outside"):
        rows.add_column(heading, overflow="fold")
    for line in sorted(report.lines, key=lambda line: not line.closed):
        cells = (line.probe.id, line.probe.title, line.observed_text, line.control_text)
        rows.add_row(_mark(line), *map(escape, cells))
    console.print(rows)
    for remark in _remarks(report):
        console.print(escape(remark), soft_wrap=True)


def _mark(line: Line) -> str:
    if not line.closed:
        return "[bold red]open[/]"
    return "[green]closed[/]" if line.proven else "[yellow]closed[/]"


def _remarks(report: Report) -> Sequence[str]:
    unproven = [line.probe.id for line in report.unproven]
    remarks = [f"Not attacked: {reason}." for reason in report.skipped]
    if unproven:
        remarks.append(
            "Closed, but this host lacks the feature, so its control cannot show the difference "
            f"(not counted as proven): {', '.join(unproven)}."
        )
    remarks.append(
        f"{len(report.lines)} probes, {len(report.open)} open, {report.proven} proven; "
        f"level {report.level}."
    )
    return remarks
