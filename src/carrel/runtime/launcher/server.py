"""How does the launcher serve its clients?

One process accepts; each connection gets its own forked process, which has one thread and can
therefore fork and change namespaces safely. All state is on the host, none in these processes.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from carrel.runtime.launcher import (
    boxes,
    doors,
    linux,
    plans,
    protocol,
    sandbox,
    selftest,
    workspaces,
)  # fmt: skip
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

BACKLOG = 1024
TRIM_EVERY_SECONDS = 5.0
LOG_CAP_BYTES, LOG_KEPT_BYTES = 4 * 2**20, 2**20


@dataclass(frozen=True)
class Asked:
    """One request: its fields, and the fd that came with it."""

    tre: Tre
    fields: Mapping[str, Any]
    fds: list[int]

    def workspace_id(self) -> str:
        """Return the checked workspace id."""
        return plans.an_id(self.fields, "workspace_id")

    def sandbox_id(self) -> str:
        """Return the checked sandbox id."""
        return plans.an_id(self.fields, "sandbox_id")

    def text(self, name: str) -> str:
        """Return a checked text field."""
        return plans.a_text(self.fields, name)


class Descriptor(int):
    """An fd that is the answer; it is closed here once it was sent."""


def _hello(asked: Asked) -> dict[str, Any]:
    tre = asked.tre
    return {"tre": tre.id, "as_root": tre.as_root, "uids": [tre.first_uid, tre.last_uid]}


def _capacity(asked: Asked) -> dict[str, int]:
    del asked  # the same for every TRE of this host
    return sandbox.capacity()


def _self_test(asked: Asked) -> Any:
    return selftest.outcome(asked.tre)


def _prepare(asked: Asked) -> None:
    workspaces.prepare(asked.tre, plans.workspace(asked.tre, asked.fields))


def _remove(asked: Asked) -> None:
    workspaces.remove(asked.tre, asked.workspace_id())


def _start(asked: Asked) -> None:
    workspaces.start(asked.tre, plans.sandbox(asked.tre, asked.fields))


def _state(asked: Asked) -> str:
    return sandbox.state(asked.tre, asked.workspace_id(), asked.sandbox_id())


def _stop(asked: Asked) -> None:
    grace = plans.a_number(asked.fields, "grace_seconds", 0, 60)
    workspaces.stop(asked.tre, asked.workspace_id(), asked.sandbox_id(), grace)


def _rest(asked: Asked) -> None:
    grace = plans.a_number(asked.fields, "grace_seconds", 0, 60)
    workspaces.rest(asked.tre, asked.workspace_id(), grace)


def _running(asked: Asked) -> dict[str, list[str]]:
    return workspaces.running(asked.tre)


def _usage(asked: Asked) -> dict[str, Any] | None:
    chosen = None if asked.fields.get("sandbox_id") is None else asked.sandbox_id()
    return workspaces.usage(asked.tre, asked.workspace_id(), chosen)


def _output(asked: Asked) -> str:
    tail = plans.a_count(asked.fields, "tail_bytes", 0, LOG_KEPT_BYTES)
    return sandbox.output(asked.tre, asked.workspace_id(), asked.sandbox_id(), tail)


def _leftovers(asked: Asked) -> list[dict[str, str]]:
    return workspaces.leftovers(asked.tre)


def _dial(asked: Asked) -> Descriptor:
    port, uid = plans.a_port(asked.fields), plans.a_member(asked.tre, asked.fields)
    return Descriptor(doors.dial(asked.tre, asked.workspace_id(), port, uid))


def _listen(asked: Asked) -> Descriptor:
    return Descriptor(doors.listen(asked.tre, asked.workspace_id(), plans.a_port(asked.fields)))


def _list_outbox(asked: Asked) -> list[dict[str, Any]]:
    uid = plans.a_member(asked.tre, asked.fields)
    return boxes.list_outbox(asked.tre, asked.workspace_id(), uid)


def _open_outbox(asked: Asked) -> Descriptor:
    uid, path = plans.a_member(asked.tre, asked.fields), asked.text("path")
    return Descriptor(boxes.open_outbox(asked.tre, asked.workspace_id(), path, uid))


def _deliver_inbox(asked: Asked) -> None:
    if not asked.fds:
        raise Refused("invalid_request", "No file came with the request.")
    boxes.deliver_inbox(asked.tre, asked.workspace_id(), asked.text("path"), asked.fds[0])


def _remove_inbox(asked: Asked) -> None:
    boxes.remove_inbox(asked.tre, asked.workspace_id(), asked.text("path"))


COMMANDS: dict[str, Callable[[Asked], Any]] = {
    "hello": _hello,
    "capacity": _capacity,
    "self_test": _self_test,
    "prepare": _prepare,
    "remove": _remove,
    "start": _start,
    "state": _state,
    "stop": _stop,
    "rest": _rest,
    "running": _running,
    "usage": _usage,
    "output": _output,
    "leftovers": _leftovers,
    "dial": _dial,
    "listen": _listen,
    "list_outbox": _list_outbox,
    "open_outbox": _open_outbox,
    "deliver_inbox": _deliver_inbox,
    "remove_inbox": _remove_inbox,
}


def bind(path: Path) -> socket.socket:
    """Listen at `path`; a dead launcher's socket there is replaced, nothing else ever is."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Refused("conflict", f"{path} exists and is no socket; choose another path.")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        listener.bind(str(beside))
    except OSError as error:
        raise Refused("invalid_request", f"Cannot listen at {path}: {error}.") from error
    beside.chmod(0o666)  # everybody may knock; who may enter is decided by SO_PEERCRED
    listener.listen(BACKLOG)
    beside.rename(path)  # what is seen there answers
    return listener


