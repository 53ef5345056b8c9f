"""Which doors can a proof attack, besides the sandbox itself?"""

from collections.abc import Sequence

from carrel.evidence.proving import DoorProbes


def door_probes() -> Sequence[DoorProbes]:
    """Return the groups of probes for the package gateway and the gateway."""
    return ()
