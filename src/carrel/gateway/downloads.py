"""Which ways to save or bring a file are closed in a restricted workspace?

Closed here: the addresses by which Jupyter hands out or takes in whole files, attachments, and
file types that a browser saves instead of showing; the page itself is sandboxed without leave to
download (rules.security_headers). So files leave through the airlock and not by a click.

Not closed, because nothing can: what is on the screen. Text, tables and pictures that a notebook
shows reach the browser, and a person who wants to can copy, photograph or, with a program of their
own, record them. One answer is small at least (`LONGEST_SHOWN`), and the audit trail names the
session that received much in an hour (volumes.py); where even looking must be controlled, use a
desktop template that sends pixels alone.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import orjson

from carrel.core.errors import Denied

LONGEST_SAVE: Final = 64 * 2**20
"""Bytes of one saved document; larger files come in through the airlock."""

LONGEST_SHOWN: Final = 5 * 2**20
"""Bytes of one answer that is not the tool's own code: enough for a page, too little for data."""

CLOSED_ROUTES: Final[tuple[tuple[str, str], ...]] = (
    # (pattern of the path below the tool's prefix, why)
    (r"/files(/|$)", "whole files"),
    (r"/view(/|$)", "whole files in a frame"),
    (r"/nbconvert(/|$)", "notebooks converted to files"),
    (r"/(directories|archive-download|extract-archive)(/|$)", "folders as archives"),
    (r"/proxy(/|$)", "other ports of the workspace"),
    (r"/(post|api/)?(nbgitpuller|git-pull)(/|$)", "repositories pulled on opening a link"),
)
_CLOSED = re.compile("|".join(pattern for pattern, _ in CLOSED_ROUTES))
_CONTENTS = re.compile(r"/api/contents(/|$)")
_FOR_PROGRAMS = re.compile(r"/api/(kernels|sessions|status)(/[\w./-]*)?")
_CODE = "/static/"
_EXTENSIONS = "/lab/extensions/"
_CODE_TYPES = re.compile(r"(text|application)/(x-)?(javascript|css|json)|font/[\w.+-]+")
_SHOWN_TYPES = re.compile(
    r"text/(html|plain|css|javascript|event-stream|markdown|x-[\w.+-]+)|"
    r"application/(json|javascript|x-javascript|manifest\+json|schema\+json|problem\+json|"
    r"x-ndjson|wasm|xml|font-woff2?|vnd\.ms-fontobject|x-font-ttf)|"
    r"(image|font)/[\w.+-]+"
)
_SAYS_NO = "This workspace is restricted: files leave and enter through the airlock, not like this."
_TOO_MUCH = (
    "This workspace is restricted: an answer of more than 5 MiB is not shown. Make it smaller, or "
    "let the file leave through the airlock."
)
_NO_PROGRAM = (
    "This workspace is restricted: an API token is for kernels and sessions alone. Open the tool "
    "from the portal."
)


def check_download(method: str, path: str, query: str) -> str:
    """Return the query to send. Raises `Denied` for an address that gives out whole files.

    A file is opened as text or not at all: Jupyter would give out binary files as base64.
    """
    decoded = unquote(unquote(path)).lower()
    if _CLOSED.match(decoded):
        raise Denied(_SAYS_NO)
    if not _CONTENTS.match(decoded) or method not in ("GET", "HEAD"):
        return query
    formats = {value for name, value in parse_qsl(query[1:]) if name == "format"}
    if not formats:
        return f"{query}&format=text" if query else "?format=text"
    if formats != {"text"}:
        raise Denied(_SAYS_NO)
    return query


def check_program(path: str) -> None:
    """Raise `Denied` unless programs, which come with an API token, may use this address."""
    if not _FOR_PROGRAMS.fullmatch(path):
        raise Denied(_NO_PROGRAM)


def takes_documents(method: str, path: str) -> bool:
    """Whether this request may bring a document in, whose form must be checked first."""
    return method in ("PUT", "POST", "PATCH") and bool(
        _CONTENTS.match(unquote(unquote(path)).lower())
    )


def check_upload(body: bytes) -> None:
    """Raise `Denied` if a saved document is a file in disguise: base64, or one part of many."""
    try:
        model: Any = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise Denied(_SAYS_NO, log_detail="contents body is not JSON") from error
    if not isinstance(model, dict) or model.get("format") == "base64" or "chunk" in model:
        raise Denied(_SAYS_NO)


def check_answer(
    path: str, status: int, content_type: str, disposition: str, length: str | None
) -> None:
    """Raise `Denied` for an answer that a browser would save instead of show."""
    if disposition and not disposition.strip().lower().startswith("inline"):
        raise Denied(_SAYS_NO)
    has_body = status in (200, 203, 206) and length != "0"
    kind = content_type.partition(";")[0].strip().lower()
    shown = _CODE_TYPES if unquote(path).lower().startswith(_EXTENSIONS) else _SHOWN_TYPES
    if has_body and not shown.fullmatch(kind):
        raise Denied(_SAYS_NO, log_detail=f"content type {kind!r}")


def check_packing(encoding: str) -> None:
    """Raise `Denied` for an answer that is packed: its size says nothing."""
    if encoding.strip().lower() not in ("", "identity"):
        raise Denied(_SAYS_NO)


def check_size(path: str, size_bytes: int) -> None:
    """Raise `Denied` for an answer that is too large to be looked at."""
    if size_bytes > LONGEST_SHOWN and not may_be_cached(path):
        raise Denied(_TOO_MUCH)


def may_be_cached(path: str) -> bool:
    """Whether a browser may keep the answer: the tool's own code, but nobody's data."""
    return path.startswith(_CODE)
