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
        yield _broken()


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
    hidden, header, drawn = False, b"", bytearray()
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + size]
        (claimed,) = struct.unpack_from(">I", content, at + 8 + size)
        if zlib.crc32(content[at + 4 : at + 8 + size]) != claimed:
            yield _broken()
            return
        hidden |= kind not in _PNG_DRAWS and not _harmless(kind, body)
        header = body if kind == b"IHDR" else header
        drawn += body if kind == b"IDAT" else b""
        at += 12 + size
    if hidden:
        yield _hidden_text()
    if at != len(content):
        yield _trailing()
    yield from _check_pixels(header, bytes(drawn))


_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
"""Interlaced passes: first column and row, step of columns and rows. From: PNG, section 8.2."""
PIXEL_BYTES_LIMIT = 512 * 2**20


def _check_pixels(header: bytes, drawn: bytes) -> Iterator[Finding]:
    """Inflate the picture: it must be exactly as long as its size and depth imply."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    bits = depth * _PNG_CHANNELS.get(colour, 4)
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    expected = sum(
        rows * (1 + (columns * bits + 7) // 8)
        for x, y, across, down in passes
        if (columns := max(0, -(-(width - x) // across)))
        and (rows := max(0, -(-(height - y) // down)))
    )
    if expected > PIXEL_BYTES_LIMIT:
        yield Finding("too_large", Severity.CANNOT_TELL, "The image is too large to be examined.")
        return
    inflater = zlib.decompressobj()
    try:
        pixels = len(inflater.decompress(drawn, expected + 1))
    except zlib.error:
        yield _broken()
        return
    if pixels > expected or inflater.unused_data or inflater.unconsumed_tail:
        yield Finding(
            "hidden_bytes", Severity.BLOCK, "The image holds more than the picture that is shown."
        )
    elif pixels < expected or not inflater.eof:
        yield _broken()


_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
JPEG_BYTES_PER_PIXEL = 4
JPEG_SPARE_BYTES = 65_536


def _check_jpeg(content: bytes) -> Iterator[Finding]:
    at, comments, pixels = 2, False, 0
    while content[at + 1] != 0xDA:
        if content[at] != 0xFF:
            yield _broken()
            return
        comments |= content[at + 1] in {0xFE, *range(0xE1, 0xF0)}
        (size,) = struct.unpack_from(">H", content, at + 2)
        if content[at + 1] in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            pixels = height * width
        at += 2 + size
    if comments:
        yield _hidden_text()
    end = content.find(b"\xff\xd9", at)
    if end < 0 or not pixels:
        yield _broken()
    elif end + 2 != len(content):
        yield _trailing()
    elif len(content) > JPEG_BYTES_PER_PIXEL * pixels + JPEG_SPARE_BYTES:
        yield Finding(
            "hidden_bytes",
            Severity.BLOCK,
            "The image has far more bytes than a picture of its size needs.",
        )


def _broken() -> Finding:
    return Finding("unreadable", Severity.CANNOT_TELL, "The image is broken; save it again.")


def _hidden_text() -> Finding:
    return Finding(
        "hidden_text",
        Severity.FLAG,
        "The image holds text or other parts that are not shown; save it without metadata.",
    )


def _trailing() -> Finding:
    return Finding("trailing_bytes", Severity.BLOCK, "There are bytes after the end of the image.")
