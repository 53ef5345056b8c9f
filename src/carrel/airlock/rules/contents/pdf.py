"""What does a PDF document hold besides its pages?"""

import io
from collections.abc import Iterator

import pikepdf

from carrel.airlock.rules.requests import Finding, Severity

_END = b"%%EOF"
_OPEN_ENDED = (b"", b"\r", b"\n", b"\r\n", b" ")


def check_pdf(content: bytes) -> Iterator[Finding]:
    """Read a document's whole structure; its pages are for a person."""
    if not content.startswith(b"%PDF-"):
        yield _broken()
        return
    try:
        with pikepdf.open(io.BytesIO(content), suppress_warnings=True) as document:
            yield from _check(document, content)
    except pikepdf.PasswordError:
        yield _encrypted()
    except (pikepdf.PdfError, ValueError, KeyError, RuntimeError):
        yield _broken()


def _check(document: pikepdf.Pdf, content: bytes) -> Iterator[Finding]:
    if document.is_encrypted:
        yield _encrypted()
        return
    yield Finding("free_text", Severity.CHECK, "No rule can judge a document: read it.")
    *before, after = content.split(_END)
    if not before:
        yield _broken()
        return
    if after.strip(b"\r\n \x00"):
        yield Finding("trailing_bytes", Severity.BLOCK, "There are bytes after the document's end.")
    if len(before) > 1 and not document.is_linearized:
        yield _hidden("older versions of itself")
    found = sorted(set(_kinds(document)))
    if "attached files" in found:
        yield Finding(
            "attachment",
            Severity.CANNOT_TELL,
            "The document holds attached files, which nobody can review in it. Export them on "
            "their own.",
        )
    for what in found:
        if what != "attached files":
            yield _hidden(what)
    if len(document.docinfo) or "/Metadata" in document.Root:
        yield Finding(
            "metadata",
            Severity.CHECK,
            "The document says who made it, and with what.",
        )


_KEYS = {
    "/EmbeddedFile": "attached files",
    "/Filespec": "attached files",
    "/JavaScript": "code",
    "/JS": "code",
    "/Launch": "actions that start programs",
    "/SubmitForm": "actions that send data",
    "/ImportData": "actions that read files",
    "/RichMedia": "film, sound or three-dimensional content",
    "/3D": "film, sound or three-dimensional content",
    "/Movie": "film, sound or three-dimensional content",
    "/FileAttachment": "attached files",
}
_ENTRIES = {
    "/EF": "attached files",
    "/EmbeddedFiles": "attached files",
    "/JS": "code",
    "/JavaScript": "code",
    "/OpenAction": "actions that run when it is opened",
    "/AA": "actions that run when it is opened",
    "/AcroForm": "form fields",
    "/XFA": "form fields",
    "/OCProperties": "layers that can be hidden",
    "/PieceInfo": "private data of the program that made it",
}


def _kinds(document: pikepdf.Pdf) -> Iterator[str]:
    """Yield what is found in any object of the document, also in those that nothing refers to."""
    for thing in document.objects:
        if not isinstance(thing, pikepdf.Dictionary | pikepdf.Stream):
            continue
        for key, value in thing.items():
            if key in _ENTRIES and not (key == "/OpenAction" and isinstance(value, pikepdf.Array)):
                yield _ENTRIES[key]
            if key in {"/Type", "/Subtype", "/S"} and str(value) in _KEYS:
                yield _KEYS[str(value)]


def _hidden(what: str) -> Finding:
    return Finding(
        "hidden_content",
        Severity.FLAG,
        f"The document holds {what}; print it to a new PDF, or export tables and images.",
    )


def _encrypted() -> Finding:
    return Finding(
        "encrypted", Severity.CANNOT_TELL, "The document is encrypted; save it without a password."
    )


def _broken() -> Finding:
    return Finding("unreadable", Severity.CANNOT_TELL, "The document is broken; save it again.")
