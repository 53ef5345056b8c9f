"""How is a file made anew, so that it holds what it shows and nothing else?

Rebuilding removes hiding places that nobody thought of. Each way says what it dropped; what it
returns is examined like any other file.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zipfile import BadZipFile

import orjson
from openpyxl import load_workbook  # type: ignore[import-untyped]  # it has none
from PIL import Image, UnidentifiedImageError

from carrel.airlock.rules.contents.office import WORKBOOK
from carrel.airlock.rules.disclosure import UnreadableTableError, parse_table
from carrel.airlock.rules.formats import IMAGES, NOTEBOOK, TABLES, suffix
from carrel.core.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One file made anew."""

    name: str
    content: bytes
    dropped: Sequence[str]
    """What the old file held besides, in words."""


def can_rebuild(name: str) -> bool:
    """Whether there is a way to make a file of this name anew."""
    return suffix(name) in _WAYS


def rebuild(name: str, content: bytes) -> Sequence[Rebuilt]:
    """Return the file made anew; a workbook becomes one table for each sheet.

    Raises `InvalidRequest` if it cannot be read, or if there is no way for its type.
    """
    way = _WAYS.get(suffix(name))
    if way is None:
        raise InvalidRequest(
            f"{name} cannot be rebuilt: only {', '.join(sorted(_WAYS))} can.", field="file"
        )
    try:
        return way(name, content)
    except (
        UnreadableTableError, UnidentifiedImageError, OSError, ValueError, KeyError, TypeError,
        BadZipFile,
    ) as error:  # fmt: skip
        raise InvalidRequest(
            f"{name} cannot be read, so it cannot be rebuilt. Save it again with the program that "
            "made it.",
            field="file",
        ) from error


def _picture(name: str, content: bytes) -> Sequence[Rebuilt]:
    """Keep bare pixels, as PNG or, for photographs, as JPEG again."""
    with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as old:
        old.load()
        kind = "PNG" if suffix(name) == ".png" else "JPEG"
        has_alpha = kind == "PNG" and "A" in old.getbands()
        pixels = old.convert("RGBA" if has_alpha else "RGB")
        bare = Image.frombytes(pixels.mode, pixels.size, pixels.tobytes())
        dropped = sorted(str(key) for key in old.info) or ["nothing that was named"]
    into = io.BytesIO()
    bare.save(into, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return [Rebuilt(name, into.getvalue(), [f"parts of the old image: {', '.join(dropped)}"])]


def _table(name: str, content: bytes) -> Sequence[Rebuilt]:
    table = parse_table(content, TABLES[suffix(name)])
    written = _written([table.header, *table.rows], TABLES[suffix(name)])
    return [Rebuilt(name, written, ["marks of encoding, odd quotes and line ends"])]


def _written(rows: Sequence[Sequence[object]], delimiter: str = ",") -> bytes:
    into = io.StringIO(newline="")
    csv.writer(into, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return into.getvalue().encode()


def _notebook(name: str, content: bytes) -> Sequence[Rebuilt]:
    old = orjson.loads(content)
    cells = [_bare(cell) for cell in old["cells"]]
    kept = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    written = orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return [Rebuilt(name, written, ["outputs, attached files and metadata"])]


def _bare(cell: Mapping[str, object]) -> Mapping[str, object]:
    source = cell["source"]
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    bare = {"cell_type": str(cell["cell_type"]), "metadata": {}, "source": text}
    return {**bare, "outputs": [], "execution_count": None} if bare["cell_type"] == "code" else bare


def _workbook(name: str, content: bytes) -> Sequence[Rebuilt]:
    """Return the sheets that are shown, with their hidden rows and columns left out."""
    book = load_workbook(io.BytesIO(content), data_only=True)
    found = []
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        hidden = {key for key, column in sheet.column_dimensions.items() if column.hidden}
        rows = [
            ["" if cell.value is None else cell.value for cell in row
             if getattr(cell, "column_letter", "") not in hidden]
            for number, row in enumerate(sheet.iter_rows(), start=1)
            if not sheet.row_dimensions[number].hidden
        ]  # fmt: skip
        title = "".join(char if char.isalnum() or char in " -_" else "_" for char in sheet.title)
        dropped = ["formulas, formats, comments, hidden rows and columns, and hidden sheets"]
        found.append(Rebuilt(f"{name.removesuffix(WORKBOOK)}-{title}.csv", _written(rows), dropped))
    return found


_WAYS: Mapping[str, Callable[[str, bytes], Sequence[Rebuilt]]] = {
    **dict.fromkeys(IMAGES, _picture),
    **dict.fromkeys(TABLES, _table),
    NOTEBOOK: _notebook,
    WORKBOOK: _workbook,
}
