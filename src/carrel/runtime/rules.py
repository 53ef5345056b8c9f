"""Which promises of isolation does a host keep, and may this workload run on it?"""

from carrel.core.errors import IsolationNotEnforced
from carrel.runtime.ports import (
    DISK_QUOTA,
    KERNEL_MASKED,
    LIMITS,
    MEMBER_UID,
    NETWORK_NONE,
    SECCOMP,
    USER_NAMESPACE,
    Level,
    SelfTest,
)

CONFINES = frozenset({NETWORK_NONE, SECCOMP, USER_NAMESPACE, KERNEL_MASKED})
"""Without any one of these nothing is isolated: level C."""

LIMITED = frozenset({LIMITS, DISK_QUOTA, MEMBER_UID})
"""Without one of these the host is isolated from the workload, but not all limits hold: level B."""

EVERY_WORD = CONFINES | LIMITED

ENFORCED: dict[Level, frozenset[str]] = {
    Level.A: EVERY_WORD,
    Level.B: CONFINES,
    Level.C: frozenset(),
}
"""What a level guarantees at the least."""


def level_of(enforced: frozenset[str]) -> Level:
    """Return the best level whose every word is in `enforced`."""
    return next(level for level, words in ENFORCED.items() if words <= enforced)


def check_enforced(isolation: frozenset[str], self_test: SelfTest) -> None:
    """Raise `IsolationNotEnforced`, with reason and fix, unless the host enforces all of it."""
    missing = sorted(isolation - self_test.enforces)
    if not missing:
        return
    seen = {check.enforces: check.evidence for check in self_test.checks if not check.passed}
    reasons = "; ".join(
        f"{word}: {seen.get(word, 'no self-test of this host proves it')}" for word in missing
    )
    raise IsolationNotEnforced(
        f"This host (level {self_test.level}) does not enforce what the template needs: "
        f"{reasons}. Fix the host, run `carrel status`, and try again; nothing was started."
    )
