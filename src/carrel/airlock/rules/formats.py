"""Is a file what its name says it is, by its first bytes?

A type is allowed by name, by its first bytes and by a parser that succeeds, all three; the
parsers are in `contents`.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

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
    ".xlsx": "a ZIP archive or an office document",
    ".docx": "a ZIP archive or an office document",
    ".pptx": "a ZIP archive or an office document",
    ".zip": "a ZIP archive or an office document",
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
