"""Which doors can a proof attack, besides the sandbox itself?

Each group opens its own door on the throw-away workspace: the real gateway code of this
installation, with a database, an upstream and people of its own. So a proof neither needs nor
touches what a running TRE holds.
"""

from collections.abc import Sequence

from carrel.evidence.doors.gateway import GatewayProbes
from carrel.evidence.doors.packages import PackageProbes
from carrel.evidence.proving import DoorProbes


def door_probes() -> Sequence[DoorProbes]:
    """Return the groups of probes for the package gateway and the gateway."""
    return (PackageProbes(), GatewayProbes())
