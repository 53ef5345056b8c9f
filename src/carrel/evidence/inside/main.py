"""What does the program do that is sent inside? It reads one JSON argument and follows it."""

import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

from carrel.evidence.inside import files, hostile, kernel, limits, network, stand
from carrel.evidence.inside.ground import ATTEMPTS, take

PARTS = (files, kernel, limits, network)
"""Imported so that their attempts are entered in `ATTEMPTS`."""

__all__ = ["ATTEMPTS", "main"]


def main(orders: Mapping[str, Any]) -> None:
    """Make what the orders say, run their attempts, then wait if told to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(0))
    if "network" in orders:
        stand.network(orders["network"]["addresses"], orders["network"]["ports"])
    if "resolver" in orders:
        stand.resolver(orders["resolver"], tempfile.mkdtemp(dir=orders["folder"]))
    held = stand.Stand(orders.get("hold", {}))
    try:
        _prepare(orders)
        _run(orders)
        if orders.get("wait"):
            signal.alarm(orders["wait"])
            signal.pause()
    finally:
        held.clear()


def _prepare(orders: Mapping[str, Any]) -> None:
    if "plant" in orders:
        stand.plant(orders["plant"]["folder"], orders["plant"]["secret"])
    if "swap" in orders:
        told = (orders["swap"]["folder"], orders["swap"]["secret"])
        threading.Thread(target=stand.swap, args=told, daemon=True).start()
    if "hostile" in orders:
        hostile.serve(orders["hostile"]["port"])


def _run(orders: Mapping[str, Any]) -> None:
    """Run the jobs in order; send one JSON line each to the report, at once."""
    report = 1
    if port := orders.get("report_port"):
        report = socket.create_connection(("127.0.0.1", port)).detach()
    for job in orders.get("jobs", ()):
        for uid in job["uids"]:
            outcome = take(job["attempt"], job["given"], seconds=job["seconds"], uid=uid)
            line = {"id": job["id"], "uid": uid, **outcome}
            os.write(report, json.dumps(line).encode() + b"\n")
            if outcome["code"] == "open":
                break
    os.write(report, b'{"id": "", "uid": null, "code": "done", "text": ""}\n')


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
