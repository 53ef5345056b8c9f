"""What does a command do when it asked too often? It waits as it was told, and asks again."""

import time
from typing import Any

import httpx

from carrel.core.clock import monotonic

_LONGEST_WAIT_SECONDS = 10
_PATIENCE_SECONDS = 60.0


class PatientClient(httpx.Client):
    """Sends a request that was refused for its frequency again, after the time it was told.

    Such a request was not carried out, so any method may be sent again. A body that can be read
    only once, a long wait (as after wrong passwords), or a minute of refusals: the refusal is
    the answer.
    """

    def send(self, request: httpx.Request, **how: Any) -> httpx.Response:
        """Send the request, and send it again while the TRE asks for a little time."""
        lasting = isinstance(request.stream, httpx.ByteStream)
        until = monotonic() + _PATIENCE_SECONDS
        while True:
            answer = super().send(request, **how)
            wait = _seconds_asked(answer)
            if not wait or not lasting or monotonic() + wait > until:
                return answer
            answer.close()
            time.sleep(wait)


def _seconds_asked(answer: httpx.Response) -> int:
    told = answer.headers.get("Retry-After", "")
    if answer.status_code != httpx.codes.TOO_MANY_REQUESTS or not told.isdecimal():
        return 0
    seconds = max(1, int(told))
    return seconds if seconds <= _LONGEST_WAIT_SECONDS else 0
