"""Which object stores do tests talk to? Real servers on this machine: moto and Azurite."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from azure.storage.blob import BlobServiceClient

from carrel.airlock.stores.objects import ObjectStore, object_store
from carrel.core.ids import new_id

AZURITE = Path(__file__).parents[1] / ".cache/npm/node_modules/azurite/dist/src/blob/main.js"
PLACE = "airlock"


@dataclass(frozen=True)
class Service:
    """A running service with an empty bucket or container named `airlock`."""

    scheme: str
    endpoint: str
    key: tuple[str, str]

    def store(self, spool: Path, prefix: str = "", **more: int) -> ObjectStore:
        """Return a store below a prefix of its own, or the one given."""
        url = f"{self.scheme}://{PLACE}/{prefix or new_id()}"
        made = object_store(url, self.key, spool=spool, endpoint=self.endpoint)
        return ObjectStore(made._service, spool, **more)


@contextmanager
def s3() -> Iterator[Service]:
    """Run moto's server."""
    port = _free_port()
    words = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    endpoint = f"http://127.0.0.1:{port}"
    with _running([str(word) for word in words], port):
        httpx.put(f"{endpoint}/{PLACE}").raise_for_status()
        yield Service("s3", endpoint, ("key-id", "secret"))


@contextmanager
def azure() -> Iterator[Service]:
    """Run Azurite."""
    if not AZURITE.exists():
        raise AssertionError("Azurite is missing; scripts/test fetches it into .cache/npm")
    port, key = _free_port(), base64.b64encode(secrets.token_bytes(32)).decode()
    with tempfile.TemporaryDirectory() as folder:
        words = ["node", str(AZURITE), "--blobPort", str(port), "--location", folder]
        words += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        with _running(words, port, AZURITE_ACCOUNTS=f"carrel:{key}"):
            endpoint = f"http://127.0.0.1:{port}/carrel"
            with BlobServiceClient(
                endpoint, {"account_name": "carrel", "account_key": key}
            ) as all_:
                all_.create_container(PLACE)
            yield Service("az", endpoint, ("carrel", key))


SERVICES = {"s3": s3, "azure": azure}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _running(words: list[str], port: int, **environment: str) -> Iterator[None]:
    server = subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert server.poll() is None, f"{words[0]} ended with {server.returncode}"
            assert time.monotonic() < deadline, f"{words} does not listen"
            time.sleep(0.05)
        yield
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
