"""How does Carrel read from a package index outside? With its own headers and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs

from carrel.packages.ports import FileReply, IndexReply
from carrel.packages.rules import Reason, Refusal
from carrel.packages.sources import Source, trust
from carrel.packages.store import CHUNK_BYTES

INDEX_LIMIT_BYTES = 64 * 2**20
INDEX_SECONDS = 60
CONNECT_SECONDS = 15
SILENCE_SECONDS = 60
CONNECTIONS = 16
REDIRECTS = 5
_AWAY = "The package index outside does not answer properly; try again in a moment."


class WebUpstream:
    """An `Upstream` over HTTP. Open it in the event loop that uses it; close it."""

    def __init__(self, source: Source) -> None:
        parts = urlsplit(source.index_url)
        self._home = (parts.scheme, parts.netloc)
        self._auth = aiohttp.BasicAuth(*source.credentials) if source.credentials else None
        self._proxy = source.proxy
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust(source), limit=CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={hdrs.USER_AGENT: "Carrel package gateway", hdrs.ACCEPT: "*/*"},
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
            ),
            trust_env=True,
        )

    async def close(self) -> None:
        """Give every connection back."""
        await self._session.close()

    async def fetch_index(self, url: str, *, accept: str, etag: str = "") -> IndexReply:
        """Read a project's page, at most 64 MiB in a minute."""
        headers: dict[str, str] = {hdrs.ACCEPT: accept}
        if etag:
            headers[hdrs.IF_NONE_MATCH] = etag
        async with (
            _translated(),
            asyncio.timeout(INDEX_SECONDS),
            self._get(url, headers) as response,
        ):
            _check_answer(response, allows_unchanged=bool(etag))
            return IndexReply(
                url=str(response.url),
                body=await _read_whole(response),
                content_type=response.headers.get(hdrs.CONTENT_TYPE, "").lower(),
                etag=response.headers.get(hdrs.ETAG, ""),
                is_unchanged=response.status == 304,
            )

    @asynccontextmanager
    async def open_file(self, url: str) -> AsyncIterator[FileReply]:
        """Read a file in chunks as they come, uncompressed."""
        async with _translated(), self._get(url, {hdrs.ACCEPT_ENCODING: "identity"}) as response:
            _check_answer(response)
            yield FileReply(response.content_length, response.content.iter_chunked(CHUNK_BYTES))

    def _get(self, url: str, headers: dict[str, str]) -> "aiohttp.client._RequestContextManager":
        parts = urlsplit(url)
        is_home = (parts.scheme, parts.netloc) == self._home
        return self._session.get(
            url,
            headers=headers,
            auth=self._auth if is_home else None,
            proxy=self._proxy,
            max_redirects=REDIRECTS,
        )


def _check_answer(response: aiohttp.ClientResponse, *, allows_unchanged: bool = False) -> None:
    schemes = [step.url.scheme for step in (*response.history, response)]
    if schemes[0] == "https" and set(schemes) != {"https"}:
        raise Refusal(Reason.UPSTREAM_REFUSED, "The package index outside led to an unsafe place.")
    if response.status == 200 or (allows_unchanged and response.status == 304):
        return
    detail = f"{response.status} from {response.url.host}"
    if response.status in {404, 410}:
        raise Refusal(Reason.UNKNOWN, "The package index does not have this.", log_detail=detail)
    if 400 <= response.status < 500 and response.status not in {408, 425, 429}:
        raise Refusal(
            Reason.UPSTREAM_REFUSED,
            f"The package index outside refuses this (HTTP {response.status}).",
            log_detail=detail,
        )
    raise Refusal(Reason.UPSTREAM_AWAY, _AWAY, log_detail=detail)


async def _read_whole(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > INDEX_LIMIT_BYTES:
            raise Refusal(Reason.UPSTREAM_REFUSED, "This package's page is too long to read.")
    return bytes(body)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Refusal(Reason.UPSTREAM_AWAY, _AWAY, log_detail=repr(error)) from error
