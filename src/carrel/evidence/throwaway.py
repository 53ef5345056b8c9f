"""Where do proofs run when no TRE runs here? With a launcher of their own, that leaves nothing."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from carrel.core.clock import monotonic
from carrel.core.errors import Unavailable

START_SECONDS = 60.0
_MARKER = "weakened-for-tests"


class Answering(Protocol):
    """What is asked to see that the launcher is there."""

    def uid_range(self) -> tuple[int, int]:
        """Return the first and the last host id; raises `Unavailable` if nobody answers."""
        ...


R = TypeVar("R", bound=Answering)


@contextmanager
def throwaway_launcher(connect: Callable[[Path], R], *, weaken: str = "") -> Iterator[R]:
    """Run a launcher with a home of its own; everything of it is gone at the end.

    `connect` makes the runtime of the launcher at a socket. `weaken` breaks one protection on
    purpose, so that tests can see the probes notice.
    Raises `Unavailable` with what the launcher said if it does not start.
    """
    home = Path(tempfile.mkdtemp(prefix="carrel-proof-home-"))
    if weaken:
        (home / _MARKER).touch()
    launch = [sys.executable, "-m", "carrel.runtime.launcher", "--home", str(home)]
    socket_path = home / "launcher.sock"
    words = [*launch, "--socket", str(socket_path), *(["--weaken", weaken] if weaken else [])]
    try:
        with (home / "launcher.log").open("wb") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            runtime = connect(socket_path)
            _await(process, runtime, home / "launcher.log")
            yield runtime
        finally:
            process.terminate()
            process.wait()
            subprocess.run([*launch, "--purge"], check=False, capture_output=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _await(process: "subprocess.Popen[bytes]", runtime: Answering, log: Path) -> None:
    until = monotonic() + START_SECONDS
    while True:
        try:
            runtime.uid_range()
        except Unavailable as error:
            if process.poll() is not None or monotonic() > until:
                said = log.read_text(errors="replace")[-500:].strip() or "it said nothing"
                raise Unavailable(f"The launcher for the proof did not start: {said}") from error
        else:
            return
        time.sleep(0.02)
