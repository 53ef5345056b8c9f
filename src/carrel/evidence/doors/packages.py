"""Can the package gateway be made to carry something out?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from carrel.core.clock import monotonic
from carrel.core.errors import NotFound, Unavailable
from carrel.core.settings import Settings
from carrel.evidence.doors.hosting import Ground, ground, recording, running
from carrel.evidence.inside.ground import verdict
from carrel.evidence.inside.main import ATTEMPTS
from carrel.evidence.rules import NOT_REPORTED, OPEN, Line, Outcome, Place, Probe, filled, jobs
from carrel.evidence.sandboxes import Resident, Sandboxes
from carrel.packages.rules import MISSES_PER_DAY
from carrel.packages.server import PackageGateway
from carrel.runtime.ports import Doors
from carrel.workspaces.rules import PACKAGE_PORT

READY_SECONDS = 20.0
_MESSAGE = "carrel-bait-message"
_INDEX = orjson.dumps({"meta": {"api-version": "1.1"}, "name": "six", "files": []})
_INDEX_TYPE = "application/vnd.pypi.simple.v1+json"
_NAME = "carrel-bait-name-"
MANY = MISSES_PER_DAY + 20
_UNKNOWN = (
    f"GET /pypi/simple/{_NAME}NUMBER/ HTTP/1.1\r\nHost: 127.0.0.1:81\r\nConnection: close\r\n\r\n"
)
_HONEST = (
    "GET /pypi/simple/six/ HTTP/1.1\r\nHost: 127.0.0.1:81\r\nConnection: close\r\n"
    f"User-Agent: {_MESSAGE}\r\nCookie: a={_MESSAGE}\r\nReferer: http://{_MESSAGE}/\r\n"
    f"X-Forwarded-For: {_MESSAGE}\r\nAccept-Language: {_MESSAGE}\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class _Open:
    """The throw-away workspace, as the package gateway is told of it."""

    id: str
    package_gateway: bool = True
    egress_proxy: bool = False

    def open_workspaces(self) -> "Sequence[_Open]":
        """Name just this one."""
        return [self]


class PackageProbes:
    """Attacks a package gateway of its own, whose upstream only remembers what it was asked."""

    place = Place.PACKAGES

    def attack(
        self, probes: Sequence[Probe], sandboxes: Sandboxes, who: Resident
    ) -> Sequence[Line]:
        """Make the attempts from inside; the control is a mirror that trusts its clients."""
        with (
            ground() as here,
            recording(_INDEX_TYPE, _INDEX, known="/six/") as (upstream_port, upstream_saw),
            running(_gateway(here, upstream_port, sandboxes.doors, who.workspace_id).run),
        ):
            _await_door(sandboxes.doors, who.workspace_id)
            seen = _from_inside(probes, sandboxes, who)
            seen |= _judge(probes, upstream_saw, asked="/six/")
            with recording("text/html", b"a trusting mirror\n") as (port, mirror_saw):
                controls = _from_outside(probes, port)
                controls |= _judge(probes, mirror_saw, asked="/six/")
        return [
            Line(probe, seen.get(probe.id, NOT_REPORTED), controls[probe.id]) for probe in probes
        ]


def _gateway(here: Ground, upstream_port: int, doors: Doors, workspace_id: str) -> PackageGateway:
    settings = Settings(
        home=here.home, package_index_url=f"http://127.0.0.1:{upstream_port}/simple/"
    )
    return PackageGateway(
        settings=settings,
        database=here.database,
        audit=here.audit,
        clock=here.clock,
        doors=doors,
        workspaces=_Open(workspace_id),
    )


def _await_door(doors: Doors, workspace_id: str) -> None:
    until = monotonic() + READY_SECONDS
    while True:
        try:
            doors.dial(workspace_id, PACKAGE_PORT).close()
        except (Unavailable, NotFound):
            if monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _raw(probes: Sequence[Probe]) -> list[Probe]:
    return [probe for probe in probes if probe.attempt in ATTEMPTS]


def _sent(probes: Sequence[Probe]) -> list[Probe]:
    """Return what is sent besides: an honest request with a message, and many names."""
    like = _raw(probes)[0]
    many = {**like.given, "request": _UNKNOWN, "count": MANY}
    return [
        replace(like, id="packages-honest", given={**like.given, "request": _HONEST}),
        replace(like, id="packages-names", attempt="http_many", given=many, seconds=20.0),
    ]


def _from_inside(
    probes: Sequence[Probe], sandboxes: Sandboxes, who: Resident
) -> dict[str, Outcome]:
    asked = [*_raw(probes), *_sent(probes)]
    orders = {"jobs": jobs(asked, {"packages_port": PACKAGE_PORT})}
    sandbox_id, seen = sandboxes.run(who, orders)
    sandboxes.stop(who, sandbox_id)
    return seen


def _judge(probes: Sequence[Probe], saw: Sequence[str], *, asked: str) -> dict[str, Outcome]:
    """Judge what a server saw, here the upstream or the control's mirror."""
    judges = {"upstream_saw": _headers, "upstream_names": _names}
    if not any(asked in request for request in saw):
        unclear = Outcome("unclear", "it was never asked, so nothing can be told")
        return {probe.id: unclear for probe in probes if probe.attempt in judges}
    return {probe.id: judges[probe.attempt](saw) for probe in probes if probe.attempt in judges}


def _headers(saw: Sequence[str]) -> Outcome:
    told = [request for request in saw if _MESSAGE in request]
    if told:
        return Outcome(OPEN, f"{len(told)} requests carried the message")
    return Outcome("refused", f"{len(saw)} requests upstream, none with the message")


def _names(saw: Sequence[str]) -> Outcome:
    passed = sum(_NAME in request for request in saw)
    if passed > MISSES_PER_DAY:
        return Outcome(OPEN, f"{passed} of {MANY} names passed")
    return Outcome("refused", f"{passed} of {MANY} names passed, then no more for a day")


def _from_outside(probes: Sequence[Probe], port: int) -> dict[str, Outcome]:
    asked = [*_raw(probes), *_sent(probes)]
    return {
        probe.id: _tried(probe.attempt, filled(probe.given, {"packages_port": port}))
        for probe in asked
    }


def _tried(attempt: str, given: dict[str, Any]) -> Outcome:
    seen = verdict(attempt, given)
    return Outcome(seen["code"], seen["text"], "a client of a trusting mirror")
