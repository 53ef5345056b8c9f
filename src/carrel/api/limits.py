"""Does one account ask too often? A bucket of tokens for each; of this process alone."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from carrel.core.actors import Actor
from carrel.core.clock import monotonic
from carrel.core.errors import TooManyRequests
from carrel.core.settings import Settings

_MOST_ACCOUNTS = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Limits:
    """Lets `per_minute` requests of an account through, and `burst` of them at once."""

    def __init__(
        self, per_minute: int, burst: int, seconds: Callable[[], float] = monotonic
    ) -> None:
        self._rate = per_minute / 60
        self._burst = float(burst)
        self._seconds = seconds
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def __call__(self, actor: Actor) -> None:
        """Count one request of the actor. Raises `TooManyRequests` with the seconds to wait."""
        if self._rate == 0 or actor.is_system:
            return
        wait = self._take(actor.id)
        if wait:
            raise TooManyRequests(
                f"Your account sends more requests than this TRE takes. Wait {wait} seconds.",
                retry_after_seconds=wait,
            )

    def _take(self, account_id: str) -> int:
        """Return the whole seconds to wait, 0 if the request may pass."""
        now = self._seconds()
        with self._lock:
            bucket = self._buckets.get(account_id)
            if bucket is None:
                self._make_room(now)
                bucket = self._buckets[account_id] = _Bucket(self._burst, now)
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
            bucket.at = now
            if bucket.left < 1:
                return max(1, math.ceil((1 - bucket.left) / self._rate))
            bucket.left -= 1
            return 0

    def _make_room(self, now: float) -> None:
        """Forget the accounts whose buckets are full again, when there are very many."""
        if len(self._buckets) < _MOST_ACCOUNTS:
            return
        full_after = self._burst / self._rate
        self._buckets = {
            name: bucket for name, bucket in self._buckets.items() if now - bucket.at < full_after
        }


def account_limits(settings: Settings) -> Limits:
    """Return the limits that the settings ask for."""
    return Limits(settings.requests_per_minute, settings.request_burst)
