"""Whatever becomes of a scanner, does nothing get past it? In real workers, with short limits."""

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from carrel.airlock.ports import Scanner
from carrel.airlock.rules import Finding, Severity, Status
from carrel.airlock.scanners import standard_scanners
from carrel.airlock.scanners.confinement import FORBIDDEN, filter_for
from carrel.airlock.scanners.running import Apart, Limits
from carrel.airlock.stores import FolderStore
from tests.airlock import SAFE_TABLE, SMALL_TABLE, Bench
from tests.factories import make_database

QUICK = Limits(seconds=1.0, memory_bytes=256 * 2**20)


def hang(_subject):
    time.sleep(1000)


def die(_subject):
    os._exit(0)


def crash(_subject):
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def devour(_subject):
    kept = []
    while True:
        kept.append(bytearray(2**24))


def recurse(subject):
    recurse(subject)


def babble(_subject):
    return [Finding("x" * 200, Severity.PASS, "Too long a rule.")]


def flood(_subject):
    return [Finding("many", Severity.CHECK, "y" * 900)] * 40_000


BLOWS: dict[str, Callable] = {
    one.__name__: one for one in (hang, die, crash, devour, recurse, babble, flood)
}
SAID = {"devour": "broke_down", "recurse": "broke_down"}


@dataclass
class Struck:
    """A scanner of which something becomes while it examines a file."""

    scanner: Scanner
    blow: str

    @property
    def name(self) -> str:
        return self.scanner.name

    @property
    def version(self) -> str:
        return self.scanner.version

    def examine(self, subject):
        self.scanner.examine(subject)
        return BLOWS[self.blow](subject)


class Prying:
    """Tries what somebody would who took the worker over; finds what succeeded."""

    name, version = "prying", "1"

    def __init__(self, secret: Path) -> None:
        self.secret = str(secret)

    def examine(self, subject):
        (Path(os.environ["TMPDIR"]) / "mine").write_text("x")
        final = {"fork": os.fork, "run": lambda: os.execv("/bin/true", ["true"])}
        return [
            Finding("open", Severity.BLOCK, name)
            for name, attempt in {**self.tries(), **final}.items()
            if not self.fails(attempt)
        ]

    def tries(self) -> dict[str, Callable]:
        return {
            "network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
            "unix": lambda: socket.socket(socket.AF_UNIX).close(),
            "read": lambda: Path(self.secret).read_text(),
            "write": lambda: Path(self.secret).with_name("x").write_text("x"),
            "environ": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
            "kill": lambda: os.kill(os.getppid(), 0),
            "passwd": lambda: Path("/etc/passwd").read_text(),
        }

    @staticmethod
    def fails(attempt) -> bool:
        try:
            attempt()
        except OSError:
            return True
        return False


class Reading:
    """Tells how often it read the whole file."""

    name, version = "reading", "1"

    def examine(self, subject):
        with subject.open() as one, subject.open() as other:
            first = one.read(3)
            whole = other.read()
            other.seek(0)
            assert other.readline() == b"group,n\n"
            assert first + one.read() == whole
            assert one.seek(-3, os.SEEK_END) == len(whole) - 3
        with subject.open() as again:
            assert list(again) == whole.splitlines(keepends=True)
        return [Finding("read", Severity.CHECK, f"{len(whole)} {subject.size_bytes}")]


@pytest.fixture
def database(tmp_path):
    made = make_database(tmp_path)
    yield made
    made.close()


def examined(database, scanners, limits=QUICK, store=None, **files) -> tuple[Bench, object]:
    bench = Bench(database, scanners=Apart(scanners, limits=limits), store=store)
    request = bench.submitted("export", **(files or {"table__csv": SAFE_TABLE}))
    bench.run_work()
    return bench, bench.airlock.get(bench.author, request.id)


def rules(bench, request) -> list[tuple[str, str]]:
    found = bench.airlock.list_findings(bench.author, request.id)
    return [(each.scanner, each.rule) for each in found]


@pytest.mark.parametrize("at", range(len(standard_scanners())))
def test_each_scanner_that_dies_stops_the_request(database, at):
    scanners = list(standard_scanners())
    scanners[at] = Struck(scanners[at], "die")
    bench, request = examined(database, scanners)
    assert request.status is Status.RETURNED
    assert (scanners[at].name, "stopped") in rules(bench, request)


@pytest.mark.parametrize("blow", BLOWS)
def test_whatever_becomes_of_a_scanner_the_request_is_returned(database, blow):
    struck = Struck(standard_scanners()[0], blow)
    bench, request = examined(database, [struck, Reading()])
    assert request.status is Status.RETURNED
    assert rules(bench, request) == [
        (struck.name, SAID.get(blow, "stopped")),
        ("reading", "read"),  # the next one goes on, in another worker
    ]


def test_after_some_stops_nothing_more_of_the_request_is_examined(database):
    files = {f"t{n}__csv": SAFE_TABLE for n in range(6)}
    struck = [Struck(standard_scanners()[0], "die")]
    bench, request = examined(database, struck, **files)
    assert request.status is Status.RETURNED
    said = [rule for _, rule in rules(bench, request)]
    assert said == ["stopped"] * 3 + ["given_up"] * 3


def test_the_next_request_is_examined_as_if_nothing_had_been(database):
    _, request = examined(database, [Struck(standard_scanners()[0], "hang")])
    assert request.status is Status.RETURNED
    _, request = examined(database, standard_scanners())
    assert request.status is Status.IN_REVIEW


def test_a_worker_reaches_neither_network_nor_database_nor_carrel(database, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the database")
    secret.chmod(0o644)
    prying = Prying(secret)
    outside = [name for name, attempt in prying.tries().items() if prying.fails(attempt)]
    assert outside == []
    bench, request = examined(database, [prying])
    found = bench.airlock.list_findings(bench.author, request.id)
    assert [each.sentence for each in found] == []
    assert request.status is Status.IN_REVIEW


def test_files_are_read_from_any_store(database, tmp_path):
    for store in (None, FolderStore(tmp_path / "store")):
        bench, request = examined(database, [Reading()], store=store)
        (found,) = bench.airlock.list_findings(bench.author, request.id)
        assert found.sentence == f"{len(SAFE_TABLE)} {len(SAFE_TABLE)}"


def test_apart_scanners_find_what_they_find_in_place(database):
    files = {"a__csv": SMALL_TABLE, "b__png": b"\x89PNG\r\n\x1a\n", "c__txt": b"words"}
    bench, request = examined(database, standard_scanners(), **files)
    apart = bench.airlock.list_findings(bench.author, request.id)
    bench = Bench(database, scanners=standard_scanners())
    request = bench.submitted("export", **files)
    bench.run_work()
    assert bench.airlock.list_findings(bench.author, request.id) == apart
    assert len(apart) > 3


def test_the_filter_is_known_for_both_machines_and_for_no_other():
    assert len(filter_for("x86_64")) > len(FORBIDDEN)
    assert len(filter_for("aarch64")) > len(FORBIDDEN)
    with pytest.raises(OSError, match="riscv64"):
        filter_for("riscv64")
