"""Files made anew, so that they hold what they show and nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from carrel.airlock.rules.rebuild import can_rebuild, rebuild
from carrel.cli.output import JsonFlag, show, table
from carrel.core.errors import Conflict, InvalidRequest


def rebuild_files(
    files: Annotated[list[Path], typer.Argument(help="Images, tables, notebooks, workbooks.")],
    to: Annotated[Path, typer.Option(help="Folder for the new files.")] = Path("rebuilt"),
    json: JsonFlag = False,
) -> None:
    """Make files anew: images as bare pixels, workbooks as CSV, notebooks without outputs."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InvalidRequest(f"{missing[0]} is not a file.")
    unknown = [file for file in files if not can_rebuild(file.name)]
    if unknown:
        rebuild(unknown[0].name, b"")  # raises, and says which types there are
    made = [(file, each) for file in files for each in rebuild(file.name, file.read_bytes())]
    taken = [to / each.name for _, each in made if (to / each.name).exists()]
    if taken:
        raise Conflict(f"{taken[0]} exists already. Move it away, or give another folder.")
    to.mkdir(parents=True, exist_ok=True)
    for _, each in made:
        (to / each.name).write_bytes(each.content)
    result = [
        {"from": str(file), "file": str(to / each.name), "dropped": list(each.dropped)}
        for file, each in made
    ]
    rows = [(one["from"], one["file"], "; ".join(one["dropped"])) for one in result]
    columns = ("From", "New file", "Left out")
    show({"files": result}, as_json=json, human=table(columns, rows, empty="Nothing to do."))
