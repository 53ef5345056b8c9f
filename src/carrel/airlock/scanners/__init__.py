"""Which scanners examine a sealed file? One module for each question they ask."""

from collections.abc import Sequence

from carrel.airlock.ports import Guard, Scanner
from carrel.airlock.scanners.running import Apart
from carrel.airlock.scanners.tables import AcroClaims, Differencing, SmallCounts
from carrel.airlock.scanners.types import FileTypes

__all__ = [
    "AcroClaims",
    "Differencing",
    "FileTypes",
    "SmallCounts",
    "guarded_scanners",
    "standard_scanners",
]


def standard_scanners() -> Sequence[Scanner]:
    """Return every scanner of this installation, in the order in which they run."""
    return (FileTypes(), SmallCounts(), AcroClaims(), Differencing())


def guarded_scanners() -> Guard:
    """Return the same scanners, run so that no file can harm more than its own request."""
    return Apart(standard_scanners())
