"""How do the orders get into a sandbox, and how does its report come back?

The report comes through a door: a listening socket that the host holds inside the workspace's
network namespace. So it works where the disk is full, and nothing is left in any folder.
"""

import itertools
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from carrel.core.clock import monotonic
from carrel.core.ids import new_id
from carrel.evidence.program import command
from carrel.evidence.rules import Outcome
from carrel.runtime.ports import Doors, Limits, Member, Runtime, SandboxPlan, WorkspacePlan

DISK_BYTES = 48 * 2**20
START_SECONDS = 20.0
_PORTS = itertools.count(24001)

Reported = dict[str, Outcome]


@dataclass(frozen=True, slots=True)
class Resident:
    """A throw-away member in a throw-away workspace."""

    workspace_id: str
    member: Member

    @property
    def home(self) -> str:
        """The member's home as seen inside."""
        return f"/home/{self.member.name}"


class Sandboxes:
    """Starts sandboxes of throw-away workspaces, and removes everything it made."""

    def __init__(self, runtime: Runtime, uids: Sequence[int]) -> None:
        self._runtime = runtime
        self._uids = iter(uids)
        self.workspace_ids: list[str] = []

    @property
    def doors(self) -> Doors:
        """The doors into the workspaces made here."""
        return self._runtime

    def new_workspace(self) -> str:
        """Prepare a workspace; returns its id."""
        workspace_id = new_id()
        self.workspace_ids.append(workspace_id)
        self._runtime.prepare(
            WorkspacePlan(id=workspace_id, gid=next(self._uids), disk_bytes=DISK_BYTES)
        )
        return workspace_id

    def new_member(self, workspace_id: str, name: str) -> Resident:
        """Return a new member of the workspace with a host uid of their own."""
        return Resident(workspace_id, Member(uid=next(self._uids), name=name))

    def run(
        self,
        who: Resident,
        orders: Mapping[str, Any],
        *,
        limits: Limits | None = None,
        seconds: float = 120.0,
    ) -> tuple[str, Reported]:
        """Carry out `orders` as `who`; returns the sandbox id and the outcomes by probe id.

        Returns when the program says it is done, has ended, or the time is over. A sandbox whose
        orders say `wait` goes on running.
        """
        port, sandbox_id = next(_PORTS), new_id()
        with self._runtime.listen(who.workspace_id, port) as door:
            self._runtime.start(
                SandboxPlan(
                    id=sandbox_id,
                    workspace_id=who.workspace_id,
                    member=who.member,
                    command=command({**orders, "report_port": port}),
                    limits=limits or Limits(),
                )
            )
            return sandbox_id, _receive(door, seconds)

    def printed(self, who: Resident, sandbox_id: str) -> str:
        """Return what a sandbox printed: where an error of the program itself shows."""
        return self._runtime.output(who.workspace_id, sandbox_id)

    def stop(self, who: Resident, sandbox_id: str) -> None:
        """Stop a sandbox at once."""
        self._runtime.stop(who.workspace_id, sandbox_id, grace_seconds=0.5)

    def remove_all(self) -> None:
        """Remove every workspace made here, with everything in it."""
        for workspace_id in self.workspace_ids:
            self._runtime.remove(workspace_id)

    def leftovers(self) -> Sequence[str]:
        """List what is on the host of the workspaces made here."""
        return [
            f"{left.kind} {left.name}"
            for left in self._runtime.leftovers()
            if left.workspace_id in self.workspace_ids
        ]


def _receive(door: socket.socket, seconds: float) -> Reported:
    until = monotonic() + seconds
    found: Reported = {}
    door.settimeout(min(START_SECONDS, seconds))
    try:
        report, _ = door.accept()
    except TimeoutError:
        return found
    with report:
        for line in _lines(report, until):
            if line["code"] == "done":
                break
            found[line["id"]] = Outcome(line["code"], line["text"])
    return found


def _lines(report: socket.socket, until: float) -> Any:
    """Yield the JSON objects of the report until it ends or the time is over."""
    rest = b""
    while (left := until - monotonic()) > 0:
        report.settimeout(left)
        try:
            part = report.recv(65536)
        except OSError:
            return
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n")
        yield from map(orjson.loads, whole)
