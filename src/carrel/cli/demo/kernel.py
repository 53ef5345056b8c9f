"""How does the demonstration compute in a workspace? As a browser would: through the gateway."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp

from carrel.core.errors import OutsideFailure
from carrel.core.ids import new_id

CELL_SECONDS = 300.0
GOODBYE_SECONDS = 0.1


class Notebook:
    """One kernel of a running JupyterLab, reached through the gateway."""

    def __init__(
        self, base_url: str, token: str, tls: ssl.SSLContext, host: str, *, kernel_id: str = ""
    ) -> None:
        """Prepare to use a new kernel, or the running one with `kernel_id`.

        `base_url` ends with `/`; `host` is the gateway's name for the `Host` header.
        """
        self._base = base_url
        self._tls = tls
        self._headers = {"Authorization": f"Bearer {token}", "Host": host}
        self._http: aiohttp.ClientSession
        self._channel: aiohttp.ClientWebSocketResponse
        self.kernel_id = kernel_id

    async def __aenter__(self) -> Self:
        """Start a Python kernel where none is given, and open its channel."""
        self._http = aiohttp.ClientSession(headers=self._headers)
        if not self.kernel_id:
            self.kernel_id = await self._start_kernel()
        self._channel = await self._http.ws_connect(
            f"{self._base}api/kernels/{self.kernel_id}/channels", ssl=self._tls, max_msg_size=0
        )
        return self

    async def _start_kernel(self) -> str:
        async with self._http.post(
            f"{self._base}api/kernels", json={"name": "python3"}, ssl=self._tls
        ) as answer:
            if answer.status != 201:
                await self._http.close()
                raise OutsideFailure(
                    f"JupyterLab did not start a kernel (status {answer.status}).",
                    log_detail=await answer.text(),
                )
            return str((await answer.json())["id"])

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the channel; the kernel goes on."""
        await self._channel.close()
        await self._http.close()
        await asyncio.sleep(GOODBYE_SECONDS)  # aiohttp's documented way to let TLS say goodbye

    async def execute(self, code: str, *, seconds: float = CELL_SECONDS) -> str:
        """Run one cell and return what it printed. Raises `OutsideFailure` with its error."""
        request = _execute_request(code)
        await self._channel.send_json(request)
        printed: list[str] = []
        async with asyncio.timeout(seconds):
            async for message in self._answers(request["header"]["msg_id"]):
                kind, content = message["msg_type"], message["content"]
                if kind == "stream":
                    printed.append(content["text"])
                elif kind == "error":
                    raise OutsideFailure(
                        f"The cell failed: {content['ename']}: {content['evalue']}",
                        log_detail="\n".join(content["traceback"]),
                    )
        return "".join(printed)

    async def _answers(self, request_id: str) -> AsyncIterator[Any]:
        """Yield the messages that answer a request, until the kernel is idle again."""
        async for raw in self._channel:
            message = raw.json()
            if message["parent_header"].get("msg_id") != request_id:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
            yield message
        raise OutsideFailure("The kernel's channel was closed while a cell was running.")


def _execute_request(code: str) -> dict[str, Any]:
    return {
        "header": {
            "msg_id": new_id(),
            "msg_type": "execute_request",
            "username": "demo",
            "session": new_id(),
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "channel": "shell",
        "buffers": [],
        "content": {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        },
    }
