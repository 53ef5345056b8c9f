"""Which places does the menu offer, and to whom?"""

from collections.abc import Sequence
from dataclasses import dataclass

from carrel.core.actors import Actor


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the menu."""

    title: str
    path: str
    below: tuple[str, ...]
    """Beginnings of the paths that belong to this entry."""
    admins_only: bool = False


@dataclass(frozen=True, slots=True)
class MenuItem:
    """One entry of the menu, as shown on one page."""

    title: str
    path: str
    current: bool


PLACES = (
    Place("Workspaces", "/", ("/workspaces", "/new-workspace", "/resources", "/operations")),
    Place("Airlock", "/airlock", ("/airlock",)),
    Place("Templates", "/templates", ("/templates",)),
    Place("Accounts", "/accounts", ("/accounts", "/applications"), admins_only=True),
    Place("Audit", "/audit", ("/audit",), admins_only=True),
    Place("Evidence", "/evidence", ("/evidence",), admins_only=True),
    Place("Attention", "/attention", ("/attention",), admins_only=True),
    Place("Health", "/health", ("/health",)),
)


def menu(actor: Actor, path: str) -> Sequence[MenuItem]:
    """Return the menu for `actor` on the page at `path`."""
    return [
        MenuItem(place.title, place.path, _is_current(place, path))
        for place in PLACES
        if actor.is_admin or not place.admins_only
    ]


def _is_current(place: Place, path: str) -> bool:
    if path == place.path:
        return True
    return any(path == start or path.startswith(f"{start}/") for start in place.below)
