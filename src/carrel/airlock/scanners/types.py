"""Is a file what its name says, and of a type that may cross?"""

from collections.abc import Iterator, Sequence

from carrel.airlock.ports import Subject
from carrel.airlock.rules import Direction, Finding, Severity, formats
from carrel.airlock.scanners.reading import read_whole


class FileTypes:
    """Is the file what its name says, of an allowed type, and can it be parsed?"""

    name = "file types"
    version = "1"

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Compare name, first bytes and, for exports, the whole content."""
        return list(self._examine(subject))

    def _examine(self, subject: Subject) -> Iterator[Finding]:
        with subject.open() as content:
            head = content.read(formats.HEAD_BYTES)
        disguised = list(formats.check_head(subject.name, head, subject.direction))
        yield from disguised
        if disguised or subject.direction is Direction.IMPORT:
            return
        unknown = list(formats.check_allowed(subject.name, subject.policy.export_types))
        yield from unknown
        if not unknown:
            yield from _content(subject)


def _content(subject: Subject) -> Iterator[Finding]:
    limit = subject.policy.export_file_bytes
    if subject.size_bytes > limit:
        yield Finding(
            "too_large",
            Severity.CANNOT_TELL,
            f"The file is larger than {limit // 2**20} MiB, which nobody can review; export "
            "results, not records.",
        )
        return
    kind = formats.suffix(subject.name)
    if kind in formats.TEXTS:
        yield from formats.check_text(read_whole(subject))
    elif kind in formats.IMAGES:
        yield from formats.check_image(subject.name, read_whole(subject))
    elif kind == formats.NOTEBOOK:
        yield from formats.check_notebook(read_whole(subject))
