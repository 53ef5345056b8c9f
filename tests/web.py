"""How do tests talk to an application without a server?"""

import asyncio
from collections.abc import Iterator
from itertools import repeat

import httpx
from fastapi import FastAPI


class AppTransport(httpx.BaseTransport):
    """Hands each request of a plain `httpx.Client` straight to an ASGI application."""

    def __init__(self, app: FastAPI, addresses: Iterator[str] | None = None) -> None:
        self._app = app
        self._addresses = addresses or repeat("127.0.0.1")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        transport = httpx.ASGITransport(self._app, client=(next(self._addresses), 123))
        answer = await transport.handle_async_request(request)
        content = b"".join([part async for part in answer.stream])
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=httpx.ByteStream(content)
        )


def app_client(app: FastAPI, **given) -> httpx.Client:
    """Return a client of the application; `given` goes to `httpx.Client`."""
    given.setdefault("base_url", "https://localhost:8443")
    return httpx.Client(transport=AppTransport(app), **given)
