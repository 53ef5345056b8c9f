"""Which lines of a list need not be made again? Those whose every ingredient is the same."""

from collections.abc import Callable, Hashable
from threading import Lock

import orjson

MOST_BYTES = 64 * 2**20


class Fragments:
    """Remembers JSON under all that it is made of, so that it can never be out of date.

    What was made first is forgotten first. May be used from several threads.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._known: dict[Hashable, orjson.Fragment] = {}
        self._sizes: dict[Hashable, int] = {}
        self._lock = Lock()

    def get(self, ingredients: Hashable, make: Callable[[], bytes]) -> orjson.Fragment:
        """Return the JSON for these ingredients; `make` makes it, if it is not known."""
        known = self._known.get(ingredients)
        if known is not None:
            return known
        made = make()
        fragment = orjson.Fragment(made)
        with self._lock:
            if ingredients not in self._known:
                self._keep(ingredients, fragment, 2 * len(made))
        return fragment

    def _keep(self, ingredients: Hashable, fragment: orjson.Fragment, size_bytes: int) -> None:
        """Keep what was made; its ingredients are about as large as itself."""
        self._known[ingredients] = fragment
        self._sizes[ingredients] = size_bytes
        self._size_bytes += size_bytes
        while self._size_bytes > self._most_bytes and len(self._known) > 1:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._size_bytes -= self._sizes.pop(oldest)
