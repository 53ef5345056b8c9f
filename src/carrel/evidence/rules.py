"""What is a probe, when is its way closed, and what does a proof say?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

OPEN = "open"
"""The code of an attempt that got what it wanted."""


class Place(StrEnum):
    """Where a probe is attempted, and with it where its control stands."""

    SANDBOX = "sandbox"
    """Inside a member's sandbox; the control makes the same attempt outside, on the host."""
    MEMBER = "member"
    """Inside; it wants what another member of the workspace has. Control: that member."""
    WORKSPACE = "workspace"
    """Inside; it wants what another workspace has. Control: a member of that one."""
    LIMITED = "limited"
    """Inside a small sandbox of its own; the control has no such limits."""
    OUTBOX = "outbox"
    """A trap in the outbox, collected by the airlock; the control opens it naively."""
    PACKAGES = "packages"
    """Inside, against the package gateway; the control is a mirror that trusts its clients."""
    GATEWAY = "gateway"
    """Outside, through the gateway, at a hostile service; the control is that service itself."""
    HOST = "host"
    """On the host, after the workspaces of the proof are removed."""


class Control(StrEnum):
    """In which surroundings the control of a sandbox probe runs."""

    HOST = "host"
    """The host's own network."""
    SMALL_NET = "small-net"
    """A network namespace in which every address of the probes answers: a small internet."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One attempt to break a promise."""

    id: str
    reference: str
    """Number in the red-team list (docs/security/threat-model.md)."""
    title: str
    attempt: str
    """Name of the function in `inside/` that makes it."""
    refusals: frozenset[str]
    """Codes that mean "the way is closed"; any other answer means "open"."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What the attempt is told; a text `$name` stands for a piece of bait."""
    place: Place = Place.SANDBOX
    control: Control = Control.HOST
    seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt saw."""

    code: str
    text: str
    who: str = ""
    """As whom a control was made: "an ordinary user", "root"."""

    @property
    def got_through(self) -> bool:
        """Whether the attempt got what it wanted."""
        return self.code == OPEN


NOT_REPORTED = Outcome("silent", "the sandbox did not report this probe")


@dataclass(frozen=True, slots=True)
class Line:
    """One probe with what was seen inside and outside."""

    probe: Probe
    observed: Outcome
    control: Outcome

    @property
    def closed(self) -> bool:
        """Whether the way is closed. Whatever cannot be told counts as open."""
        return self.observed.code in self.probe.refusals

    @property
    def proven(self) -> bool:
        """Whether it is closed, and the control shows that it would otherwise be open."""
        return self.closed and self.control.got_through

    @property
    def observed_text(self) -> str:
        """What was seen inside, for people."""
        if self.closed:
            return self.observed.text
        if self.observed.got_through:
            return f"OPEN: {self.observed.text}"
        return f"OPEN, because the answer is not a known refusal: {self.observed.text}"

    @property
    def control_text(self) -> str:
        """What the control saw, for people."""
        if self.control.got_through:
            by = f" as {self.control.who}" if self.control.who else ""
            return f"open{by}: {self.control.text}"
        return f"cannot show it here: {self.control.text}"


@dataclass(frozen=True, slots=True)
class Report:
    """What one run of all probes saw."""

    lines: Sequence[Line]
    level: str
    skipped: Sequence[str] = ()
    """Groups of probes that did not run, each with the reason. None of them is proven."""

    @property
    def open(self) -> Sequence[Line]:
        """The ways that are not closed."""
        return [line for line in self.lines if not line.closed]

    @property
    def unproven(self) -> Sequence[Line]:
        """Closed, but this host's control could not show that it matters."""
        return [line for line in self.lines if line.closed and not line.proven]

    @property
    def proven(self) -> int:
        """How many ways are closed with a control that shows the difference."""
        return sum(line.proven for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report in the one shape that machines read."""
        return {
            "probes": [
                {
                    "id": line.probe.id,
                    "attempt": line.probe.title,
                    "control": line.control_text,
                    "observed": line.observed_text,
                    "closed": line.closed,
                }
                for line in self.lines
            ],
            "open": len(self.open),
            "level": self.level,
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """A report that is kept."""

    id: str
    made_at: datetime
    made_by: str
    level: str
    probes: int
    open: int
    proven: int
    seconds: float
    skipped: Sequence[str]
    report: Mapping[str, Any]


def filled(given: Mapping[str, Any], bait: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` with every `$name` replaced by its piece of bait."""
    return {key: _filled(value, bait) for key, value in given.items()}


def _filled(value: Any, bait: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return bait[value[1:]]
    return value


def jobs(
    probes: Iterable[Probe], bait: Mapping[str, Any], *, uids: Sequence[int | None] = (None,)
) -> list[dict[str, Any]]:
    """Return the orders of `probes` for the program inside; `uids` are tried until one is open."""
    return [
        {
            "id": probe.id,
            "attempt": probe.attempt,
            "given": filled(probe.given, bait),
            "seconds": probe.seconds,
            "uids": list(uids),
        }
        for probe in probes
    ]


def check_unique(probes: Iterable[Probe]) -> None:
    """Raise `ValueError` if two probes share an id; the id is how tests and people name them."""
    seen: set[str] = set()
    for probe in probes:
        if probe.id in seen:
            raise ValueError(f"Two probes are called {probe.id}.")
        seen.add(probe.id)
