"""Which attempts ask the kernel for more power than a workspace has?"""

import ctypes
import errno
import mmap
import os
import platform
import pty
import signal
import socket
import subprocess
import time

from carrel.evidence.inside.ground import Given, Refused, asks, attempt, gives_back, syscall

_AT_FDCWD = -100
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_SETUID_PROGRAMS = ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/newgrp", "/usr/bin/chfn")


@attempt
def new_namespace(given: Given) -> str:
    """Make a namespace with `unshare`, to become its administrator."""
    syscall("unshare", given["flags"])
    return "unshared"


@attempt
def clone_namespace(given: Given) -> str:
    """Make a user namespace with `clone`."""
    del given
    return _reap(syscall("clone", _NEW_USER | signal.SIGCHLD, 0, 0, 0, 0))


@attempt
def clone3_namespace(given: Given) -> str:
    """Make a user namespace with `clone3`, whose flags a filter cannot read."""
    del given
    wish = (ctypes.c_uint64 * 8)(_NEW_USER, 0, 0, 0, signal.SIGCHLD)
    return _reap(syscall("clone3", ctypes.byref(wish), ctypes.sizeof(wish)))


def _reap(child: int) -> str:
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a child runs in a new user namespace"


@attempt
def enter_namespace(given: Given) -> str:
    """Enter the network namespace of process 1."""
    descriptor = os.open(given["path"], os.O_RDONLY)
    syscall("setns", descriptor, _NEW_NET)
    return "entered"


@attempt
def foreign_abi(given: Given) -> str:
    """Make a 32-bit system call, which a filter for 64-bit calls does not see."""
    del given
    if platform.machine() != "x86_64":
        raise Refused("this processor has no 32-bit calls of its own")
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20 (getpid); int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return f"answered {call()}"


@attempt
def keyring(given: Given) -> str:
    """Look up the session keyring, which is shared by all with the same uid."""
    del given
    return f"keyring {syscall('keyctl', 0, -3, 1)}"


@attempt
def new_key(given: Given) -> str:
    """Add a key to the ring of this process; it is gone with the process."""
    del given
    return f"key {syscall('add_key', b'user', b'carrel-probe', b'x', 1, -2)}"


@attempt
def bpf_map(given: Given) -> str:
    """Make the smallest BPF map."""
    del given
    wish = (ctypes.c_uint32 * 16)(2, 4, 4, 1)  # BPF_MAP_TYPE_ARRAY of one
    return gives_back(syscall("bpf", 0, ctypes.byref(wish), 64), "a map")


@attempt
def perf_event(given: Given) -> str:
    """Open a performance counter of the whole first processor."""
    del given
    wish = (ctypes.c_uint32 * 28)(1, 112)  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK
    opened = syscall("perf_event_open", ctypes.byref(wish), -1, 0, -1, 0)
    return gives_back(opened, "a counter")


@attempt
def user_faults(given: Given) -> str:
    """Open userfaultfd, which turns small kernel races into exploits."""
    del given
    return gives_back(syscall("userfaultfd", 0o2000000 | 1), "a descriptor")


@attempt
def io_uring(given: Given) -> str:
    """Set up io_uring, whose operations pass a filter unseen."""
    del given
    wish = (ctypes.c_uint32 * 30)()
    return gives_back(syscall("io_uring_setup", 1, ctypes.byref(wish)), "a ring")


@attempt
def trace_child(given: Given) -> str:
    """Trace a process, here a child of our own that sleeps."""
    del given
    child = os.fork()
    if child == 0:
        time.sleep(1)
        os._exit(0)
    try:
        syscall("ptrace", 0x4206, child, 0, 0)  # PTRACE_SEIZE: does not stop it
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return "traced"


@attempt
def read_process_memory(given: Given) -> str:
    """Read memory through process_vm_readv, here our own."""
    del given
    source, target = ctypes.create_string_buffer(b"x", 8), ctypes.create_string_buffer(8)
    ours = (ctypes.c_uint64 * 2)(ctypes.addressof(target), 8)
    theirs = (ctypes.c_uint64 * 2)(ctypes.addressof(source), 8)
    read = syscall(
        "process_vm_readv", os.getpid(), ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0
    )
    return f"{read} bytes"


@attempt
def mount_tmpfs(given: Given) -> str:
    """Mount an empty file system over a folder, and take it away."""
    del given
    syscall("mount", b"carrel-probe", b"/tmp", b"tmpfs", 0, b"size=4k")
    syscall("umount2", b"/tmp", 2)
    return "mounted"


@attempt
def mount_api(given: Given) -> str:
    """Begin a mount with the newer calls."""
    del given
    return gives_back(syscall("fsopen", b"tmpfs", 1), "a file system context")


@attempt
def copy_mount(given: Given) -> str:
    """Copy a mount with `open_tree`, which could be attached elsewhere."""
    del given
    return gives_back(syscall("open_tree", _AT_FDCWD, b"/usr", 0o2000001), "a detached mount")


@attempt
def remount_writable(given: Given) -> str:
    """Ask to remount a folder that is no mount point writable."""
    del given
    return asks("mount", None, b"/usr/share", None, 32 | 4096, None)  # MS_REMOUNT | MS_BIND


