"""Who tries with tokens that are not taken? Recorded, but nobody can fill the record with it."""

import threading
from dataclasses import dataclass
from typing import Any

from carrel.core.actors import Actor, system
from carrel.core.audit import Audit
from carrel.core.clock import monotonic
from carrel.core.database import Database
from carrel.core.errors import TooManyRequests
from carrel.people.tokens.rules import TokenRefused

WINDOW_SECONDS = 60.0
MOST_REFUSALS = 120
"""Refused tokens of one client address in a window; further ones are only counted."""
_MOST_SOURCES = 2048
_LONGEST = 64
_STRANGER = system("tokens")


@dataclass(slots=True)
class _Window:
    began_at: float
    count: int = 0
    unrecorded: int = 0


class Windows:
    """Counts by source in windows of a minute, in bounded memory; of this process alone."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def count(self, source: str) -> tuple[int, int]:
        """Count one; returns its number in the window, and how many before went unrecorded."""
        now = monotonic()
        with self._lock:
            window = self._windows.get(source)
            if window is None and len(self._windows) >= _MOST_SOURCES:
                self._forget(now)
                source = source if len(self._windows) < _MOST_SOURCES else "others"
                window = self._windows.get(source)
            if window is None:
                window = self._windows[source] = _Window(now)
            if now - window.began_at >= WINDOW_SECONDS:
                window.began_at, window.count = now, 0
            window.count += 1
            if window.count > 1:
                window.unrecorded += 1
                return window.count, 0
            before, window.unrecorded = window.unrecorded, 0
            return 1, before

    def _forget(self, now: float) -> None:
        old = [
            source
            for source, window in self._windows.items()
            if now - window.began_at >= WINDOW_SECONDS and not window.unrecorded
        ]
        for source in old:
            del self._windows[source]


class Refusals:
    """The audit events of refused tokens and denied changes: the first of a minute, and a count."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._tokens = Windows()
        self._denials = Windows()

    def refuse(self, refused: TokenRefused, client: str, request_id: str | None) -> None:
        """Record a refused token. Raises `TooManyRequests` when an address goes on and on."""
        number, before = self._tokens.count(client)
        if number > MOST_REFUSALS:
            raise TooManyRequests(
                "Too many tokens from your address were refused. Wait a minute and get a new one.",
                retry_after_seconds=int(WINDOW_SECONDS),
            )
        if number == 1:
            self._append(
                Actor(id=_STRANGER.id, name=_STRANGER.name, request_id=request_id),
                "token.refused",
                "unknown",
                kind=refused.kind.value,
                why=refused.why,
                key_id=_shown(refused.key_id),
                claimed=_shown(refused.claimed.get("oid")),
                client=client,
                earlier=before,
            )

    def deny(self, actor: Actor, method: str, route: str, reason: str) -> None:
        """Record that somebody known tried to change what they may not."""
        number, before = self._denials.count(f"{actor.id} {method} {route}")
        if number == 1:
            self._append(
                actor,
                "request.denied",
                actor.id,
                method=method,
                route=route,
                reason=reason,
                earlier=before,
            )

    def _append(self, actor: Actor, action: str, subject: str, **detail: Any) -> None:
        with self._database.write() as connection:
            self._audit.append(connection, actor, action, subject, **detail)


def _shown(value: object) -> str:
    """Return what a stranger wrote, short and printable."""
    text = value if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST])
