"""Is a file what its name says it is?

A type is allowed by name, by its first bytes and by a parser that succeeds, all three.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import orjson

from carrel.airlock.rules.requests import Direction, Finding, Severity

HEAD_BYTES = 64
TABLES = {".csv": ",", ".tsv": "\t"}
TEXTS = frozenset({".txt", ".md"})
IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
NOTEBOOK = ".ipynb"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"SQLite format 3\x00", "a database"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
)
_PROGRAMS = frozenset({"a program", "a Windows program", "a pickle"})
_BELONGS = {
    ".png": "a PNG image",
    ".jpg": "a JPEG image",
    ".jpeg": "a JPEG image",
    ".gz": "a gzip archive",
    ".bz2": "a bzip2 archive",
    ".xz": "an xz archive",
    ".pdf": "a PDF document",
    ".parquet": "a Parquet file",
}
_TEXTUAL = frozenset({*TABLES, *TEXTS, NOTEBOOK, ".json", ".py", ".r", ".sql", ".xml", ".html"})


def suffix(name: str) -> str:
    """Return the file name's last extension in lower case, with its dot; empty if none."""
    return PurePosixPath(name).suffix.lower()


def real_type(head: bytes) -> str:
    """Return what the first bytes say in words; empty if they say nothing."""
    return next((words for magic, words in _MAGIC if head.startswith(magic)), "")


def check_head(name: str, head: bytes, direction: Direction) -> Iterator[Finding]:
    """Compare the first bytes with the name."""
    kind, claimed = real_type(head), suffix(name)
    expected = _BELONGS.get(claimed, "")
    if (claimed in _TEXTUAL and kind) or (expected and kind != expected):
        yield Finding(
            "disguised",
            Severity.BLOCK,
            f"The name ends in {claimed} but the content is {kind or 'something else'}.",
        )
    elif direction is Direction.IMPORT and kind in _PROGRAMS:
        yield Finding(
            "program", Severity.FLAG, f"The file is {kind}, which runs code when it is opened."
        )


def check_allowed(name: str, allowed: Sequence[str]) -> Iterator[Finding]:
    """Refuse types that no scanner here understands."""
    if suffix(name) not in allowed:
        yield Finding(
            "unknown_type",
            Severity.CANNOT_TELL,
            "Nothing here can examine this type of file. Types that may leave: "
            f"{', '.join(allowed)}.",
        )


def check_text(content: bytes) -> Iterator[Finding]:
    """Require UTF-8 without control characters; people read what it says."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Finding(
            "unreadable",
            Severity.CANNOT_TELL,
            f"The file is not UTF-8 (byte {error.start + 1}); save it as UTF-8.",
        )
        return
    if any(ord(char) < 32 and char not in "\t\r\n" for char in text):
        yield Finding(
            "unreadable", Severity.CANNOT_TELL, "The file holds control characters, not text."
        )
        return
    yield Finding(
        "free_text", Severity.CHECK, "This is free text, which no rule can judge: read it."
    )


def check_notebook(content: bytes) -> Iterator[Finding]:
    """Require JSON of a known shape; outputs are results and must be read."""
    try:
        cells = orjson.loads(content)["cells"]
        outputs = [
            number
            for number, cell in enumerate(cells, start=1)
            if cell["cell_type"] == "code" and cell.get("outputs")
        ]
        attached = any(cell.get("attachments") for cell in cells)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        yield Finding(
            "unreadable", Severity.CANNOT_TELL, "The file is not a Jupyter notebook (v4)."
        )
        return
    yield Finding(
        "free_text", Severity.CHECK, "This is a notebook, which no rule can judge: read it."
    )
    if attached:
        yield Finding("attachment", Severity.FLAG, "The notebook holds attached files.")
    if outputs:
        shown = ", ".join(map(str, outputs[:10])) + (" and more" if len(outputs) > 10 else "")
        yield Finding(
            "outputs",
            Severity.FLAG,
            f"The notebook holds outputs (cell {shown}); clear them, or export results as tables "
            "and images.",
        )


def check_image(name: str, content: bytes) -> Iterator[Finding]:
    """Walk a PNG or JPEG to its end: whole, nothing after it, no text inside."""
    check = _check_png if suffix(name) == ".png" else _check_jpeg
    try:
        yield from check(content)
    except (IndexError, struct.error):
        yield Finding("unreadable", Severity.CANNOT_TELL, "The image is broken; save it again.")


_PNG_DRAWS = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"bKGD", b"pHYs",
     b"sBIT", b"tIME"}
)  # fmt: skip


_MATPLOTLIB = re.compile(rb"Software\x00Matplotlib version[0-9.]{1,12}, https://matplotlib\.org/")


def _harmless(kind: bytes, body: bytes) -> bool:
    """Whether a text chunk is the one that Matplotlib writes into every image."""
    return kind == b"tEXt" and bool(_MATPLOTLIB.fullmatch(body))


def _check_png(content: bytes) -> Iterator[Finding]:
    at, kind = 8, b""
    hidden = False
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", content, at)
        (claimed,) = struct.unpack_from(">I", content, at + 8 + size)
        if zlib.crc32(content[at + 4 : at + 8 + size]) != claimed:
            yield Finding("unreadable", Severity.CANNOT_TELL, "The image is broken; save it again.")
            return
        hidden |= kind not in _PNG_DRAWS and not _harmless(kind, content[at + 8 : at + 8 + size])
        at += 12 + size
    if hidden:
        yield _hidden_text()
    if at != len(content):
        yield _trailing()


def _check_jpeg(content: bytes) -> Iterator[Finding]:
    at, comments = 2, False
    while content[at + 1] != 0xDA:
        if content[at] != 0xFF:
            yield Finding("unreadable", Severity.CANNOT_TELL, "The image is broken; save it again.")
            return
        comments |= content[at + 1] in {0xFE, *range(0xE1, 0xF0)}
        (size,) = struct.unpack_from(">H", content, at + 2)
        at += 2 + size
    if comments:
        yield _hidden_text()
    end = content.find(b"\xff\xd9", at)
    if end < 0:
        yield Finding("unreadable", Severity.CANNOT_TELL, "The image is broken; save it again.")
    elif end + 2 != len(content):
        yield _trailing()


def _hidden_text() -> Finding:
    return Finding(
        "hidden_text",
        Severity.FLAG,
        "The image holds text or other parts that are not shown; save it without metadata.",
    )


def _trailing() -> Finding:
    return Finding("trailing_bytes", Severity.BLOCK, "There are bytes after the end of the image.")
