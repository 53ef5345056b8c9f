"""How does a program start that outlives the launcher?"""

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import NoReturn

from carrel.runtime.launcher.refusal import Refused


def detach(prepare: Callable[[], Sequence[int]], command: Sequence[str]) -> None:
    """Run `command` in its own session as nobody's child, with an empty environment.

    `prepare` runs in the new process just before; only the fds it returns, and 0, 1 and 2,
    survive. Returns once the program has replaced the process. Raises `Refused`.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(read)
        _become(prepare, command, write)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read, "rb") as pipe:
        problem = pipe.read()
    if problem:
        raise Refused("outside_failure", problem.decode(errors="replace"))


def _become(prepare: Callable[[], Sequence[int]], command: Sequence[str], pipe: int) -> NoReturn:
    try:
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        kept = {0, 1, 2, *prepare()}
        for fd in (int(name) for name in os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):  # the one that listed them is gone by now
                os.set_inheritable(fd, fd in kept)
        os.execve(command[0], list(command), {})
    except BaseException as error:  # noqa: BLE001  # the top of this process
        os.write(pipe, f"{type(error).__name__}: {error}"[:2000].encode())
    os._exit(127)
