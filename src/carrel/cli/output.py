"""How do commands print? Results on standard output, everything else on standard error."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document on standard output.")
]
PAUSE_SECONDS = 0.2
_WIDE = 240


def results() -> Console:
    """Return the console of standard output, for results; wide where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


def messages() -> Console:
    """Return the console of standard error, for progress and remarks."""
    return Console(stderr=True)


def show(value: Any, *, as_json: bool, human: Callable[[Console], None] | None = None) -> None:
    """Print a result: as one JSON document, or as `human` prints it."""
    if as_json:
        typer.echo(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    elif human is not None:
        human(results())


def remark(text: str) -> None:
    """Say something to a person, on standard error."""
    messages().print(escape(text), highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> Any:
    """Return a function that prints rows under headings; `empty` says what to do if none."""

    def draw(console: Console) -> None:
        if not rows:
            console.print(escape(empty), highlight=False)
            return
        drawn = Table(box=None, header_style="bold", pad_edge=False, show_edge=False)
        for column in columns:
            drawn.add_column(column, overflow="fold", no_wrap=column == "ID")
        for row in rows:
            drawn.add_row(*(cell(value) for value in row))
        console.print(drawn)

    return draw


def fields(pairs: Mapping[str, Any]) -> Any:
    """Return a function that prints one thing, name by name; empty values are left out."""

    def draw(console: Console) -> None:
        drawn = Table(box=None, show_header=False, pad_edge=False, show_edge=False)
        drawn.add_column(style="bold")
        drawn.add_column(overflow="fold")
        for name, value in pairs.items():
            if value not in (None, "", [], {}):
                drawn.add_row(escape(name), cell(value))
        console.print(drawn)

    return draw


def cell(value: Any) -> str:
    """Return a value as a cell of a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(item) for item in value)
    return escape(str(value))


def printable(text: str) -> str:
    """Return text of strangers; on a terminal without what would steer it (escape sequences)."""
    if not results().is_terminal:
        return text
    return "".join(
        one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text
    )


def moment(value: Any) -> str:
    """Return a time of the API (POSIX seconds or ISO text) as a person reads it, in UTC."""
    if value in (None, ""):
        return ""
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    else:
        value = datetime.fromisoformat(str(value))
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def size(size_bytes: float) -> str:
    """Return a number of bytes as a person reads it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"
