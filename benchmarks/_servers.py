"""How do benchmarks find free ports, and know that a server has begun to listen?"""

import contextlib
import socket
import time


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses, all different."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def wait_for(port: int, *, seconds: float = 30) -> None:
    """Wait until somebody listens. Raises the last `OSError` when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
