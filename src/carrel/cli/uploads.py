"""How do files and folders go into a draft from this machine, and on after an interruption?"""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from carrel.cli import client
from carrel.core.errors import CarrelError, InvalidRequest, Unavailable
from carrel.core.files import write_whole

CHUNK_BYTES = 2**20
TRIES = 5
PAUSE_SECONDS = 2.0
MEDIA_TYPE = "application/offset+octet-stream"


def named(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return every file with its name in the request; a folder's files keep it before theirs.

    Raises `InvalidRequest` if two have one name, or if there is none.
    """
    found = [
        (file, file.relative_to(path.resolve().parent).as_posix())
        for path in paths
        for file in _files(path.resolve())
    ]
    names = [name for _, name in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidRequest(f"Two of these files are called {twice}. Send them one by one.")
    if not found:
        raise InvalidRequest("There are no files in there. Give files, or folders with files.")
    return found


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidRequest(f"{path} is neither a file nor a folder.")
    return [each for each in sorted(path.rglob("*")) if each.is_file() and not each.is_symlink()]


def send(api: client.Api, base: str, file: Path, name: str, advance: Callable[[int], None]) -> None:
    """Upload a file in as many goes as it takes; goes on where an earlier command stopped."""
    note = _note(f"{api.url}{base}", file, name)
    state = _earlier(api, base, note) or _begun(api, base, file, name)
    write_whole(note, str(state["id"]).encode(), mode=0o600)
    path, tries, told = f"{base}/uploads/{state['id']}", 0, 0
    while not state["finished"]:
        advance(state["offset"] - told)
        told = start = state["offset"]
        try:
            body = _rest(file, start)
            headers = {"Upload-Offset": str(start), "Tus-Resumable": "1.0.0"}
            api.send("PATCH", path, content=body, headers={**headers, "Content-Type": MEDIA_TYPE})
        except Unavailable:
            tries += 1
            if tries == TRIES:
                raise
            time.sleep(PAUSE_SECONDS)
        state = _asked(api, path)
        tries = 0 if state["offset"] > start else tries
    advance(state["size"] - told)
    note.unlink(missing_ok=True)


def _begun(api: client.Api, base: str, file: Path, name: str) -> dict[str, Any]:
    encoded = base64.b64encode(name.encode()).decode()
    headers = {
        "Upload-Length": str(file.stat().st_size),
        "Upload-Metadata": f"filename {encoded}",
        "Tus-Resumable": "1.0.0",
        "Content-Type": MEDIA_TYPE,
    }
    made: dict[str, Any] = api.send("POST", f"{base}/uploads", headers=headers)
    return made


def _earlier(api: client.Api, base: str, note: Path) -> dict[str, Any] | None:
    """Return the upload that an interrupted command began, if the TRE still has it."""
    if not note.is_file():
        return None
    try:
        found: dict[str, Any] = api.get(f"{base}/uploads/{note.read_text().strip()}")
    except Unavailable:
        raise
    except CarrelError:  # over, or given up: begin again
        note.unlink(missing_ok=True)
        return None
    return None if found["finished"] else found


def _asked(api: client.Api, path: str) -> dict[str, Any]:
    """Ask how far it is, patiently: the TRE may be starting again."""
    for left in reversed(range(TRIES)):
        try:
            return dict(api.get(path))
        except Unavailable:
            if not left:
                raise
            time.sleep(PAUSE_SECONDS)
    raise AssertionError(path)  # the last try returns or raises


def _rest(file: Path, start: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while chunk := source.read(CHUNK_BYTES):
            yield chunk


def _note(base: str, file: Path, name: str) -> Path:
    """Return where this machine remembers the upload of a file as it is now."""
    stat = file.stat()
    key = f"{base}\n{file.resolve()}\n{name}\n{stat.st_size}\n{stat.st_mtime_ns}"
    folder = Path.home() / ".config" / "carrel" / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / hashlib.sha256(key.encode()).hexdigest()[:32]
