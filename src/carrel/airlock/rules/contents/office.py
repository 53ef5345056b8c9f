"""What do workbooks, documents and slides hold that is not plainly seen?"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from xml.etree import ElementTree as ET

from carrel.airlock.rules.contents.archives import check_archive
from carrel.airlock.rules.requests import Finding, Severity

WORKBOOK, DOCUMENT, SLIDES = ".xlsx", ".docx", ".pptx"
_MAIN = {WORKBOOK: "xl/workbook.xml", DOCUMENT: "word/document.xml", SLIDES: "ppt/presentation.xml"}
_PART_BYTES = 64 * 2**20

_UNREVIEWABLE = {
    r"vbaProject.*\.bin|vbaData\.xml": "macros",
    r".*/embeddings/.*|.*/activeX/.*|.*oleObject.*": "embedded files",
    r".*/ctrlProps/.*": "form controls",
}
_HIDDEN = {
    r".*/pivotCache/.*": "the data behind a pivot table",
    r".*/externalLinks/.*": "values copied from other workbooks",
    r".*/(threadedComments|persons)/.*|.*comments.*\.xml": "comments",
    r".*/connections\.xml|.*/queryTables/.*|.*/model/.*": "connections to data",
    r"customXml/.*": "private data of the program that made it",
    r".*/printerSettings/.*|.*\.bin": "parts that are not text",
    r".*/notesSlides/.*": "notes of the speaker",
    r".*/(glossary|webextensions|customUI|revisions|ink)/.*": "parts that are not shown",
    r"docProps/(custom\.xml|thumbnail.*)": "private properties or a small picture of itself",
}
_MEDIA = re.compile(r".*/media/.*", re.IGNORECASE)


def check_office(kind: str, content: bytes) -> Iterator[Finding]:
    """Open a workbook, document or slides, and name everything that does not show."""
    wrong = [
        found
        for found in check_archive(io.BytesIO(content), len(content))
        if found.rule not in {"odd_name", "program"}
    ]
    if wrong:
        yield Finding(
            "unreadable", Severity.CANNOT_TELL, f"The file is broken. {wrong[0].sentence}"
        )
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if _MAIN[kind] not in names or "[Content_Types].xml" not in names:
            yield Finding(
                "unreadable", Severity.CANNOT_TELL, f"The file is not what {kind} stands for."
            )
            return
        yield Finding("free_text", Severity.CHECK, "No rule can judge this file: read it.")
        yield from _parts(names)
        try:
            for name in names:
                if name.endswith((".xml", ".rels")):
                    yield from _part(name, archive)
        except (ET.ParseError, ValueError, UnicodeDecodeError):
            yield Finding(
                "unreadable",
                Severity.CANNOT_TELL,
                "A part of the file cannot be read; save it again.",
            )


def _parts(names: list[str]) -> Iterator[Finding]:
    for pattern, what in _UNREVIEWABLE.items():
        if any(re.fullmatch(f"(.*/)?{pattern}", name, re.IGNORECASE) for name in names):
            yield Finding(
                "embedded",
                Severity.CANNOT_TELL,
                f"The file holds {what}, which nobody can review in it. Save it without them.",
            )
    for pattern, what in _HIDDEN.items():
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for name in names):
            yield _hidden(what)
    if any(_MEDIA.fullmatch(name) for name in names):
        yield _hidden("pictures, which are not examined here; export them on their own")


def _part(name: str, archive: zipfile.ZipFile) -> Iterator[Finding]:
    if archive.getinfo(name).file_size > _PART_BYTES:
        yield Finding("too_large", Severity.CANNOT_TELL, "A part of it is too large to be read.")
        return
    text = archive.read(name).decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("a part declares entities")
    root = ET.fromstring(text)  # noqa: S314 - no entities, as was just seen
    for what in sorted(set(_seen(name, root))):
        yield _hidden(what)


def _seen(name: str, root: ET.Element) -> Iterator[str]:
    """Yield what is hidden in one part."""
    for element in root.iter():
        tag = str(element.tag).rsplit("}", 1)[-1]
        given = {key.rsplit("}", 1)[-1]: value for key, value in element.attrib.items()}
        if tag in _CHANGES:
            yield "tracked changes"
        elif (looks := _LOOKS.get(tag)) is not None and (what := looks(given, element.text or "")):
            yield what.format(part=name.rsplit("/", 1)[-1])


_CHANGES = frozenset({"ins", "del", "moveFrom", "moveTo", "rPrChange", "pPrChange"})
_Look = Callable[[Mapping[str, str], str], str]


def _when(is_hidden: Callable[[Mapping[str, str], str], bool], what: str) -> _Look:
    return lambda given, text: what if is_hidden(given, text) else ""


_LOOKS: Mapping[str, _Look] = {
    "sheet": _when(lambda given, _: given.get("state", "visible") != "visible", "hidden sheets"),
    "row": _when(lambda given, _: _is_true(given.get("hidden")), "hidden rows in {part}"),
    "col": _when(lambda given, _: _is_true(given.get("hidden")), "hidden columns in {part}"),
    "definedName": _when(
        lambda given, text: _is_true(given.get("hidden")) or "[" in text,
        "hidden names or names that lead to other files",
    ),
    "vanish": _when(lambda given, _: given.get("val") not in {"0", "false"}, "hidden text"),
    "webHidden": _when(lambda given, _: given.get("val") not in {"0", "false"}, "hidden text"),
    "sld": _when(lambda given, _: given.get("show") in {"0", "false"}, "hidden slides"),
    "Relationship": _when(
        lambda given, _: (
            given.get("TargetMode") == "External"
            and not given.get("Type", "").endswith("/hyperlink")
        ),
        "links to other files",
    ),
    "creator": _when(lambda _, text: bool(text.strip()), "the name of its author"),
}


def _is_true(value: str | None) -> bool:
    return value in {"1", "true"}


def _hidden(what: str) -> Finding:
    return Finding(
        "hidden_content",
        Severity.FLAG,
        f"The file holds {what}; export its tables as CSV, or save it without them.",
    )
