"""What do all scanners say about one file, and where do their findings take its request?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from carrel.airlock.ports import Scanner, Subject
from carrel.airlock.rules import Finding, Severity, Status, verdict_of
from carrel.core.errors import Unavailable

log = structlog.get_logger()


class InPlace:
    """Runs scanners where they are called: for tests and for people's own files."""

    def __init__(self, scanners: Sequence[Scanner]) -> None:
        self._scanners = scanners

    @contextmanager
    def opened(self) -> Iterator[Sequence[Scanner]]:
        """Give the scanners."""
        yield self._scanners


def examine(scanners: Sequence[Scanner], subject: Subject) -> Iterator[Finding]:
    """Return what each scanner finds, bound to the content and to the scanner's version.

    Raises `Unavailable` if the file cannot be read now; whatever else goes wrong in a scanner is a
    finding.
    """
    for scanner in scanners:
        for found in _examined(scanner, subject):
            yield replace(
                found,
                file=subject.name,
                sha256=subject.sha256,
                scanner=scanner.name,
                scanner_version=scanner.version,
            )


def broke_down(scanner: Scanner) -> Finding:
    """Return what is said of a scanner that raised."""
    return Finding(
        "broke_down",
        Severity.CANNOT_TELL,
        f"The scanner for {scanner.name} could not finish with this file. Submit again; "
        "if it happens twice, tell an administrator.",
    )


def _examined(scanner: Scanner, subject: Subject) -> Sequence[Finding]:
    try:
        return scanner.examine(subject)
    except Unavailable:  # the store is away, which says nothing about the file
        raise
    except Exception:  # it reads what a stranger wrote; whatever breaks it, it could not tell
        log.exception("airlock.scanner_broke_down", scanner=scanner.name, sha256=subject.sha256)
        return [broke_down(scanner)]


def outcome(findings: Sequence[Finding]) -> tuple[Status, str]:
    """Return where the scanners' findings take a request, and the sentence for its author."""
    verdict = verdict_of(findings)
    if verdict is Severity.PASS:
        return Status.IN_REVIEW, ""
    stopped = next((found for found in findings if found.severity is verdict), findings[0])
    if verdict is Severity.BLOCK:
        return Status.BLOCKING, f"{stopped.file}: {stopped.sentence}"
    if verdict is Severity.CANNOT_TELL:
        return Status.RETURNED, f"{stopped.file}: {stopped.sentence}"
    flags = sum(found.severity is Severity.FLAG for found in findings)
    return Status.IN_REVIEW, f"{flags} flagged, {len(findings) - flags} to check."
