"""What do texts, notebooks, JSON documents and pages hold that is not plainly seen?"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import orjson

from carrel.airlock.rules.requests import Finding, Severity


def check_text(content: bytes) -> Iterator[Finding]:
    """Require UTF-8 without control characters; people read what it says."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Finding(
            "unreadable",
            Severity.CANNOT_TELL,
            f"The file is not UTF-8 (byte {error.start + 1}); save it as UTF-8.",
        )
        return
    if any(ord(char) < 32 and char not in "\t\r\n" for char in text):
        yield Finding(
            "unreadable", Severity.CANNOT_TELL, "The file holds control characters, not text."
        )
        return
    yield Finding(
        "free_text", Severity.CHECK, "This is free text, which no rule can judge: read it."
    )


def check_notebook(content: bytes) -> Iterator[Finding]:
    """Require JSON of a known shape; outputs are results and must be read."""
    try:
        cells = orjson.loads(content)["cells"]
        outputs = [
            number
            for number, cell in enumerate(cells, start=1)
            if cell["cell_type"] == "code" and cell.get("outputs")
        ]
        attached = any(cell.get("attachments") for cell in cells)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        yield Finding(
            "unreadable", Severity.CANNOT_TELL, "The file is not a Jupyter notebook (v4)."
        )
        return
    yield Finding(
        "free_text", Severity.CHECK, "This is a notebook, which no rule can judge: read it."
    )
    if attached:
        yield Finding("attachment", Severity.FLAG, "The notebook holds attached files.")
    if outputs:
        shown = ", ".join(map(str, outputs[:10])) + (" and more" if len(outputs) > 10 else "")
        yield Finding(
            "outputs",
            Severity.FLAG,
            f"The notebook holds outputs (cell {shown}); clear them, or export results as tables "
            "and images.",
        )


def check_json(content: bytes) -> Iterator[Finding]:
    """Require one JSON document; a list of records is data, not a result."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        yield Finding("unreadable", Severity.CANNOT_TELL, "The file is not one JSON document.")
        return
    yield Finding("free_text", Severity.CHECK, "This is JSON, which no rule can judge: read it.")
    if (most := _most_records(document)) >= RECORDS_LIMIT:
        yield Finding(
            "records",
            Severity.FLAG,
            f"The document holds a list of {most} objects, which look like records.",
        )


RECORDS_LIMIT = 20


def _most_records(document: object) -> int:
    """Return the length of the longest list of objects anywhere in a document."""
    most, waiting = 0, [document]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            most = max(most, sum(isinstance(each, dict) for each in here))
            waiting.extend(here)
    return most


class _Page(HTMLParser):
    """Collects what a page holds besides the words and tables that it shows."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element and its attributes."""
        line = self.getpos()[0]
        given = {name: value or "" for name, value in attrs}
        if tag in _ACTIVE:
            self.found.setdefault(f"a <{tag}> element", line)
        if tag == "input" and given.get("type", "").lower() == "hidden":
            self.found.setdefault("hidden fields", line)
        if "hidden" in given or _INVISIBLE.search(given.get("style", "")):
            self.found.setdefault("elements that are not shown", line)
        for name, value in given.items():
            if name.startswith("on"):
                self.found.setdefault("code that runs on events", line)
            elif name.startswith("data-"):
                self.found.setdefault("values in data- attributes", line)
            if value.strip().lower().startswith(("data:", "javascript:")):
                self.found.setdefault("embedded data", line)

    def handle_comment(self, data: str) -> None:  # noqa: ARG002 - the library's signature
        """Note that there are comments."""
        self.found.setdefault("comments", self.getpos()[0])

    def handle_decl(self, decl: str) -> None:
        """Look at a declaration, which is the document type in a good page."""
        if not decl.lower().startswith("doctype html"):
            self.found.setdefault("declarations", self.getpos()[0])


_ACTIVE = frozenset(
    {"script", "iframe", "object", "embed", "template", "noscript", "svg", "canvas", "audio",
     "video", "base", "form", "link", "style", "math", "frame", "applet", "portal"}
)  # fmt: skip
_INVISIBLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d])|"
    r"(?<![-\w])(?:left|top|text-indent)\s*:\s*-\d{3,}|color\s*:\s*(?:white|#fff\b|#ffffff|transparent)",
    re.IGNORECASE,
)


def check_page(content: bytes) -> Iterator[Finding]:
    """Require UTF-8; point at everything in an HTML page that is not shown, or runs."""
    unreadable = [found for found in check_text(content) if found.severity is not Severity.CHECK]
    if unreadable:
        yield from unreadable
        return
    page = _Page()
    page.feed(content.decode("utf-8-sig"))
    page.close()
    yield Finding("free_text", Severity.CHECK, "This is a page, which no rule can judge: read it.")
    for what, line in page.found.items():
        yield Finding(
            "hidden_content",
            Severity.FLAG,
            f"From line {line} on the page holds {what}; export the tables and images themselves.",
            row=line,
        )
