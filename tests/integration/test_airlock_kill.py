"""What does `kill -9` in the middle of an upload leave behind?"""

import os
import signal
import subprocess
import sys
import time

from carrel.airlock.stores import FolderStore
from carrel.core.ids import new_id

PROGRAM = """
import sys, time
from pathlib import Path
from carrel.airlock.stores import FolderStore

def slow():
    yield b"half of it" * 1000
    print("half", flush=True)
    time.sleep(60)

FolderStore(Path(sys.argv[1])).put(sys.argv[2], sys.argv[3], slow(), limit_bytes=10**9)
"""


def test_a_killed_upload_is_not_there_and_can_be_repeated(tmp_path):
    root, request, file_id = tmp_path / "airlock", new_id(), new_id()
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, root, request, file_id], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"half\n"
    store = FolderStore(root)
    (partial,) = (root / ".partial").iterdir()
    os.utime(partial, (time.time() - 3600,) * 2)
    assert store.remove_partial() == 0
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert store.objects(request) == []
    assert store.remove_partial() == 1
    store.put(request, file_id, [b"whole"], limit_bytes=100)
    assert len(store.objects(request)) == 1
