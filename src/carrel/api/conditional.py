"""How does a client ask "only if it changed"? ETag and If-None-Match (RFC 9110, 8.8 and 13.1.2)."""

import hashlib
import re
from typing import Any

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT_BYTES = 256 * 2**10
"""Larger answers are lists, or files with a digest of their own."""
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


class ConditionalGet:
    """Gives each small JSON answer to a GET a strong ETag, and answers 304 if the client has it.

    The tag covers the whole answer: what one person may read of a resource, and which upgrades it
    has, are not in its `_etag`. It begins with the `_etag`, so `If-Match` can be read from it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        is_ours = scope["type"] == "http" and scope["path"].startswith("/api/")
        if not is_ours or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")
        start: Message = {}

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_taggable(message):
                start = message
                return
            if start:
                head, start = start, {}
                if not message.get("more_body", False):
                    head, message = _tagged(head, message, known)
                await send(head)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _is_taggable(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    length = headers.get("content-length", "")
    return (
        start["status"] == 200
        and headers.get("content-type") == "application/json"
        and "etag" not in headers
        and length.isdecimal()
        and int(length) <= LIMIT_BYTES
    )


def _tagged(start: Message, body: Message, known: str) -> tuple[Message, Message]:
    tag = tag_of(body.get("body", b""))
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["ETag"] = f'"{tag}"'
    if known.strip() != "*" and tag not in _TAG.findall(known):
        return {**start, "headers": headers.raw}, body
    del headers["content-length"]
    del headers["content-type"]
    return {**start, "status": 304, "headers": headers.raw}, {**body, "body": b""}


def tag_of(body: bytes) -> str:
    """Return the tag of a JSON answer: its resource's `_etag`, a dot, and a digest of it all."""
    digest = hashlib.blake2b(body, digest_size=12).hexdigest()
    etag = _etag(orjson.loads(body)) if b'"_etag"' in body else ""
    return f"{etag}.{digest}" if etag else digest


def _etag(whole: Any) -> str:
    """Return the `_etag` of the one thing that the answer is about."""
    parts = whole.values() if isinstance(whole, dict) else ()
    found = (part["_etag"] for part in parts if isinstance(part, dict) and "_etag" in part)
    etag = next(found, "")
    return etag if isinstance(etag, str) and re.fullmatch(r"[\w-]+", etag) else ""
