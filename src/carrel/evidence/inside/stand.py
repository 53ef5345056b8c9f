"""What do other members, other workspaces and the host hold, for the attempts to look for?

The same bait stands on the host, in the other member's sandbox and in the other workspace.
`plant` fills an outbox with traps.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from carrel.evidence.inside.ground import Given

BAIT = "carrel bait\n"
"""What every bait file holds."""

_libc = ctypes.CDLL(None)


class Stand:
    """Bait that stands until `clear`. Nobody accepts on its sockets; connecting works anyway."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._kept: list[Any] = []
        self.process_pid = 0
        for path in given.get("files", ()):
            _touch(path, text=BAIT)
        if "port" in given:
            self._kept.append(socket.create_server(("127.0.0.1", given["port"])))
        if "abstract" in given:
            self._listen("\0" + given["abstract"])
        if "socket_path" in given:
            self._listen(given["socket_path"])
            os.chmod(given["socket_path"], 0o777)  # noqa: S103 - bait is for everybody
        if "memory_key" in given:
            _libc.shmget(given["memory_key"], 4096, 0o1666)
        if "queue" in given:
            _libc.mq_open(given["queue"].encode(), os.O_CREAT | os.O_RDONLY, 0o666, None)
        if "process_token" in given:
            self._start(given["process_token"])

    def _listen(self, address: str) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(address)
        server.listen()
        self._kept.append(server)

    def _start(self, token: str) -> None:
        """Start a process that ends with us, because its input does."""
        process = subprocess.Popen(["/bin/sh", "-c", "read x", token], stdin=subprocess.PIPE)
        self.process_pid = process.pid
        self._kept.append(process)

    def clear(self) -> None:
        """Take away what would outlive this process."""
        given = self._given
        for path in (*given.get("files", ()), *filter(None, [given.get("socket_path")])):
            with suppress(OSError):
                os.unlink(path)
        if "memory_key" in given:
            _libc.shmctl(_libc.shmget(given["memory_key"], 1, 0), 0, None)
        if "queue" in given:
            _libc.mq_unlink(given["queue"].encode())
        for kept in self._kept:
            if isinstance(kept, subprocess.Popen):
                kept.communicate()
            else:
                kept.close()


_LISTENING: list[socket.socket] = []


def network(addresses: list[str], ports: list[int]) -> None:
    """Make this network namespace reach every address: the control's small internet on `lo`."""
    _ip("link", "set", "lo", "up")
    for address in addresses:
        _ip("address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo")
    _ip("route", "add", "224.0.0.0/4", "dev", "lo")
    _ip("-6", "route", "add", "ff0e::/16", "dev", "lo")
    for address in addresses:
        for port in ports:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            _LISTENING.append(socket.create_server((address, port), family=family))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=False, capture_output=True)


def resolver(address: str, folder: str) -> None:
    """Answer every DNS question at `address`, and make this mount namespace ask there."""
    for path, text in (
        ("/etc/resolv.conf", f"nameserver {address}\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
    ):
        name = f"{folder}/{os.path.basename(path)}"
        with open(name, "w") as file:
            file.write(text)
        os.chmod(name, 0o644)
        subprocess.run(["mount", "--bind", name, path], check=False, capture_output=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    threading.Thread(target=_answer_names, args=(server,), daemon=True).start()


def _answer_names(server: socket.socket) -> None:
    while True:
        question, peer = server.recvfrom(512)
        end = question.index(b"\0", 12) + 5
        wants_v4 = question[end - 4 : end - 2] == b"\0\1"
        head = question[:2] + b"\x81\x80\0\1" + (b"\0\1" if wants_v4 else b"\0\0") + b"\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([203, 0, 113, 1]) if wants_v4 else b""
        server.sendto(head + question[12:end] + answer, peer)


def plant(folder: str, secret: str) -> None:
    """Put one trap of every kind into `folder`; `secret` is a file of the host."""
    for name in ("plain.csv", "original.csv", "two\nlines.csv", "report\u202efdp.csv"):
        _touch(f"{folder}/{name}", text="age,n\n40,12\n")
    _touch(os.fsencode(folder) + b"/\xff\xfe.csv")
    os.makedirs(f"{folder}/folder", exist_ok=True)
    traps: list[Callable[[], Any]] = [
        lambda: os.symlink(secret, f"{folder}/link-absolute"),
        lambda: os.symlink("../" * 24 + secret[1:], f"{folder}/link-relative"),
        lambda: os.symlink("/proc/self/environ", f"{folder}/link-proc"),
        lambda: os.symlink(os.path.dirname(secret), f"{folder}/link-folder"),
        lambda: os.mkfifo(f"{folder}/pipe", 0o666),
        lambda: os.link(f"{folder}/original.csv", f"{folder}/hard"),
    ]
    for make in traps:
        with suppress(FileExistsError):
            make()


def _touch(path: str | bytes, *, text: str = "", mode: int = 0o644) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, mode)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def swap(folder: str, secret: str) -> None:
    """Turn `folder/swapped` from a plain file into a link and back, as fast as possible."""
    new = f"{folder}/.swap-new"
    while True:
        _touch(new)
        os.rename(new, f"{folder}/swapped")
        os.symlink(secret, new)
        os.rename(new, f"{folder}/swapped")