def adopt_orphans() -> None:
    """Let ended children, and what they leave behind, vanish by themselves from now on."""
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def serve(tre: Tre, listener: socket.socket, allowed: frozenset[int]) -> None:
    """Answer until a SIGTERM; sandboxes go on without the launcher."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    trimmed = time.monotonic()
    while True:
        ready, _, _ = select.select([listener], [], [], TRIM_EVERY_SECONDS)
        if time.monotonic() - trimmed > TRIM_EVERY_SECONDS:
            _trim_logs(tre)
            trimmed = time.monotonic()
        if not ready:
            continue
        connection, _ = listener.accept()
        main = os.getpid()
        if os.fork() == 0:
            listener.close()
            _serve_one(tre, connection, allowed, main)
        connection.close()


def work_apart(work: Callable[[], object]) -> None:
    """Do `work` in a child that may have children of its own, and wait for it."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            work()
        except Refused as refused:
            sys.stderr.write(f"carrel-launcher: {refused}\n")
        finally:
            os._exit(0)
    with contextlib.suppress(ChildProcessError):  # the kernel reaped it: nobody asks how it ended
        os.waitpid(pid, 0)


def _serve_one(tre: Tre, connection: socket.socket, allowed: frozenset[int], main: int) -> NoReturn:
    """Answer one client until it goes; never outlive the launcher."""
    status = 1
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if os.getppid() == main and _peer_uid(connection) in allowed:
            _converse(tre, connection)
        status = 0
    except protocol.Closed:
        status = 0
    finally:
        os._exit(status)


def _peer_uid(connection: socket.socket) -> int:
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[1])


def _converse(tre: Tre, connection: socket.socket) -> None:
    while True:
        fields, fds = protocol.receive(connection)
        try:
            answer = _answer(Asked(tre, fields, fds))
        finally:
            for fd in fds:
                os.close(fd)
        result = answer.get("ok")
        if isinstance(result, Descriptor):
            protocol.send(connection, {"ok": None}, [result])
            os.close(result)
        else:
            protocol.send(connection, answer)


def _answer(asked: Asked) -> dict[str, Any]:
    command = COMMANDS.get(str(asked.fields.get("do")))
    if command is None:
        return {"error": "invalid_request", "message": "The launcher has no such command."}
    try:
        return {"ok": command(asked)}
    except Refused as refused:
        return {"error": refused.code, "message": str(refused)}
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
        code = "unavailable" if full else "outside_failure"
        return {"error": code, "message": f"The host refused: {error}."}
    except Exception as error:  # noqa: BLE001  # the top of a request: the client must hear of it
        return {"error": "outside_failure", "message": f"The launcher failed: {error!r}."}


def _trim_logs(tre: Tre) -> None:
    """Keep the end of every log that grew too long; its writer appends and never notices."""
    for log in (tre.state / "workspaces").glob("*/files/logs/*"):
        with contextlib.suppress(OSError):
            fd = os.open(log, os.O_RDWR | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC)
            try:
                size = os.fstat(fd).st_size
                if size > LOG_CAP_BYTES:
                    tail = os.pread(fd, LOG_KEPT_BYTES, size - LOG_KEPT_BYTES)
                    os.ftruncate(fd, 0)
                    os.write(fd, tail)
            finally:
                os.close(fd)
