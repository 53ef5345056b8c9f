"""When is a way closed, when is that proven, and what does a report say?"""

import subprocess

import pytest

from carrel.evidence.probes import PROBES
from carrel.evidence.program import command, program_text
from carrel.evidence.rules import (
    NOT_REPORTED,
    Line,
    Outcome,
    Probe,
    Report,
    check_unique,
    filled,
    jobs,
)

PROBE = Probe("net-x", "1", "connect", "tcp", frozenset({"ENETUNREACH"}), {"port": "$port"})
THROUGH = Outcome("open", "connected", "root")
REFUSED = Outcome("ENETUNREACH", "ENETUNREACH: no route")


def test_only_a_known_refusal_is_closed():
    assert Line(PROBE, REFUSED, THROUGH).closed
    for seen in (THROUGH, NOT_REPORTED, Outcome("TimeoutError", ""), Outcome("broken", "")):
        assert not Line(PROBE, seen, THROUGH).closed


def test_a_refusal_counts_as_proven_only_if_the_control_got_through():
    assert Line(PROBE, REFUSED, THROUGH).proven
    unshown = Line(PROBE, REFUSED, Outcome("EAFNOSUPPORT", "not in this kernel"))
    assert unshown.closed
    assert not unshown.proven
    assert unshown.control_text == "cannot show it here: not in this kernel"


def test_the_report_has_exactly_the_promised_shape():
    report = Report([Line(PROBE, THROUGH, THROUGH), Line(PROBE, REFUSED, REFUSED)], "A")
    assert report.to_json() == {
        "probes": [
            {
                "id": "net-x",
                "attempt": "connect",
                "control": "open as root: connected",
                "observed": "OPEN: connected",
                "closed": False,
            },
            {
                "id": "net-x",
                "attempt": "connect",
                "control": "cannot show it here: ENETUNREACH: no route",
                "observed": "ENETUNREACH: no route",
                "closed": True,
            },
        ],
        "open": 1,
        "level": "A",
    }
    assert (report.proven, len(report.unproven)) == (0, 1)


def test_bait_takes_the_place_of_its_name_and_a_missing_piece_is_an_error():
    assert filled({"port": "$port", "path": "/x"}, {"port": 5}) == {"port": 5, "path": "/x"}
    with pytest.raises(KeyError):
        jobs([PROBE], {})


def test_every_probe_has_its_own_id_a_known_number_and_a_time_limit():
    check_unique(PROBES)
    with pytest.raises(ValueError, match="net-x"):
        check_unique([PROBE, PROBE])
    assert all(1 <= int(probe.reference) <= 57 and 0 < probe.seconds <= 15 for probe in PROBES)
    assert len(PROBES) >= 50


def test_open_is_never_a_refusal():
    assert all(probe.refusals and "open" not in probe.refusals for probe in PROBES)


def test_the_program_fits_into_one_argument_and_needs_nothing_of_carrel(tmp_path):
    assert len(program_text()) < 100_000

    done = subprocess.run(
        command({"jobs": jobs([PROBE], {"port": 1})}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert '"id": "net-x"' in done.stdout
    assert done.stdout.splitlines()[-1].startswith('{"id": ""')
