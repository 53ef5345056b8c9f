"""How does a proof host a door for a moment?"""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from carrel.core.audit import Audit
from carrel.core.clock import Clock, SystemClock
from carrel.core.database import Database, metadata
from carrel.core.errors import CarrelError

STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Ground:
    """A home and a database that are gone afterwards."""

    home: Path
    database: Database
    clock: Clock
    audit: Audit


@contextmanager
def ground() -> Iterator[Ground]:
    """Make an empty home with every table."""
    with tempfile.TemporaryDirectory(prefix="carrel-proof-door-") as folder:
        database, clock = Database(f"sqlite:///{folder}/carrel.db"), SystemClock()
        try:
            metadata.create_all(database.engine)
            yield Ground(Path(folder), database, clock, Audit(clock))
        finally:
            database.close()


@contextmanager
def running(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Run a door in a thread with an event loop of its own, until the end of the block."""
    loops: list[asyncio.AbstractEventLoop] = []
    stop, ready = asyncio.Event(), threading.Event()

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        ready.set()
        await run(stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    ready.wait(STOP_SECONDS)
    try:
        yield
    finally:
        try:
            loops[0].call_soon_threadsafe(stop.set)
        except RuntimeError as error:  # it ended by itself
            raise CarrelError("The door for the proof did not stay open.") from error
        finally:
            thread.join(STOP_SECONDS)


class Recorder(BaseHTTPRequestHandler):
    """A server that trusts its clients: answers everything, and remembers every request."""

    protocol_version = "HTTP/1.1"
    content_type = "text/plain"
    answer = b"here you are\n"
    known = ""
    seen: list[str]

    def do_GET(self) -> None:
        """Answer any request with 200, or 404 if its address lacks what is `known`."""
        self.seen.append(f"{self.requestline}\n{self.headers}")
        self.send_response(200 if self.known in self.path else 404)
        self.send_header("Content-Type", self.content_type)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    do_POST = do_PUT = do_CONNECT = do_GET  # noqa: N815 - the base's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


class _Quiet(ThreadingHTTPServer):
    """Says nothing about clients that go away in the middle, as attackers do."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet."""


@contextmanager
def recording(
    content_type: str, answer: bytes, *, known: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Serve a `Recorder` on loopback; gives its port and the list of what it has seen."""
    seen: list[str] = []
    told = {"seen": seen, "content_type": content_type, "answer": answer, "known": known}
    server = _Quiet(("127.0.0.1", 0), type("_Recorder", (Recorder,), told))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(server.server_address[1]), seen
    finally:
        server.shutdown()
        server.server_close()
