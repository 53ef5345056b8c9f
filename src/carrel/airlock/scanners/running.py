"""How are scanners run so that no file can harm more than its own request?

Apart: in a worker that is shut in, one for each request, with limits on time and memory. A scanner
that hangs, dies, eats the memory or answers nonsense could not tell, which stops the request.
"""

import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

import orjson
import structlog

from carrel.airlock.examining import broke_down
from carrel.airlock.ports import Scanner, Subject
from carrel.airlock.rules import Finding, Severity
from carrel.airlock.rules.sidecar import declared
from carrel.airlock.scanners.nursery import START_SECONDS, fork, no_worker
from carrel.airlock.scanners.wire import READY, Channel, Job, Plan
from carrel.core.clock import monotonic
from carrel.core.errors import IsolationNotEnforced

log = structlog.get_logger()

ANSWER_BYTES = 16 * 2**20
SENTENCE_LENGTH = 1000
_ONLY_HERE = {"open", "earlier", "listed"}
"""What of a subject only Carrel can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one scanner may use for one file."""

    seconds: float = 60.0
    seconds_per_mib: float = 1.0
    memory_bytes: int = 2 * 2**30
    stops: int = 3
    """After so many stopped scanners nothing more of a request is examined."""


class Apart:
    """Runs scanners in a worker that is shut in, and trusted ones beside them in Carrel."""

    def __init__(
        self,
        scanners: Sequence[Scanner],
        beside: Sequence[Scanner] = (),
        limits: Limits | None = None,
    ) -> None:
        self._scanners = scanners
        self._beside = beside
        self._limits = limits or Limits()

    @contextmanager
    def opened(self) -> Iterator[Sequence[Scanner]]:
        """Give the scanners for one request.

        Raises `Unavailable` if no worker starts, `IsolationNotEnforced` if none can be shut in.
        """
        shift = _Shift(self._scanners, self._limits)
        try:
            shift.start()
            yield [*shift.scanners(), *self._beside]
        finally:
            shift.end()


class _Proxy:
    """A scanner, as seen from here."""

    def __init__(self, scanner: Scanner, shift: "_Shift", number: int) -> None:
        self.name, self.version = scanner.name, scanner.version
        self._shift, self._number = shift, number

    def examine(self, subject: Subject) -> Sequence[Finding]:
        return self._shift.answers(subject)[self._number]


