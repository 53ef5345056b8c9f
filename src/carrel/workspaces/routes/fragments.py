"""What was made before and need not be made again? What has all the same ingredients."""

from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Known(Generic[T]):
    """Remembers what was made under all that it was made of, so that it is never out of date.

    What was made first is forgotten first. May be used from several threads.
    """

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._known: dict[Hashable, T] = {}
        self._sizes: dict[Hashable, int] = {}
        self._lock = Lock()

    def find(self, ingredients: Hashable) -> T | None:
        """Return what was made of these ingredients, or None."""
        return self._known.get(ingredients)

    def keep(self, ingredients: Hashable, made: T, size_bytes: int) -> None:
        """Remember what was made, which takes so much memory with its ingredients."""
        with self._lock:
            self._size_bytes += size_bytes - self._sizes.pop(ingredients, 0)
            self._known.pop(ingredients, None)
            self._known[ingredients] = made
            self._sizes[ingredients] = size_bytes
            while self._size_bytes > self._most_bytes and len(self._known) > 1:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._size_bytes -= self._sizes.pop(oldest)
