"""Does the isolation hold? Attack it from inside throw-away workspaces, and say what was seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from carrel.core.ids import new_id
from carrel.evidence.collect import collect
from carrel.evidence.outside import HostBait, control, host_bait, without_limits
from carrel.evidence.probes import PROBES
from carrel.evidence.probes.neighbours import MEMORY_MIB, PROCESSES, PROCESSORS
from carrel.evidence.rules import (
    NOT_REPORTED,
    OPEN,
    Line,
    Outcome,
    Place,
    Probe,
    Report,
    jobs,
)
from carrel.evidence.sandboxes import DISK_BYTES, Reported, Resident, Sandboxes
from carrel.runtime.ports import PROOF_IDS, Limits, Runtime

_NO_CONTROL = Outcome("silent", "the control did not run")


class ProvableRuntime(Runtime, Protocol):
    """A runtime that also says which host ids it may use."""

    def uid_range(self) -> tuple[int, int]:
        """Return the first and the last host id of this TRE."""
        ...


class DoorProbes(Protocol):
    """A group of probes that needs more than a runtime: the package gateway, the gateway."""

    place: Place

    def attack(
        self, probes: Sequence[Probe], sandboxes: Sandboxes, who: Resident
    ) -> Sequence[Line]:
        """Make the attempts, with their controls."""
        ...


Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    """Show nothing."""


def prove(
    runtime: ProvableRuntime,
    *,
    doors: Sequence[DoorProbes] = (),
    places: frozenset[Place] = frozenset(Place),
    progress: Progress = _quiet,
) -> Report:
    """Attack from inside two throw-away workspaces; returns what was seen, leaves nothing.

    `doors` are the groups of probes that need a gateway; a group that is not given is named in
    the report as skipped. `places` chooses fewer probes, for tests.
    Raises `Unavailable` if the runtime is away.
    """
    _, last = runtime.uid_range()
    sandboxes = Sandboxes(runtime, range(last - PROOF_IDS + 1, last + 1))
    proving = _Proving(runtime, sandboxes, places, progress)
    try:
        lines = proving.attack(doors)
    finally:
        sandboxes.remove_all()
    after = sandboxes.leftovers()
    observed = Outcome(OPEN, ", ".join(after)) if after else Outcome("refused", "nothing is left")
    lines.append(Line(_of(Place.HOST)[0], observed, proving.before))
    return Report(lines, runtime.self_test().level.value, _not_attacked(doors, places))


def _not_attacked(doors: Sequence[DoorProbes], places: frozenset[Place]) -> list[str]:
    given = {group.place for group in doors}
    skipped = [
        f"{place}: its door was not there to attack"
        for place in (Place.PACKAGES, Place.GATEWAY)
        if place in places - given
    ]
    return skipped + [f"{place}: not asked for" for place in sorted(set(Place) - places)]


def _of(*places: Place) -> list[Probe]:
    return [probe for probe in PROBES if probe.place in places]


class _Proving:
    """One run: the attacker, the neighbours with their bait, and the host's bait."""

    def __init__(
        self,
        runtime: Runtime,
        sandboxes: Sandboxes,
        places: frozenset[Place],
        progress: Progress,
    ) -> None:
        self._runtime = runtime
        self._sandboxes = sandboxes
        self._places = places
        self._progress = progress
        self.before = _NO_CONTROL

    def attack(self, doors: Sequence[DoorProbes]) -> list[Line]:
        """Make every attempt but the last, which needs everything gone."""
        self._progress("Preparing two throw-away workspaces")
        mine = self._sandboxes.new_workspace()
        theirs = self._sandboxes.new_workspace()
        ada = self._sandboxes.new_member(mine, "ada")
        with host_bait(ada.member.name) as bait:
            neighbours = {
                Place.MEMBER: _Neighbour(self._sandboxes.new_member(mine, "ben"), Place.MEMBER),
                Place.WORKSPACE: _Neighbour(
                    self._sandboxes.new_member(theirs, "cora"), Place.WORKSPACE
                ),
            }
            lines = self._sandbox(ada, bait, neighbours)
            if Place.OUTBOX in self._places:
                self._progress("Collecting traps from the outbox")
                lines += collect(_of(Place.OUTBOX), self._runtime, self._sandboxes, ada, bait)
            for group in doors:
                self._progress(f"Attacking the door: {group.place}")
                lines += group.attack(_of(group.place), self._sandboxes, ada)
            if Place.LIMITED in self._places:
                lines += self._limited(ada, bait)
        left = self._sandboxes.leftovers()
        self.before = Outcome(OPEN, f"{len(left)} things are there before")
        return lines

    def _sandbox(
        self, ada: Resident, bait: HostBait, neighbours: Mapping[Place, "_Neighbour"]
    ) -> list[Line]:
        controls: Reported = {}
        wanted: list[dict[str, Any]] = []
        for place, neighbour in neighbours.items():
            controls |= neighbour.settle(self._sandboxes, _of(place))
            wanted += jobs(_of(place), neighbour.bait)
        own = _of(Place.SANDBOX)
        self._progress(f"Making {len(own) + len(wanted)} attempts from inside")
        orders = {"jobs": jobs(own, bait.inside) + wanted}
        sandbox_id, seen = self._sandboxes.run(ada, orders)
        self._sandboxes.stop(ada, sandbox_id)
        self._progress("Making the same attempts outside, as the control")
        controls |= control(own, bait)
        for neighbour in neighbours.values():
            neighbour.leave(self._sandboxes)
        return _lines(_of(Place.SANDBOX, *neighbours), seen, controls)

    def _limited(self, ada: Resident, bait: HostBait) -> list[Line]:
        limited = _of(Place.LIMITED)
        seen: Reported = {}
        for probe in limited:
            self._progress(f"Trying to {probe.title}")
            seen |= self._alone(probe, ada, bait)
        self._progress("Taking as much outside, as the control")
        return _lines(limited, seen, without_limits(limited, bait))

    def _alone(self, probe: Probe, ada: Resident, bait: HostBait) -> Reported:
        """Run one limit probe in a small sandbox of its own."""
        limits = Limits(memory_bytes=MEMORY_MIB * 2**20, cpus=2.0, processes=512)
        if probe.attempt == "take_processes":
            limits = replace(limits, processes=PROCESSES)
        if probe.attempt == "take_processor":
            limits = replace(limits, cpus=PROCESSORS)
        sandbox_id, seen = self._sandboxes.run(
            ada, {"jobs": jobs([probe], bait.inside)}, limits=limits, seconds=probe.seconds + 15
        )
        if probe.attempt == "flood_output":
            seen = {probe.id: self._kept(seen.get(probe.id, NOT_REPORTED), ada, probe)}
        self._sandboxes.stop(ada, sandbox_id)
        return seen

    def _kept(self, seen: Outcome, ada: Resident, probe: Probe) -> Outcome:
        """Judge a flood by what it takes of the disk that the workspace pays for anyway."""
        usage = self._runtime.usage(ada.workspace_id)
        if usage is None or (not seen.got_through and seen.code != "ENOSPC"):
            return seen
        kept = usage.disk_bytes // 2**20
        told = f"{kept} MiB kept of {probe.given['mib']} MiB, all on the workspace's own disk"
        within = usage.disk_bytes <= DISK_BYTES < probe.given["mib"] * 2**20
        return Outcome("refused", told) if within else Outcome(OPEN, told)


