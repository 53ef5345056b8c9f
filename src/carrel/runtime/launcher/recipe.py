"""Which view of the host does a sandbox get? Pure: from a plan to bubblewrap's arguments."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from carrel.runtime.launcher.plans import Sandbox

BWRAP = "/usr/bin/bwrap"
SETPRIV = "/usr/bin/setpriv"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
INSIDE_ID = 1000
ETC = (
    "alternatives", "bash.bashrc", "ca-certificates.conf", "fonts", "inputrc", "java-17-openjdk",
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "magic",
    "mime.types", "profile", "python3", "python3.11", "python3.12", "python3.13", "R",
    "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "X11",
)  # fmt: skip
MASKED_FILES = (
    "kallsyms", "kcore", "keys", "kmsg", "kpagecount", "kpageflags", "latency_stats",
    "sched_debug", "sysrq-trigger", "timer_list", "timer_stats",
)  # fmt: skip
MASKED_FOLDERS = ("acpi", "asound", "scsi")
READ_ONLY_FOLDERS = ("bus", "fs", "irq", "sys")
NO_USER_NAMESPACE_CAPS = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")


@dataclass(frozen=True)
class View:
    """Where things lie on the host for one sandbox."""

    files: Path
    """The workspace's files: home/, shared/, inbox/, outbox/."""
    etc: Path
    """The generated passwd, group, hosts and nsswitch.conf."""
    gid: int
    seccomp_fd: int | None
    status_fd: int
    user_namespaces: bool
    proc_sys_read_only: bool = True
    """False only where a test breaks this protection on purpose."""


def arguments(plan: Sandbox, view: View) -> list[str]:
    """Return every argument of bubblewrap but the command."""
    parts = (
        _namespaces(view),
        _environment(plan),
        _system(view),
        _files(plan, view),
        _kernel(view),
        ("--remount-ro", "/dev", "--remount-ro", "/"),
        _privileges(view),
    )
    return [word for part in parts for word in part]


def command(plan: Sandbox, gid: int, *, user_namespaces: bool) -> list[str]:
    """Return the program and its arguments as they run inside."""
    if user_namespaces:
        return list(plan.command)
    user, group = str(plan.uid), str(gid)
    drop = [
        SETPRIV, "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs",
        "--bounding-set=-all", "--inh-caps=-all", "--",
    ]  # fmt: skip
    # Only the member may enter the home, so the shell goes there after the drop.
    return [*drop, "/bin/sh", "-c", 'cd "$HOME" && exec "$@"', "sh", *plan.command]


def etc_files(plan: Sandbox, gid: int, *, user_namespaces: bool) -> dict[str, str]:
    """Return the generated files of /etc: one member, no resolver."""
    uid, group = (INSIDE_ID, INSIDE_ID) if user_namespaces else (plan.uid, gid)
    return {
        "passwd": f"{plan.name}:x:{uid}:{group}::/home/{plan.name}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        "group": f"workspace:x:{group}:\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost workspace packages\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }


def _namespaces(view: View) -> Iterator[str]:
    if view.user_namespaces:
        yield from ("--unshare-user", "--disable-userns")
    yield from ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
    yield from ("--new-session", "--hostname", "workspace", "--json-status-fd", str(view.status_fd))


def _environment(plan: Sandbox) -> Iterator[str]:
    home = f"/home/{plan.name}"
    image = f"{plan.image}/bin:" if plan.image else ""
    values = {
        "PATH": f"{home}/.venv/bin:{image}{SYSTEM_PATH}",
        "HOME": home,
        "USER": plan.name,
        "LOGNAME": plan.name,
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108  # the sandbox's own
    }
    if plan.image:
        values["CARREL_IMAGE"] = plan.image
    yield "--clearenv"
    for name, value in {**values, **dict(plan.environment)}.items():
        yield from ("--setenv", name, value)


def _system(view: View) -> Iterator[str]:
    yield from ("--size", str(4 * 2**20), "--tmpfs", "/", "--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if Path("/", name).is_symlink():
            yield from ("--symlink", f"usr/{name}", f"/{name}")
        elif Path("/", name).is_dir():
            yield from ("--ro-bind", f"/{name}", f"/{name}")
    yield from ("--dir", "/etc")
    for name in ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for name in ("passwd", "group", "hosts", "nsswitch.conf"):
        yield from ("--ro-bind", str(view.etc / name), f"/etc/{name}")


def _files(plan: Sandbox, view: View) -> Iterator[str]:
    half = str(plan.memory_bytes // 2)
    yield from ("--proc", "/proc", "--dev", "/dev", "--size", half, "--tmpfs", "/dev/shm")  # noqa: S108
    yield from ("--size", half, "--perms", "1777", "--tmpfs", "/tmp")  # noqa: S108
    yield from ("--dir", "/var", "--symlink", "../tmp", "/var/tmp")  # noqa: S108
    yield from ("--size", str(16 * 2**20), "--tmpfs", "/run")
    home = f"/home/{plan.name}"
    yield from ("--perms", "0755", "--dir", "/home")  # else it is as closed as the home in it
    yield from ("--bind", str(view.files / "home" / str(plan.uid)), home)
    yield from ("--bind", str(view.files / "shared"), "/shared")
    yield from ("--bind", str(view.files / "outbox"), "/outbox")
    yield from ("--ro-bind", str(view.files / "inbox"), "/inbox")
    if plan.image:
        yield from ("--ro-bind", plan.image, plan.image)
    for source, target in plan.mounts:
        yield from ("--ro-bind", source, target)
    if view.user_namespaces:
        yield from ("--chdir", home)


def _kernel(view: View) -> Iterable[str]:
    for name in READ_ONLY_FOLDERS:
        if Path("/proc", name).is_dir() and (name != "sys" or view.proc_sys_read_only):
            yield from ("--ro-bind", f"/proc/{name}", f"/proc/{name}")
    for name in MASKED_FILES:
        if Path("/proc", name).exists():
            yield from ("--ro-bind", "/dev/null", f"/proc/{name}")
    for name in MASKED_FOLDERS:
        if Path("/proc", name).is_dir():
            yield from ("--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}")
    yield from ("--tmpfs", "/sys", "--remount-ro", "/sys")


def _privileges(view: View) -> Iterator[str]:
    if view.user_namespaces:
        yield from ("--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID))
    yield from ("--cap-drop", "ALL")
    if not view.user_namespaces:
        for capability in NO_USER_NAMESPACE_CAPS:
            yield from ("--cap-add", capability)
    if view.seccomp_fd is not None:
        yield from ("--seccomp", str(view.seccomp_fd))
