"""How does the gateway's HTTP client get into a workspace? Its connections come from the doors."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp import BaseConnector, ClientConnectorError, ClientRequest, ClientTimeout
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from carrel.core.errors import CarrelError
from carrel.runtime.ports import Doors

DIALS_AT_ONCE = 8
IDLE_SECONDS = 30.0


class DoorConnector(BaseConnector):
    """Connects `http://<workspace>.<resource>:<port>` by dialling inside the workspace.

    The names are never resolved; connections are kept alive per resource and port.
    """

    def __init__(self, doors: Doors) -> None:
        super().__init__(keepalive_timeout=IDLE_SECONDS, limit=0, limit_per_host=0)
        self._doors = doors
        self._dialling = ThreadPoolExecutor(DIALS_AT_ONCE, thread_name_prefix="dial")

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - the signature is the library's
    ) -> ResponseHandler:
        del traces
        workspace_id = (req.url.raw_host or "").partition(".")[0]
        port = req.url.port or 0
        try:
            async with asyncio.timeout(timeout.sock_connect):
                connected = await self._loop.run_in_executor(
                    self._dialling, self._doors.dial, workspace_id, port
                )
        except (CarrelError, OSError, TimeoutError) as error:
            problem = OSError(0, str(error))
            raise ClientConnectorError(req.connection_key, problem) from error
        connected.setblocking(False)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, protocol = await self._loop.create_connection(self._factory, sock=connected)
        return protocol
