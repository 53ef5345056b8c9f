"""Which bodies does Carrel read at all? Not too large, and JSON that has only one meaning."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carrel.api.errors import TooLarge, answer
from carrel.api.table import RouteTable
from carrel.core.errors import BadRequest, CarrelError, InvalidRequest

BODY_LIMIT_BYTES = 2**20
DEPTH_LIMIT = 64
_EXACT = 2**53 - 1
"""Integers up to here are the same for every reader (RFC 7493, section 2.2)."""


class BodyGuard:
    """Refuses bodies that are too large, and JSON that two readers could understand differently.

    A route marked with `core.web.accepts_uploads` streams and keeps its own limit.
    """

    def __init__(self, app: ASGIApp, *, table: RouteTable) -> None:
        self._app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http" or self._streams(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_json = media_type(headers.get("content-type", "")).endswith("json")
        try:
            body = await _read(receive, headers)
            if is_json and body.strip():
                check_json(body)
        except CarrelError as error:
            response = await run_in_threadpool(answer, Request(scope), error)
            await response(scope, receive, send)
            return
        scope["state"]["has_body"] = bool(body)
        await self._app(scope, _replay(body, receive), send)

    def _streams(self, scope: Scope) -> bool:
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return True
        line = self._table.find(scope["method"], scope["path"])
        return line is not None and line.streams_in


def media_type(content_type: str) -> str:
    """Return the media type of a `Content-Type` header, without parameters; "" if there is none."""
    return content_type.partition(";")[0].strip().lower()


async def _read(receive: Receive, headers: Headers) -> bytes:
    claimed = headers.get("content-length", "0")
    if not claimed.isdecimal() or len(claimed) > 18 or int(claimed) > BODY_LIMIT_BYTES:
        raise _too_large()
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The connection ended before the whole request had arrived.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large() -> TooLarge:
    return TooLarge("A request may hold 1 MiB. Files go through the airlock, one request each.")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def check_json(body: bytes) -> None:
    """Raise `InvalidRequest` for JSON that readers, databases or clients read differently.

    That is: a duplicate key, NaN or infinity, an integer beyond 2^53, a character that is none
    (NUL, half a surrogate pair), more than 64 levels. RFC 8259 section 4, RFC 7493.
    """
    try:
        whole = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON. Send one JSON document.") from error
    for depth, name, value in _walk(whole):
        if depth > DEPTH_LIMIT:
            raise InvalidRequest(f"The body is nested deeper than {DEPTH_LIMIT} levels.")
        _check_value(name, value)


def _walk(whole: Any) -> Iterator[tuple[int, str, Any]]:
    """Yield depth, nearest key and value of everything in a document, without recursion."""
    waiting: list[tuple[int, str, Any]] = [(0, "", whole)]
    while waiting:
        depth, name, value = waiting.pop()
        yield depth, name, value
        if isinstance(value, dict):
            waiting.extend((depth + 1, key, each) for key, each in value.items())
        elif isinstance(value, list):
            waiting.extend((depth + 1, name, each) for each in value)


def _check_value(name: str, value: Any) -> None:
    if isinstance(value, str):
        _check_text(name, value)
    elif isinstance(value, dict):
        for key in value:
            _check_text(key, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and math.isfinite(value):
            return
        if isinstance(value, float) or abs(value) > _EXACT:
            what = f"Field {_shown(name)}: the number" if name else "The number"
            raise InvalidRequest(
                f"{what} is too large; at most {_EXACT} is exact for every client.",
                field=_shown(name) or None,
            )


def _check_text(name: str, text: str) -> None:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidRequest(
            f"Field {_shown(name)}: the text holds NUL or half a surrogate pair, which is no "
            "character. Leave it out.",
            field=_shown(name) or None,
        )


def _shown(name: str) -> str:
    """Return a key as it can be written into an answer and a log."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name
    )[:100]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counted = Counter(key for key, _ in pairs)
        twice = _shown(next(key for key, times in counted.items() if times > 1))
        raise InvalidRequest(f"The key {twice!r} appears twice. Send each key once.", field=twice)
    return found


def _no_constant(name: str) -> None:
    raise InvalidRequest(f"{name} is not a number in JSON. Send a finite number or null.")
