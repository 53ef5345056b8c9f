"""Can a trap in the outbox make the airlock collect something else?"""

import io
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from carrel.core.clock import monotonic
from carrel.core.errors import CarrelError, InvalidRequest, NotFound
from carrel.evidence.inside.stand import BAIT, plant
from carrel.evidence.outside import HostBait
from carrel.evidence.program import command
from carrel.evidence.rules import OPEN, Line, Outcome, Probe, filled
from carrel.evidence.sandboxes import Resident, Sandboxes
from carrel.runtime.ports import Boxes

SWAP_SECONDS = 1.5

Opener = Callable[[str], BinaryIO]


def collect(
    probes: Sequence[Probe], boxes: Boxes, sandboxes: Sandboxes, who: Resident, bait: HostBait
) -> list[Line]:
    """Plant every trap as `who`, then collect them all: by the airlock's boxes, and naively."""
    secret = str(bait.inside["host_file"])
    told = {
        "climb": "../" * 24 + secret[1:],
        "absolute": secret,
        "through_link": f"link-folder/{Path(secret).name}",
    }
    orders = {
        "plant": {"folder": "/outbox", "secret": secret},
        "swap": {"folder": "/outbox", "secret": secret},
        "wait": 60,
    }
    planter, _ = sandboxes.run(who, orders)
    folder = bait.folder / "outbox"
    folder.mkdir()
    plant(str(folder), secret)
    naive = _Naive(folder)
    lines = []
    for probe in probes:
        path = str(filled(probe.given, told).get("path", ""))
        attempt = _ATTEMPTS[probe.attempt]
        observed = attempt(lambda name: boxes.open_outbox(who.workspace_id, name), path)
        lines.append(Line(probe, observed, attempt(naive.open, path)))
    listed = _listed(boxes, who.workspace_id)
    lines = [_with_listing(line, listed, folder) for line in lines]
    sandboxes.stop(who, planter)
    naive.close()
    return lines


def _collect(opener: Opener, path: str) -> Outcome:
    """Open one path, and say whether something came back."""
    try:
        with opener(path) as file:
            text = file.read(64)
    except (InvalidRequest, NotFound) as refusal:
        return Outcome("refused", str(refusal))
    except (CarrelError, OSError) as error:
        return Outcome("unclear", f"{type(error).__name__}: {error}")
    bait = " (the host's own)" if text.startswith(BAIT.encode()) else ""
    return Outcome(OPEN, f"{len(text)} bytes came back{bait}")


def _swap(opener: Opener, path: str) -> Outcome:
    """Open the file that is swapped all the time, again and again."""
    del path
    until, tries = monotonic() + SWAP_SECONDS, 0
    while monotonic() < until:
        seen = _collect(opener, "swapped")
        tries += 1
        if seen.got_through and "own" in seen.text:
            return Outcome(OPEN, f"after {tries} tries the file behind the link came back")
    return Outcome("refused", f"in {tries} tries never the file behind the link")


def _list_later(opener: Opener, path: str) -> Outcome:
    """Say nothing yet: the listing is judged as a whole."""
    del opener, path
    return Outcome("unclear", "")


_ATTEMPTS: Mapping[str, Callable[[Opener, str], Outcome]] = {
    "collect": _collect,
    "swap": _swap,
    "list_bytes": _list_later,
}


def _listed(boxes: Boxes, workspace_id: str) -> Outcome:
    """Say which names that are no plain text the outbox offers for collecting."""
    offered = [
        file.path
        for file in boxes.list_outbox(workspace_id)
        if not file.refused and not file.path.isprintable()
    ]
    if offered:
        return Outcome(OPEN, f"offered: {offered!r}")
    return Outcome("refused", "every such name is listed with the reason why it is refused")


def _with_listing(line: Line, listed: Outcome, folder: Path) -> Line:
    if line.probe.attempt != "list_bytes":
        return line
    names = [entry.name for entry in folder.iterdir() if not entry.name.isprintable()]
    return Line(line.probe, listed, Outcome(OPEN, f"a plain listing offers {len(names)} of them"))


class _Naive:
    """A collector that trusts what it finds, with a swapper at its side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        secret = str(next(folder.parent.glob("carrel-bait-*")))
        swap = {"swap": {"folder": str(folder), "secret": secret}, "wait": 30}
        self._swapper = subprocess.Popen(command(swap), stdout=subprocess.DEVNULL)
        while not (folder / "swapped").exists() and self._swapper.poll() is None:
            time.sleep(0.01)

    def open(self, path: str) -> BinaryIO:
        """Open whatever is there, or wherever it leads."""
        found = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK)
        if Path(f"/proc/self/fd/{found}").is_dir():
            os.close(found)
            return io.BytesIO()
        return os.fdopen(found, "rb")

    def close(self) -> None:
        """End the swapper."""
        self._swapper.terminate()
        self._swapper.wait()
