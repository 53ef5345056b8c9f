"""Do the probes notice when a protection is broken, and only then?"""

from pathlib import Path

import pytest

from carrel.evidence.doors import door_probes
from carrel.evidence.inside.main import ATTEMPTS
from carrel.evidence.outside import control, host_bait
from carrel.evidence.probes import PROBES
from carrel.evidence.proving import prove
from carrel.evidence.rules import Place
from carrel.evidence.throwaway import throwaway_launcher
from carrel.runtime.local import LocalRuntime

pytestmark = pytest.mark.root

FROM_INSIDE = frozenset({Place.SANDBOX, Place.MEMBER, Place.WORKSPACE, Place.HOST})

CANNOT_SHOW = {
    "net-crypto-socket",
    "kernel-module",
    "kernel-kexec",
    "kernel-bpf",
    "kernel-perf",
    "file-kernel-memory",
    "file-sysrq",
    "device-kvm",
    "device-fuse",
    "device-tun",
    "device-loop",
    "device-disk",
    "device-vsock",
    "net-vsock",
    "net-io-uring",
    "net-foreign-abi",
    "kernel-user-faults",
    "kernel-keyring",
    "kernel-new-key",
    "memory-queue",
    "memory-system-v",
    "net-other-families",
}
"""Probes of features that a kernel may simply lack; every other control must show its point."""


def test_a_strong_host_has_nothing_open_and_every_control_shows_its_point():
    with throwaway_launcher(LocalRuntime) as runtime:
        report = prove(runtime, doors=door_probes())

    assert [(line.probe.id, line.observed_text) for line in report.open] == []
    assert report.level == "A"
    assert len(report.lines) == len(PROBES) >= 50
    assert report.skipped == []
    assert report.proven >= 50
    assert {line.probe.id for line in report.unproven} <= CANNOT_SHOW


@pytest.mark.parametrize(
    ("weakening", "must_notice", "may_notice_only"),
    [
        (
            "no-seccomp",
            {"kernel-filter", "kernel-trace", "kernel-process-memory"},
            ("kernel-", "net-"),
        ),
        (
            "veth-route",
            {"net-interfaces", "net-routes", "net-internet-tcp", "net-dns-udp"},
            ("net-",),
        ),
        ("proc-sys-writable", {"file-settings-read-only"}, ("file-",)),
        ("bwrap-as-root", {"file-root-setting"}, ("file-",)),
    ],
)
def test_the_matching_probe_notices_a_broken_protection(weakening, must_notice, may_notice_only):
    with throwaway_launcher(LocalRuntime, weaken=weakening) as runtime:
        report = prove(runtime, places=FROM_INSIDE)

    noticed = {line.probe.id for line in report.open}
    assert noticed >= must_notice
    assert all(name.startswith(may_notice_only) for name in noticed)
    assert report.level == "C"
    assert report.to_json()["open"] == len(noticed)


def test_a_proof_leaves_nothing_of_its_bait_on_the_host():
    with host_bait("ada") as bait:
        told = bait.outside
        stands = {told[name] for name in ("host_file", "socket_path", "memory_file")}
        assert all(Path(path).exists() for path in stands)
        assert control([probe for probe in PROBES if probe.attempt in LOOKS], bait).keys() == LOOKED

    assert not any(Path(path).exists() for path in [*stands, bait.folder])
    assert not Path(f"/proc/{told['process_pid']}").exists()
    for look in LOOKS:
        with pytest.raises(OSError, match="No such file"):
            ATTEMPTS[look]({"key": told["memory_key"], "name": told["queue"]})


LOOKS = ("shared_memory", "message_queue")
LOOKED = {"memory-system-v", "memory-queue"}


def test_every_place_has_probes():
    attacked = {probe.place for probe in PROBES}
    assert attacked == set(Place)
