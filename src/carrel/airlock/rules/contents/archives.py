"""What is in an archive, all the way down, without trusting what it says of itself?

Everything is unpacked into nothing, piece by piece and against one budget: a bomb is stopped when
it has used the budget up, not when its directory admits what it is.
"""

import bz2
import gzip
import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import PurePosixPath
from typing import IO, BinaryIO

from carrel.airlock.rules.contents.pickles import is_pickle
from carrel.airlock.rules.formats import real_type
from carrel.airlock.rules.names import name_problem
from carrel.airlock.rules.requests import Finding, Severity

DEPTH_LIMIT = 3
ENTRIES_LIMIT = 10_000
UNPACKED_LIMIT = 8 * 2**30
RATIO_LIMIT = 200
"""How many times larger than itself an archive may be unpacked, above `RATIO_FREE_BYTES`."""
RATIO_FREE_BYTES = 64 * 2**20
_PIECE = 2**18
_NESTED_BYTES = 2**30
_HEAD = 4096


class _Stop(Exception):
    """Nothing more can be said of the archive than this."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.sentence)
        self.finding = finding


@dataclass(slots=True)
class _Budget:
    """What may still be unpacked, over all levels together."""

    limit: int
    entries: int = ENTRIES_LIMIT
    unpacked: int = 0

    def take(self, size: int) -> None:
        self.unpacked += size
        if self.unpacked > self.limit:
            raise _Stop(_cannot("bomb", "It unpacks to far more than it is: a bomb, or too large."))

    def enter(self) -> None:
        self.entries -= 1
        if self.entries < 0:
            raise _Stop(_cannot("bomb", f"It holds more than {ENTRIES_LIMIT} files."))


def is_archive(head: bytes) -> bool:
    """Whether a file that begins like this can be unpacked."""
    return _opener(head) is not None


def check_archive(content: BinaryIO, size_bytes: int) -> Iterator[Finding]:
    """Unpack an archive into nothing, and say what is wrong in it."""
    limit = min(UNPACKED_LIMIT, max(RATIO_FREE_BYTES, RATIO_LIMIT * size_bytes))
    try:
        yield from _walk(content, _Budget(limit), 1)
    except _Stop as stop:
        yield stop.finding
    except (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError,
        NotImplementedError, RuntimeError, ValueError,
    ):  # fmt: skip
        yield _cannot("unreadable", "It is broken, or packed in a way that is not understood here.")


def _walk(content: IO[bytes], budget: _Budget, depth: int) -> Iterator[Finding]:
    if depth > DEPTH_LIMIT:
        raise _Stop(_cannot("nesting", f"It holds archives in archives, {depth} deep or more."))
    head = content.read(_HEAD)
    content.seek(0)
    opener = _opener(head)
    if opener is None:
        return
    yield from opener(content, budget, depth)


def _opener(head: bytes) -> Callable[[IO[bytes], _Budget, int], Iterator[Finding]] | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip
    if head[257:262] == b"ustar":
        return _tar
    for magic, inflated in _INFLATED.items():
        if head.startswith(magic):
            return partial(_single, inflated)
    if head.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd")):
        return _unknown
    return None


_Inflated = gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile
_INFLATED: Mapping[bytes, Callable[[IO[bytes]], _Inflated]] = {
    b"\x1f\x8b": lambda content: gzip.GzipFile(fileobj=content),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


def _zip(content: IO[bytes], budget: _Budget, depth: int) -> Iterator[Finding]:
    with zipfile.ZipFile(content) as archive:
        entries = archive.infolist()
        if len({entry.filename.casefold() for entry in entries}) < len(entries):
            yield _blocked("duplicate_names", "It holds two files of one name: which one is meant?")
        spans = sorted((entry.header_offset, entry.compress_size) for entry in entries)
        if any(at + size > after for (at, size), (after, _) in pairwise(spans)):
            raise _Stop(_cannot("bomb", "Its files overlap, as those of a bomb do."))
        for entry in entries:
            budget.enter()
            mode = entry.external_attr >> 16
            yield from _named(entry.filename, is_link=stat.S_ISLNK(mode))
            if entry.flag_bits & 1:
                raise _Stop(_cannot("encrypted", "It holds files that are locked by a password."))
            if not entry.is_dir():
                with archive.open(entry) as opened:
                    yield from _entry(opened, budget, depth)


def _tar(content: IO[bytes], budget: _Budget, depth: int) -> Iterator[Finding]:
    seen: set[str] = set()
    with tarfile.open(fileobj=content, mode="r:") as archive:
        for entry in archive:
            budget.enter()
            yield from _named(entry.name, is_link=entry.issym() or entry.islnk())
            if entry.name.casefold() in seen:
                yield _blocked("duplicate_names", "It holds two files of one name.")
            seen.add(entry.name.casefold())
            if not (entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()):
                yield _blocked("special_file", "It holds a device or another special file.")
            opened = archive.extractfile(entry) if entry.isfile() else None
            if opened is not None:
                with opened:
                    yield from _entry(opened, budget, depth)


def _single(
    inflated: Callable[[IO[bytes]], _Inflated], content: IO[bytes], budget: _Budget, depth: int
) -> Iterator[Finding]:
    with inflated(content) as opened:
        yield from _entry(opened, budget, depth)


def _entry(opened: IO[bytes] | _Inflated, budget: _Budget, depth: int) -> Iterator[Finding]:
    """Read one file of an archive to its end, and look into it if it is an archive itself."""
    with tempfile.TemporaryFile() as unpacked:
        while piece := opened.read(_PIECE):
            budget.take(len(piece))
            if unpacked.tell() < _NESTED_BYTES:
                unpacked.write(piece)
        unpacked.seek(0)
        yield from _inside(unpacked, depth, budget)


def _inside(unpacked: IO[bytes], depth: int, budget: _Budget) -> Iterator[Finding]:
    head = unpacked.read(_HEAD)
    unpacked.seek(0)
    if is_archive(head):
        yield from _walk(unpacked, budget, depth + 1)
    elif is_pickle(head) or real_type(head) in {"a program", "a Windows program"}:
        yield Finding("program", Severity.FLAG, "It holds files that run code when opened.")


def _unknown(_content: IO[bytes], _budget: _Budget, _depth: int) -> Iterator[Finding]:
    yield _cannot("unreadable", "Its kind cannot be opened here; pack it as ZIP or tar.")


def _named(name: str, *, is_link: bool) -> Iterator[Finding]:
    plain = name.rstrip("/")
    path = PurePosixPath(plain)
    if path.is_absolute() or ".." in path.parts or "\\" in plain or plain[1:2] == ":":
        yield _blocked("traversal", "It holds files that would be unpacked outside its own folder.")
    elif is_link:
        yield _blocked("link", "It holds links, which may lead anywhere.")
    elif plain and name_problem(plain):
        yield Finding("odd_name", Severity.FLAG, "It holds files with names that cannot be kept.")


def _cannot(rule: str, why: str) -> Finding:
    return Finding(rule, Severity.CANNOT_TELL, f"This archive cannot be examined. {why}")


def _blocked(rule: str, why: str) -> Finding:
    return Finding(rule, Severity.BLOCK, f"This archive is no honest one. {why}")