class _Neighbour:
    """Somebody with private things, who can show that those things are really there."""

    def __init__(self, who: Resident, place: Place) -> None:
        token = f"carrel-bait-{new_id()}"
        self._who = who
        self._sandbox_id = ""
        self.bait: dict[str, Any] = {
            "home_file": f"{who.home}/{token}",
            "home_file_name": token,
            "tmp_file": f"/tmp/{token}",  # noqa: S108 - the sandbox's own
            "memory_file": f"/dev/shm/{token}",  # noqa: S108
            "process_token": token,
            "abstract": token,
        }
        if place is Place.WORKSPACE:
            self.bait |= {"port": 23999, "shared_file_name": f"{token}-shared"}

    def settle(self, sandboxes: Sandboxes, probes: Sequence[Probe]) -> Reported:
        """Start the neighbour's sandbox; returns what the neighbour sees of their own things."""
        files = [self.bait[name] for name in ("home_file", "tmp_file", "memory_file")]
        if "shared_file_name" in self.bait:
            files.append(f"/shared/{self.bait['shared_file_name']}")
        orders = {
            "hold": {**self.bait, "files": files},
            "jobs": jobs(probes, self.bait),
            "wait": 300,
        }
        self._sandbox_id, seen = sandboxes.run(self._who, orders)
        owner = "its owner"
        return {name: replace(outcome, who=owner) for name, outcome in seen.items()}

    def leave(self, sandboxes: Sandboxes) -> None:
        """Stop the neighbour's sandbox."""
        sandboxes.stop(self._who, self._sandbox_id)


def _lines(probes: Sequence[Probe], seen: Reported, controls: Reported) -> list[Line]:
    return [
        Line(probe, seen.get(probe.id, NOT_REPORTED), controls.get(probe.id, _NO_CONTROL))
        for probe in probes
    ]
