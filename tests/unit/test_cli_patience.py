"""Does a command come again when the TRE asks it to, and only then?"""

from collections.abc import Iterator

import httpx
import pytest

from carrel.cli.patience import PatientClient

BUSY = httpx.codes.TOO_MANY_REQUESTS


class Busy:
    """A TRE that refuses the first requests with the seconds given, then answers."""

    def __init__(self, *waits: str, status: int = BUSY) -> None:
        self.waits = list(waits)
        self.status = status
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        if self.waits:
            return httpx.Response(self.status, headers={"Retry-After": self.waits.pop(0)})
        return httpx.Response(200)


def client_of(tre: Busy) -> PatientClient:
    return PatientClient(transport=httpx.MockTransport(tre), base_url="https://tre.example")


def test_a_refusal_for_a_second_is_waited_out_and_the_body_sent_again():
    tre = Busy("1", "0")
    with client_of(tre) as client:
        assert client.post("/api/workspaces", json={"a": 1}).status_code == 200
    assert len(tre.bodies) == 3
    assert len(set(tre.bodies)) == 1


@pytest.mark.parametrize("told", ["900", "soon", ""])
def test_a_long_or_unclear_wait_is_the_answer(told: str):
    tre = Busy(told)
    with client_of(tre) as client:
        assert client.get("/api/me").status_code == BUSY
    assert len(tre.bodies) == 1


def test_another_failure_is_the_answer():
    tre = Busy("1", status=503)
    with client_of(tre) as client:
        assert client.get("/api/me").status_code == 503


def test_a_body_that_can_be_read_once_is_not_sent_again():
    def chunks() -> Iterator[bytes]:
        yield b"once"

    tre = Busy("1")
    with client_of(tre) as client:
        assert client.post("/api/files", content=chunks()).status_code == BUSY
    assert tre.bodies == [b"once"]
