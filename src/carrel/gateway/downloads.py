"""Which ways to save or bring a file are closed in a restricted workspace?

Closed here: the addresses by which Jupyter hands out or takes in whole files, attachments, and
file types that a browser saves instead of showing; the page itself is sandboxed without leave to
download (rules.security_headers). So files leave through the airlock and not by a click.

Not closed, because nothing can: what is on the screen. Text, tables and pictures that a notebook
shows reach the browser, and a person who wants to can copy, photograph or, with a program of their
own, record them. The gateway meters the bytes and the audit trail names the session; where even
looking must be controlled, use a desktop template that sends pixels alone.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import orjson

from carrel.core.errors import Denied

LONGEST_SAVE: Final = 64 * 2**20
"""Bytes of one saved document; larger files come in through the airlock."""

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
_CACHED = ("/static/", "/lab/extensions/")
_SHOWN_TYPES = re.compile(
    r"text/(html|plain|css|javascript|event-stream|markdown|x-[\w.+-]+)|"
    r"application/(json|javascript|x-javascript|manifest\+json|schema\+json|problem\+json|"
    r"x-ndjson|wasm|xml|font-woff2?|vnd\.ms-fontobject|x-font-ttf)|"
    r"(image|font)/[\w.+-]+"
)
_SAYS_NO = "This workspace is restricted: files leave and enter through the airlock, not like this."


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


def check_answer(status: int, content_type: str, disposition: str, length: str | None) -> None:
    """Raise `Denied` for an answer that a browser would save instead of show."""
    if disposition and not disposition.strip().lower().startswith("inline"):
        raise Denied(_SAYS_NO)
    has_body = status in (200, 203, 206) and length != "0"
    kind = content_type.partition(";")[0].strip().lower()
    if has_body and not _SHOWN_TYPES.fullmatch(kind):
        raise Denied(_SAYS_NO, log_detail=f"content type {kind!r}")


def may_be_cached(path: str) -> bool:
    """Whether a browser may keep the answer: the tool's own code, but nobody's data."""
    return path.startswith(_CACHED)