@attempt
def unmount(given: Given) -> str:
    """Ask to unmount a folder that is no mount point."""
    del given
    return asks("umount2", b"/usr/share", 0)


@attempt
def change_root(given: Given) -> str:
    """Change the root folder of this process to the one it has."""
    del given
    os.chroot("/")
    return "changed"


@attempt
def pivot(given: Given) -> str:
    """Ask to swap the root mount with a folder that is no mount point."""
    del given
    return asks("pivot_root", b"/usr", b"/usr/share", allowed=(errno.EINVAL, errno.EBUSY))


@attempt
def open_by_handle(given: Given) -> str:
    """Open a file by its number, past every folder permission above it."""
    path = str(given["path"]).encode()
    handle = (ctypes.c_uint32 * 34)(128)
    mount_id = ctypes.c_int()
    named = ctypes.byref(handle), ctypes.byref(mount_id)
    syscall("name_to_handle_at", _AT_FDCWD, path, *named, 0)
    folder = os.open(path, os.O_RDONLY)
    return gives_back(syscall("open_by_handle_at", folder, ctypes.byref(handle), 0), "opened")


@attempt
def load_module(given: Given) -> str:
    """Ask to load an empty kernel module."""
    del given
    refused_later = (errno.ENOEXEC, errno.EFAULT, errno.EINVAL)
    return asks("init_module", None, 0, b"", allowed=refused_later)


@attempt
def load_kernel(given: Given) -> str:
    """Ask to load another kernel, with flags that do not exist."""
    del given
    return asks("kexec_load", 0, 0, None, 0xFFFF)


@attempt
def swap_on(given: Given) -> str:
    """Ask to swap on a file that does not exist."""
    del given
    return asks("swapon", b"/carrel-probe", 0, allowed=(errno.ENOENT,))


@attempt
def reboot(given: Given) -> str:
    """Ask to reboot, with magic numbers that the kernel does not accept."""
    del given
    return asks("reboot", 1, 2, 3, None)


@attempt
def set_clock(given: Given) -> str:
    """Set the length of a clock tick to what it is."""
    del given
    state = (ctypes.c_int64 * 32)()
    syscall("adjtimex", ctypes.byref(state))
    state[0] = 0x4000  # ADJ_TICK
    syscall("adjtimex", ctypes.byref(state))
    return "the clock was set"


@attempt
def host_name(given: Given) -> str:
    """Set the host name to what it is."""
    del given
    name = socket.gethostname().encode()
    syscall("sethostname", name, len(name))
    return "the name was set"


@attempt
def kernel_log(given: Given) -> str:
    """Ask for the size of the kernel's log."""
    del given
    return f"{syscall('syslog', 10, None, 0)} bytes of log"


@attempt
def watch_files(given: Given) -> str:
    """Open a fanotify group that may decide over other people's files."""
    del given
    return gives_back(syscall("fanotify_init", 4, 0), "a group")


@attempt
def become_root(given: Given) -> str:
    """Change to uid 0."""
    del given
    os.setuid(0)
    return f"uid {os.getuid()}"


@attempt
def raise_priority(given: Given) -> str:
    """Take more processor time than others."""
    del given
    return f"nice {os.nice(-5)}"


@attempt
def setuid_program(given: Given) -> str:
    """Start a program that would run as root, and look as whom it runs."""
    del given
    program = next((path for path in _SETUID_PROGRAMS if os.path.exists(path)), None)
    if program is None:
        raise Refused("there is no such program")
    process = subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        return _effective_uid(process.pid, program)
    finally:
        process.kill()
        process.communicate()


def _effective_uid(pid: int, program: str) -> str:
    for _ in range(50):
        time.sleep(0.01)
        with open(f"/proc/{pid}/status") as status:
            fields = dict(line.split(":\t", 1) for line in status)
        if fields["Uid"].split(maxsplit=2)[1] == "0":
            return f"{program} ran as root"
    raise Refused(f"{program} ran as ourselves")


@attempt
def own_status(given: Given) -> str:
    """Look for one weakness in what the kernel says about this process."""
    with open("/proc/self/status") as status:
        fields = {name: value.strip() for name, value in (line.split(":", 1) for line in status)}
    weak = [f"{name} {fields[name]}" for name, value in given["not"] if _same(fields[name], value)]
    weak += [f"{name} {fields[name]}" for name in given.get("zero", ()) if int(fields[name], 16)]
    if not weak:
        raise Refused("as it should be")
    return ", ".join(weak)


def _same(seen: str, weak: str) -> bool:
    return seen.split(maxsplit=1)[0] == weak


@attempt
def terminal(given: Given) -> str:
    """Open the controlling terminal, from which keystrokes could be typed outside."""
    if given.get("make"):
        return _in_terminal()
    os.close(os.open("/dev/tty", os.O_RDWR))
    return "a terminal"


def _in_terminal() -> str:
    """Do the same as a child of a session that has a terminal."""
    child, master = pty.fork()
    if child == 0:
        try:
            os.close(os.open("/dev/tty", os.O_RDWR))
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(master)
    if status:
        raise Refused("no terminal")
    return "a terminal"
