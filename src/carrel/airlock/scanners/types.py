"""Is a file what its name says, of a type that may cross, and does it hold only what it shows?"""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from carrel.airlock.ports import Subject
from carrel.airlock.rules import Direction, Finding, Severity, formats
from carrel.airlock.rules.contents import archives, images, office, pdf, pickles, texts
from carrel.airlock.scanners.reading import read_whole

_HEAD_BYTES = 2**20

Examiner = Callable[[Subject, bytes], Iterator[Finding]]


def _alone(check: Callable[[bytes], Iterator[Finding]]) -> Examiner:
    return lambda _subject, content: check(content)


def _table(_subject: Subject, _content: bytes) -> Iterator[Finding]:
    """Tables are read to their end by the scanner of small counts."""
    yield from ()


EXAMINERS: Mapping[str, Examiner] = {
    **dict.fromkeys(formats.TABLES, _table),
    **dict.fromkeys(formats.TEXTS, _alone(texts.check_text)),
    **dict.fromkeys(
        formats.IMAGES, lambda subject, content: images.check_picture(subject.name, content)
    ),
    formats.NOTEBOOK: _alone(texts.check_notebook),
    ".json": _alone(texts.check_json),
    ".html": _alone(texts.check_page),
    ".pdf": _alone(pdf.check_pdf),
    ".xlsx": _alone(partial(office.check_office, office.WORKBOOK)),
    ".docx": _alone(partial(office.check_office, office.DOCUMENT)),
    ".pptx": _alone(partial(office.check_office, office.SLIDES)),
    ".safetensors": lambda subject, content: pickles.check_safetensors(
        content, subject.context.get("model")
    ),
}
"""Who reads which type to its end. A type that is not here does not leave."""
_ZIPPED = frozenset({".xlsx", ".docx", ".pptx"})


class FileTypes:
    """Is the file what its name says, of an allowed type, and can it be parsed?"""

    name = "file types"
    version = "2"

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Compare name, first bytes and, for exports, the whole content."""
        return list(self._examine(subject))

    def _examine(self, subject: Subject) -> Iterator[Finding]:
        with subject.open() as content:
            head = content.read(_HEAD_BYTES)
        disguised = [
            *formats.check_head(subject.name, head[: formats.HEAD_BYTES], subject.direction),
            *_pretending(subject, head),
        ]
        yield from disguised
        if any(found.severity is Severity.BLOCK for found in disguised):
            return
        if subject.direction is Direction.IMPORT:
            yield from _unpacked(subject, head)
            return
        unknown = list(formats.check_allowed(subject.name, subject.policy.export_types))
        yield from unknown
        if not unknown:
            yield from _content(subject)


def _pretending(subject: Subject, head: bytes) -> Iterator[Finding]:
    """Find what is two things at once: a pickle under another name, an archive behind a picture."""
    kind = formats.suffix(subject.name)
    if pickles.is_pickle(head):
        if subject.direction is Direction.EXPORT or kind in EXAMINERS:
            yield Finding(
                "pickle", Severity.BLOCK, "The file is a pickle, which runs code when it is opened."
            )
        elif not head.startswith(b"\x80"):  # the others are found by their first bytes
            yield Finding(
                "program", Severity.FLAG, "The file is a pickle, which runs code when it is opened."
            )
    if head.startswith(b"PK") or archives.is_archive(head[:4096]):
        return
    with subject.open() as content:
        if zipfile.is_zipfile(content):
            yield Finding("polyglot", Severity.BLOCK, "The file is a ZIP archive at the same time.")


def _unpacked(subject: Subject, head: bytes) -> Iterator[Finding]:
    if archives.is_archive(head[:4096]):
        with subject.open() as content:
            found = dict.fromkeys(archives.check_archive(content, subject.size_bytes))
        yield from found


def _content(subject: Subject) -> Iterator[Finding]:
    limit = subject.policy.export_file_bytes
    examiner = EXAMINERS.get(formats.suffix(subject.name))
    if examiner is None:
        yield Finding(
            "unknown_type",
            Severity.CANNOT_TELL,
            "Nothing here can examine this type of file, though the policy allows it. Types that "
            f"can be examined: {', '.join(sorted(EXAMINERS))}.",
        )
    elif subject.size_bytes > limit:
        yield Finding(
            "too_large",
            Severity.CANNOT_TELL,
            f"The file is larger than {limit // 2**20} MiB, which nobody can review; export "
            "results, not records.",
        )
    else:
        yield from examiner(subject, read_whole(subject))
