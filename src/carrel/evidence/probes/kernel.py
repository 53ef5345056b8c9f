"""Which ways out ask the kernel for more power?"""

from carrel.evidence.rules import Probe

_FILTERED = frozenset({"EPERM", "ENOSYS", "EACCES"})
_NOT_ROOT = frozenset({"EPERM", "ENOSYS", "EACCES"})
_NONE = frozenset({"refused"})

KERNEL = (
    Probe("kernel-mount", "31", "mount a file system", "mount_tmpfs", _NOT_ROOT),
    Probe("kernel-mount-api", "31", "begin a mount with fsopen", "mount_api", _NOT_ROOT),
    Probe("kernel-copy-mount", "31", "copy a mount with open_tree", "copy_mount", _NOT_ROOT),
    Probe("kernel-remount", "26", "remount a folder writable", "remount_writable", _NOT_ROOT),
    Probe("kernel-unmount", "31", "take a mount away", "unmount", _NOT_ROOT),
    Probe("kernel-chroot", "31", "change the root folder", "change_root", _NOT_ROOT),
    Probe("kernel-pivot-root", "31", "swap the root mount", "pivot", _NOT_ROOT),
    Probe(
        "kernel-file-handle",
        "31",
        "open a file by its number, past all permissions",
        "open_by_handle",
        _NOT_ROOT | {"EOPNOTSUPP"},
        {"path": "/usr"},
    ),
    Probe(
        "kernel-setuid-program",
        "32",
        "gain root through a set-uid program",
        "setuid_program",
        _NONE,
    ),
    Probe(
        "kernel-become-root", "32", "change to uid 0", "become_root", frozenset({"EPERM", "EINVAL"})
    ),
    Probe(
        "kernel-new-privileges",
        "32",
        "find that programs may still gain privileges",
        "own_status",
        _NONE,
        {"not": [["NoNewPrivs", "0"]]},
    ),
    Probe(
        "kernel-capabilities",
        "32",
        "find a capability of its own",
        "own_status",
        _NONE,
        {"not": [], "zero": ["CapInh", "CapPrm", "CapEff", "CapAmb"]},
    ),
    Probe(
        "kernel-filter",
        "36",
        "find that no system call filter is on",
        "own_status",
        _NONE,
        {"not": [["Seccomp", "0"]]},
    ),
    Probe("kernel-keyring", "33", "reach the keyring shared by a uid", "keyring", _FILTERED),
    Probe("kernel-new-key", "33", "add a key", "new_key", _FILTERED),
    Probe("kernel-trace", "34", "trace a process", "trace_child", _FILTERED),
    Probe(
        "kernel-process-memory",
        "34",
        "read process memory with process_vm_readv",
        "read_process_memory",
        _FILTERED,
    ),
    Probe("kernel-bpf", "36", "make a BPF map", "bpf_map", _FILTERED),
    Probe("kernel-perf", "36", "count events of the whole processor", "perf_event", _FILTERED),
    Probe("kernel-user-faults", "36", "open userfaultfd", "user_faults", _FILTERED),
    Probe("kernel-module", "36", "load a kernel module", "load_module", _NOT_ROOT),
    Probe("kernel-kexec", "36", "load another kernel", "load_kernel", _NOT_ROOT),
    Probe("kernel-swap", "36", "swap on a file", "swap_on", _NOT_ROOT),
    Probe("kernel-reboot", "36", "reboot the host", "reboot", _NOT_ROOT),
    Probe("kernel-clock", "36", "set the clock", "set_clock", _NOT_ROOT),
    Probe("kernel-host-name", "36", "set the host name", "host_name", _NOT_ROOT),
    Probe("kernel-log", "36", "read the kernel's log", "kernel_log", _NOT_ROOT),
    Probe(
        "kernel-watch-files", "36", "decide over file access (fanotify)", "watch_files", _NOT_ROOT
    ),
    Probe("kernel-priority", "44", "take a higher priority", "raise_priority", _NOT_ROOT),
    Probe(
        "kernel-terminal",
        "37",
        "open the terminal of whoever started it",
        "terminal",
        frozenset({"ENXIO", "ENOENT", "EIO"}),
        {"make": "$terminal"},
    ),
)