class _Shift:
    """The workers of one request: one, and another after each that had to be stopped."""

    def __init__(self, scanners: Sequence[Scanner], limits: Limits) -> None:
        self._all = scanners
        self._limits = limits
        self._pickled = pickle.dumps(list(scanners))
        self._worker: _Worker | None = None
        self._stops = 0
        self._subject: Subject | None = None
        self._answers: Sequence[Sequence[Finding]] = ()

    def scanners(self) -> Sequence[Scanner]:
        return [_Proxy(one, self, at) for at, one in enumerate(self._all)]

    def start(self) -> "_Worker":
        if self._worker is None:
            self._worker = _Worker(self._pickled, self._limits)
        return self._worker

    def end(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def answers(self, subject: Subject) -> Sequence[Sequence[Finding]]:
        """Return what each scanner found; the worker is asked once for all of them."""
        if self._subject is not subject:
            self._subject, self._answers = None, self._examine(subject)
            self._subject = subject
        return self._answers

    def _examine(self, subject: Subject) -> Sequence[Sequence[Finding]]:
        answers: list[Sequence[Finding]] = []
        while len(answers) < len(self._all):
            if self._stops >= self._limits.stops:
                answers.append([_GIVEN_UP])
                continue
            try:
                self._ask(subject, answers)
            except (OSError, EOFError, ValueError) as error:
                self.end()
                self._stops += 1
                name = self._all[len(answers)].name
                log.warning("airlock.scanner_stopped", scanner=name, why=repr(error))
                answers.append([_stopped(name, error)])
            except BaseException:
                self.end()  # it may be in the middle of an answer
                raise
        return answers

    def _ask(self, subject: Subject, answers: list[Sequence[Finding]]) -> None:
        worker = self.start()
        allowed = self._limits.seconds + self._limits.seconds_per_mib * subject.size_bytes / 2**20
        worker.begin(subject, len(answers), monotonic() + allowed)
        while len(answers) < len(self._all):
            answers.append(worker.answer(self._all[len(answers)], subject, allowed))


class _Worker:
    """A worker that is ready: a channel to it, and the right to kill it."""

    def __init__(self, scanners: bytes, limits: Limits) -> None:
        with ExitStack() as undo:
            self._scratch = tempfile.mkdtemp(prefix="carrel-scan-")
            undo.callback(shutil.rmtree, self._scratch, ignore_errors=True)
            ours, theirs = socket.socketpair()
            self._channel = Channel(ours)
            undo.callback(self._channel.close)
            with theirs:
                self._grip = fork(theirs)
            undo.callback(os.close, self._grip)
            undo.callback(self._signal)
            self._greet(scanners, limits)
            self._undo = undo.pop_all()

    def _greet(self, scanners: bytes, limits: Limits) -> None:
        plan = Plan(scanners, list(sys.path), self._scratch, limits.memory_bytes)
        until = monotonic() + START_SECONDS
        try:
            self._channel.send(pickle.dumps(plan), until=until)
            answer = self._channel.receive(until=until, longest=ANSWER_BYTES)
        except (OSError, EOFError, ValueError) as error:
            raise no_worker(error) from error
        if answer != READY:
            raise IsolationNotEnforced(
                "The scanners cannot be shut in on this host, so no file can be examined. Tell an "
                "administrator.",
                log_detail=answer.decode(errors="replace"),
            )

    def begin(self, subject: Subject, first: int, until: float) -> None:
        """Hand over a file."""
        said: dict[str, Any] = {
            each.name: getattr(subject, each.name)
            for each in fields(subject)
            if each.name not in _ONLY_HERE
        }
        with ExitStack() as opened:
            handed = [_descriptor(opened, subject.open())]
            listed = subject.listed()
            if listed is not None:
                handed.append(_descriptor(opened, listed))
            job = Job(said, first, has_list=listed is not None)
            self._channel.send(pickle.dumps(job), handed, until=until)

    def answer(self, scanner: Scanner, subject: Subject, allowed: float) -> Sequence[Finding]:
        """Return what one scanner found, answering what it asks. `allowed` is in seconds."""
        until, asked = monotonic() + allowed, False
        while True:
            said = orjson.loads(self._channel.receive(until=until, longest=ANSWER_BYTES))
            if not isinstance(said, dict):
                raise ValueError("an answer is no object")  # noqa: TRY004 - of the worker, not of ours
            if "earlier" not in said:
                return _read(said, scanner, subject)
            if asked:
                raise ValueError("it asks twice")
            asked, began = True, monotonic()
            meta = declared(subject.context)
            tables = pickle.dumps([] if meta is None else list(subject.earlier(meta)))
            until += monotonic() - began
            self._channel.send(tables, until=until)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._undo.close()

    def _signal(self) -> None:
        try:
            signal.pidfd_send_signal(self._grip, signal.SIGKILL)
        except ProcessLookupError:
            return  # it ended by itself


def _read(said: dict[str, Any], scanner: Scanner, subject: Subject) -> Sequence[Finding]:
    """Return findings from an answer of which nothing is believed. Raises `ValueError`."""
    if "broke" in said:
        log.error(
            "airlock.scanner_broke_down",
            scanner=scanner.name,
            sha256=subject.sha256,
            trace=str(said["broke"]),
        )
        return [broke_down(scanner)]
    found = said.get("found")
    if not isinstance(found, list):
        raise ValueError("an answer has no findings")  # noqa: TRY004 - of the worker, not of ours
    return [_finding(each) for each in found]


def _finding(said: Any) -> Finding:
    try:
        rule, sentence = said["rule"], said["sentence"]
        places = [said["row"], said["column"]]
        severity = Severity(said["severity"])
    except (KeyError, TypeError) as error:
        raise ValueError("a finding is not whole") from error
    if not (isinstance(rule, str) and isinstance(sentence, str)) or len(rule) > 100:
        raise ValueError("a finding is not in words")
    if any(place is not None and type(place) is not int for place in places):
        raise ValueError("a finding is at no place")
    return Finding(rule, severity, sentence[:SENTENCE_LENGTH], *places)


def _descriptor(opened: ExitStack, content: BinaryIO) -> int:
    """Return a descriptor of a file; what lies in memory only is copied into one."""
    opened.callback(content.close)
    try:
        return content.fileno()
    except OSError:  # io.UnsupportedOperation
        copy = os.fdopen(os.memfd_create("subject", os.MFD_CLOEXEC), "w+b")
        opened.callback(copy.close)
        shutil.copyfileobj(content, copy)
        copy.flush()
        return copy.fileno()


def _stopped(name: str, error: Exception) -> Finding:
    why = "ended before it was done"
    if isinstance(error, TimeoutError):
        why = "took too long and was stopped"
    return Finding(
        "stopped",
        Severity.CANNOT_TELL,
        f"The scanner for {name} {why}. Make the file simpler or smaller, and submit again.",
    )


_GIVEN_UP = Finding(
    "given_up",
    Severity.CANNOT_TELL,
    "This file was not examined, because too many scanners had to be stopped before.",
)
