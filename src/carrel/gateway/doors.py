"""How does the gateway's client get into a workspace? Its connections come from the doors."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import BaseConnector, ClientConnectorError, ClientRequest, ClientTimeout
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from carrel.core.errors import CarrelError
from carrel.runtime.ports import Doors

DIALS_AT_ONCE = 8
DIAL_SECONDS = 10.0
IDLE_SECONDS = 30.0


class Dialler:
    """Connects inside workspaces, without holding up the event loop."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._threads = ThreadPoolExecutor(DIALS_AT_ONCE, thread_name_prefix="dial")

    async def connect(self, workspace_id: str, port: int, uid: int) -> ResponseHandler:
        """Return a connection to a port inside, where the member `uid` listens.

        Raises `ConnectionRefusedError`.
        """
        loop = asyncio.get_running_loop()
        dial = partial(self._doors.dial, workspace_id, port, uid=uid)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                connected = await loop.run_in_executor(self._threads, dial)
        except (CarrelError, OSError, TimeoutError) as error:
            raise ConnectionRefusedError(str(error)) from error
        connected.setblocking(False)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, protocol = await loop.create_connection(lambda: ResponseHandler(loop), sock=connected)
        return protocol

    def close(self) -> None:
        """Give back the threads."""
        self._threads.shutdown(wait=False)


class DoorConnector(BaseConnector):
    """Connects `http://<workspace>.<uid>.<resource>:<port>` by dialling inside; for websockets.

    The names are never resolved.
    """

    def __init__(self, dialler: Dialler) -> None:
        super().__init__(keepalive_timeout=IDLE_SECONDS, limit=0, limit_per_host=0)
        self._dialler = dialler

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - the signature is the library's
    ) -> ResponseHandler:
        del traces, timeout
        workspace_id, uid, _ = (req.url.raw_host or "").split(".")
        try:
            return await self._dialler.connect(workspace_id, req.url.port or 0, int(uid))
        except OSError as error:
            problem = OSError(0, str(error))
            raise ClientConnectorError(req.connection_key, problem) from error
