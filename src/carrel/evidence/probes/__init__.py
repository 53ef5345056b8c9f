"""Which probes are there? One table for each place where they run."""

from carrel.evidence.probes.doors import GATEWAY, OUTBOX, PACKAGES
from carrel.evidence.probes.files import FILES
from carrel.evidence.probes.kernel import KERNEL
from carrel.evidence.probes.neighbours import LIMITED, NEIGHBOURS, REMAINS
from carrel.evidence.probes.network import NETWORK
from carrel.evidence.rules import Probe, check_unique

PROBES: tuple[Probe, ...] = (
    *NETWORK,
    *KERNEL,
    *FILES,
    *NEIGHBOURS,
    *LIMITED,
    *OUTBOX,
    *PACKAGES,
    *GATEWAY,
    *REMAINS,
)
"""Every probe, in the order of the report."""

check_unique(PROBES)
