"""The shipped filters are what the recipe gives, and they say no where they must."""

import errno
import struct
import tempfile
from pathlib import Path

import pytest

from carrel.runtime.seccomp import build

SHIPPED = Path(build.__file__).parent
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
X86_64, AARCH64 = 0xC000003E, 0xC00000B7
SYSCALLS = {
    "x86_64": {
        "read": 0, "socket": 41, "clone": 56, "ptrace": 101, "mount": 165, "setns": 308,
        "unshare": 272, "keyctl": 250, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
        "clone3": 435, "perf_event_open": 298, "execve": 59, "process_vm_readv": 310,
        "init_module": 175, "kexec_load": 246, "open_by_handle_at": 304, "add_key": 248,
        "pidfd_getfd": 438, "kcmp": 312,
    },
    "aarch64": {
        "read": 63, "socket": 198, "clone": 220, "ptrace": 117, "mount": 40, "setns": 268,
        "unshare": 97, "keyctl": 219, "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425,
        "clone3": 435, "perf_event_open": 241, "execve": 221, "process_vm_readv": 270,
        "init_module": 105, "kexec_load": 104, "open_by_handle_at": 265, "add_key": 217,
        "pidfd_getfd": 438, "kcmp": 272,
    },
}  # fmt: skip
ARCHITECTURE = {"x86_64": X86_64, "aarch64": AARCH64}
CLONE_THREAD, CLONE_NEWUSER, CLONE_NEWNET = 0x00010000, 0x10000000, 0x40000000


def decide(machine: str, call: str | int, *arguments: int, architecture: int | None = None) -> int:
    """Run the filter as the kernel would: a few lines of classic BPF."""
    number = SYSCALLS[machine][call] if isinstance(call, str) else call
    padded = (*arguments, *[0] * (6 - len(arguments)))
    seen = struct.pack("<iIQ6Q", number, architecture or ARCHITECTURE[machine], 0, *padded)
    code = (SHIPPED / f"{machine}.bpf").read_bytes()
    program = [struct.unpack_from("<HBBI", code, at) for at in range(0, len(code), 8)]
    accumulator = position = 0
    while True:
        operation, when_true, when_false, value = program[position]
        position += 1
        if operation == 0x20:  # load a word
            (accumulator,) = struct.unpack_from("<I", seen, value)
        elif operation == 0x54:  # and
            accumulator &= value
        elif operation == 0x05:  # jump
            position += value
        elif operation in {0x15, 0x25, 0x35}:
            test = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
            }
            position += when_true if test[operation] else when_false
        else:
            assert operation == 0x06, hex(operation)
            return value


@pytest.mark.parametrize("machine", build.ARCHITECTURES)
def test_what_is_shipped_is_what_the_recipe_builds(machine):
    chosen, unknown = build.build(machine)
    with tempfile.TemporaryFile() as file:
        chosen.export_bpf(file)
        file.seek(0)
        assert file.read() == (SHIPPED / f"{machine}.bpf").read_bytes()
    assert unknown == []


@pytest.mark.parametrize("machine", build.ARCHITECTURES)
@pytest.mark.parametrize(
    "call", sorted(set(SYSCALLS["x86_64"]) - {"read", "execve", "socket", "clone"})
)
def test_dangerous_calls_are_refused(machine, call):
    assert decide(machine, call) != ALLOW


@pytest.mark.parametrize("machine", build.ARCHITECTURES)
def test_ordinary_calls_are_allowed(machine):
    assert decide(machine, "read") == ALLOW
    assert decide(machine, "execve") == ALLOW
    assert decide(machine, "clone", CLONE_THREAD) == ALLOW


@pytest.mark.parametrize("machine", build.ARCHITECTURES)
def test_only_four_families_of_sockets_are_left(machine):
    allowed = {family for family in range(50) if decide(machine, "socket", family) == ALLOW}
    assert allowed == set(build.FAMILIES.values())
    assert {40, 38, 17}.isdisjoint(allowed)  # AF_VSOCK, AF_ALG, AF_PACKET


@pytest.mark.parametrize("machine", build.ARCHITECTURES)
@pytest.mark.parametrize("flag", [CLONE_NEWUSER, CLONE_NEWNET, 0x00020000, 0x20000000])
def test_no_namespace_can_be_made(machine, flag):
    assert decide(machine, "clone", flag) != ALLOW
    assert decide(machine, "clone", flag | CLONE_THREAD) != ALLOW


@pytest.mark.parametrize("machine", build.ARCHITECTURES)
def test_a_call_that_libc_can_replace_looks_absent(machine):
    assert decide(machine, "clone3") & 0xFFFF == errno.ENOSYS


def test_the_calls_of_another_processor_kill():
    assert decide("x86_64", 1, architecture=0x40000003) == KILL_PROCESS  # i386
    assert decide("x86_64", 0x40000000) != ALLOW  # x32
    assert decide("aarch64", 1, architecture=0x40000028) == KILL_PROCESS  # arm
