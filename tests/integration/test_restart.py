"""Does work go on while every Carrel process is restarted?"""

import asyncio
import time

import pytest

from carrel.cli.demo.kernel import Notebook
from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.ids import new_id
from tests.machine import make_study, start_lab

pytestmark = [pytest.mark.root, pytest.mark.machine]


def test_a_kernel_survives_the_restart_of_every_process(tre: ThrowAwayTre, admin: Person):
    study = make_study(admin, f"Restart {new_id()[:6]}")
    lab = start_lab(study, study.researcher)
    base, host = tre.gateway_address(study.workspace, lab)
    token = study.researcher.token

    async def scenario() -> tuple[str, str]:
        kernel = Notebook(base, token, tre.tls, host)
        async with kernel:
            before = await kernel.execute(
                "import os, time; began = time.time(); print(os.getpid())"
            )
            await asyncio.to_thread(tre.carrel, "restart")
        async with Notebook(base, token, tre.tls, host, kernel_id=kernel.kernel_id) as again:
            return before, await again.execute("print(os.getpid()); print(began < time.time())")

    cpu_before = cpu_seconds(study, lab)
    before, after = asyncio.run(scenario())
    assert after.split() == [before.strip(), "True"]
    deadline = time.monotonic() + 60
    while cpu_seconds(study, lab) <= cpu_before:
        assert time.monotonic() < deadline, "The meters did not go on after the restart."
        time.sleep(0.5)


def cpu_seconds(study, lab: str) -> float:
    usage = study.researcher.get(f"{study.labs}/{lab}/usage")
    return float(usage["usage"]["cpu_seconds"])
