"""How do files travel between this machine and a TRE?"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import httpx
from rich.progress import Progress

from carrel.cli import client
from carrel.cli.output import messages
from carrel.core.errors import OutsideFailure

_CHUNK_BYTES = 2**20


def save(api: client.Api, url: str, target: Path) -> str:
    """Write the body at `url` whole or not at all; returns its SHA-256 (hex)."""
    with api.stream(url) as answer:
        return write(answer, target)


def write(answer: httpx.Response, target: Path) -> str:
    """Write the body of an answer whole or not at all; returns its SHA-256 (hex)."""
    beside = target.with_name(f"{target.name}.part")
    digest = hashlib.sha256()
    try:
        with (
            beside.open("wb") as out,
            Progress(console=messages(), transient=True) as progress,
        ):
            total = int(answer.headers.get("content-length", 0)) or None
            task = progress.add_task(target.name, total=total)
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                out.write(chunk)
                progress.advance(task, len(chunk))
            out.flush()
            os.fsync(out.fileno())
        beside.rename(target)
    except OSError as error:
        raise OutsideFailure(f"{target} could not be written: {error.strerror}.") from error
    finally:
        beside.unlink(missing_ok=True)
    return digest.hexdigest()


def chunks(file: Path, advance: Callable[[int], None]) -> Iterator[bytes]:
    """Read a file piece by piece, telling `advance` the size of each."""
    with file.open("rb") as source:
        pieces: Iterable[bytes] = iter(lambda: source.read(_CHUNK_BYTES), b"")
        for chunk in pieces:
            advance(len(chunk))
            yield chunk
