"""Whom do throttling and the audit trail take somebody for, who says they are somebody else?"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from carrel import migrations
from carrel.core.audit import list_events
from carrel.core.database import Database

SERVE = """
import sys
from pathlib import Path
from carrel.app import run_serve
from carrel.core.settings import load
run_serve(load(Path(sys.argv[1]), portal_port=int(sys.argv[2])))
"""
CLAIMED = "203.0.113.7"


def test_a_forwarded_address_changes_nothing_for_throttling_and_audit(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'carrel.db'}"
    migrations.upgrade(url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "serve.log").open("wb") as output:
        command = [sys.executable, "-c", SERVE, str(tmp_path), str(port)]
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ})
    try:
        _wait_for(port)
        guess = {"username": "nobody", "password": "wrong horse battery"}
        claims = {"X-Forwarded-For": CLAIMED, "Forwarded": f"for={CLAIMED}", "X-Real-IP": CLAIMED}
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False) as client:
            headers = {"Host": f"localhost:{port}", **claims}
            answer = client.post("/api/sign-in", json=guess, headers=headers)
        assert answer.status_code == 401, answer.text
    finally:
        server.terminate()
        server.wait(timeout=20)
    database = Database(url)
    with database.read() as connection:
        refused = [each for each in list_events(connection) if each.action == "session.refused"]
    database.close()
    assert [each.detail["client"] for each in refused] == ["127.0.0.1"]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "The portal did not start."
            time.sleep(0.1)
        else:
            return
