"""Would the attempts succeed if nobody stopped them? The control, run outside on the host.

The control makes each attempt as an ordinary user, and as root where that does not succeed. Its
mounts are its own, and its small internet is a network namespace of its own: all of it is gone
when it ends.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from carrel.core.ids import new_id
from carrel.core.settings import child_environment
from carrel.evidence.inside.stand import Stand
from carrel.evidence.probes.network import ANSWERING, LOCAL_RESOLVER, PORTS
from carrel.evidence.program import command
from carrel.evidence.rules import Control, Outcome, Place, Probe, jobs

NOBODY = 65534
CONTROL_SECONDS = 90
_ROOMY = "/var/tmp"  # noqa: S108 - on the disk of the host, and not hidden by a mount of its own


@dataclass(frozen=True, slots=True)
class HostBait:
    """What stands on the host for the attempts to look for."""

    folder: Path
    inside: Mapping[str, Any]
    """Names and addresses as an attacker inside is told them."""
    outside: Mapping[str, Any]
    """The same for the control."""


@contextmanager
def host_bait(attacker: str) -> Iterator[HostBait]:
    """Put bait on the host, and take all of it away again; `attacker` is the member's name."""
    token = f"carrel-bait-{new_id()}"
    names_folder = tempfile.mkdtemp(prefix="carrel-proof-", dir="/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="carrel-proof-", dir=_ROOMY))
    folder.chmod(0o1777)
    with socket.create_server(("127.0.0.1", 0)) as door:
        told = {
            "host_port": door.getsockname()[1],
            "host_address": _own_address(),
            "host_file": str(folder / token),
            "abstract": token,
            "socket_path": str(folder / "door.sock"),
            "memory_file": f"/dev/shm/{token}",  # noqa: S108 - bait
            "memory_key": int.from_bytes(os.urandom(3), "big") + 1,
            "queue": f"/{token}",
            "process_token": token,
        }
        stand = Stand({**told, "files": [told["host_file"], told["memory_file"]]})
        told["process_pid"] = stand.process_pid
        try:
            outside = {**told, **_outside(folder), "names_folder": names_folder}
            yield HostBait(folder, {**told, **_inside(attacker)}, outside)
        finally:
            stand.clear()
            for made in (folder, names_folder):
                shutil.rmtree(made, ignore_errors=True)


def _inside(attacker: str) -> dict[str, Any]:
    folders = {name: f"/{name}" for name in ("shared", "outbox", "inbox", "tmp")}
    return {
        **folders,
        "home": f"/home/{attacker}",
        "names_folder": f"/home/{attacker}",
        "memory_folder": "/dev/shm",  # noqa: S108 - the sandbox's own
        "namespace": "/proc/1/ns/net",
        "process_root": "/proc/1/root",
        "terminal": False,
        "known_variables": [],
    }


def _outside(folder: Path) -> dict[str, Any]:
    folders = dict.fromkeys(("shared", "outbox", "inbox", "tmp", "home"), str(folder))
    return {
        **folders,
        "memory_folder": "/dev/shm",  # noqa: S108 - a bounded file without a name
        "namespace": f"/proc/{os.getpid()}/ns/net",
        "process_root": f"/proc/{os.getpid()}/root",
        "terminal": True,
        "known_variables": [],
    }


def _own_address() -> str:
    """Return an address of this host that is not loopback, as far as it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((ANSWERING[0], 9))  # sends nothing
        except OSError:
            return ANSWERING[0]
        return str(sock.getsockname()[0])


def control(probes: Sequence[Probe], bait: HostBait) -> dict[str, Outcome]:
    """Make the attempts of `probes` outside; returns the best outcome of each by id."""
    found: dict[str, Outcome] = {}
    for surroundings in Control:
        chosen = [probe for probe in probes if probe.control is surroundings]
        for entry in _passes(surroundings):
            left = [probe for probe in chosen if not _through(found.get(probe.id))]
            if left:
                found |= _one_pass(entry, left, bait, surroundings)
    return found


def _through(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.got_through


@dataclass(frozen=True, slots=True)
class _Pass:
    """One way to run the control: what to enter first, and as whom."""

    enter: Sequence[str]
    people: Mapping[int | None, str]


def _passes(surroundings: Control) -> Sequence[_Pass]:
    own_net = ["--net"] if surroundings is Control.SMALL_NET else []
    if os.geteuid() == 0:
        both = {NOBODY: "an ordinary user", None: "root"}
        return [_Pass(["unshare", "--mount", "--propagation", "private", *own_net], both)]
    as_root = ["unshare", "--user", "--map-root-user", "--mount", *own_net]
    inner = _Pass(as_root, {None: "root of a user namespace"})
    if surroundings is Control.SMALL_NET:
        return [inner]
    return [_Pass([], {None: "the same user"}), inner]


def _one_pass(
    entry: _Pass, probes: Sequence[Probe], bait: HostBait, surroundings: Control
) -> dict[str, Outcome]:
    orders: dict[str, Any] = {
        "folder": str(bait.folder),
        "jobs": jobs(probes, bait.outside, uids=list(entry.people)),
    }
    if surroundings is Control.SMALL_NET:
        orders["network"] = {"addresses": ANSWERING, "ports": PORTS}
        orders["resolver"] = LOCAL_RESOLVER
    lines = _run([*entry.enter, *command(orders)])
    return {
        line["id"]: Outcome(line["code"], line["text"], entry.people[line["uid"]])
        for line in lines
        if line["id"]
    }


def _run(words: Sequence[str]) -> list[dict[str, Any]]:
    """Run the control with an inherited file and a telling variable, as a careless host would."""
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(reader,),
            env=child_environment(CARREL_PROBE_SECRET="bait"),  # noqa: S106 - bait
            timeout=CONTROL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return _parsed(expired.stdout or b"")
    finally:
        os.close(reader)
        os.close(writer)
    return _parsed(done.stdout)


def _parsed(printed: bytes) -> list[dict[str, Any]]:
    """Return the JSON lines among what was printed; flooding attempts print other things too."""
    return [orjson.loads(line) for line in printed.splitlines() if line.startswith(b'{"id"')]


def without_limits(probes: Sequence[Probe], bait: HostBait) -> dict[str, Outcome]:
    """Run the control of the limit probes: as the user we are, with no limit but the attempt's."""
    people: dict[int | None, str] = {None: "root" if os.geteuid() == 0 else "the same user"}
    found: dict[str, Outcome] = {}
    for probe in probes:
        assert probe.place is Place.LIMITED
        found |= _one_pass(_Pass([], people), [probe], bait, Control.HOST)
    return found
