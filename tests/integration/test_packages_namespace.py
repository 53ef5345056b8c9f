"""Do the doors for software open inside real workspaces without a network, and only there?"""

import hashlib

import pytest

from carrel.workspaces.clients import client_environment, index_url
from carrel.workspaces.rules import PROXY_PORT
from tests import launchers
from tests.packages_world import Space, World, gateway, make_world, wait_until

pytestmark = pytest.mark.root

INSTALL = """
import hashlib, json, os, urllib.parse, urllib.request
page = urllib.request.Request(os.environ["PIP_INDEX_URL"] + "demo/",
    headers={"Accept": "application/vnd.pypi.simple.v1+json"})
with urllib.request.urlopen(page, timeout=10) as answer:
    [file] = json.load(answer)["files"]
    url = urllib.parse.urljoin(answer.url, file["url"])
with urllib.request.urlopen(url, timeout=10) as answer:
    print(hashlib.sha256(answer.read()).hexdigest())
"""
REACH = """
import sys, urllib.request
try:
    with urllib.request.urlopen("http://OUTSIDE/simple/demo/", timeout=5) as answer:
        print("reached", answer.status)
except OSError as error:
    print("closed", type(error).__name__)
"""


@pytest.fixture
def world(tmp_path):
    launchers.require_root()
    with make_world(tmp_path) as made, launchers.launched() as launcher:
        made.runtime = launcher.runtime()
        made.launcher = launcher
        yield made


def opened(world: World, *, egress: bool = False, number: int = 1) -> launchers.Space:
    space = launchers.Space(world.runtime, number)
    world.spaces.open.append(Space(space.id, egress_proxy=egress))
    wait_until(lambda: world.is_reachable(space.id))
    if egress:
        wait_until(lambda: world.is_reachable(space.id, PROXY_PORT))
    return space


def test_software_comes_in_and_nothing_else_does(world):
    file = world.index.add_wheel("demo", payload=b"x" * 300_000)
    port = world.index.base.split("/")[2].split(":")[1]
    outside = f"127.1:{port}"  # a spelling of the loopback that clients do not bypass proxies for
    reach = REACH.replace("OUTSIDE", outside)
    with gateway(world, egress_allow_private=[outside]):
        closed, open_ = opened(world), opened(world, egress=True, number=2)
        environment = client_environment()
        assert closed.run(INSTALL, environment=environment) == file.digest
        assert closed.run(reach, environment=environment) == "closed URLError"
        proxied = client_environment(egress_port=PROXY_PORT)
        assert closed.run(reach, environment=proxied) == "closed URLError"
        assert open_.run(reach, environment=proxied) == "reached 200"
        assert open_.run(reach, environment=environment) == "closed URLError"
    assert [event.workspace for event in world.events("package.downloaded", closed.id)]
    assert hashlib.sha256(file.content).hexdigest() == file.digest


def test_doors_stand_while_the_launcher_restarts(world):
    file = world.index.add_wheel("demo")
    with gateway(world, check_seconds=0.1):
        first = opened(world)
        world.launcher.kill()
        world.launcher.start()
        second = opened(world, number=2)
        for space in (first, second):
            assert space.run(INSTALL, environment=client_environment()) == file.digest


def test_a_new_gateway_process_takes_the_doors_over(world):
    file = world.index.add_wheel("demo")
    with gateway(world):
        space = opened(world)
    assert not world.is_reachable(space.id)
    with gateway(world):
        assert space.run(INSTALL, environment=client_environment()) == file.digest


def test_no_member_takes_the_gateways_port_while_it_is_away(world):
    space = launchers.Space(world.runtime)
    squat = (
        "import socket\n"
        "try: print(socket.create_server(('127.0.0.1', 81)))\n"
        "except PermissionError: print('refused')\n"
    )
    assert space.run(squat) == "refused"
    file = world.index.add_wheel("demo")
    with gateway(world):
        world.spaces.open.append(Space(space.id))
        wait_until(lambda: world.is_reachable(space.id))
        assert space.run(INSTALL, environment=client_environment()) == file.digest
    assert space.run(squat) == "refused"
    assert index_url() == "http://127.0.0.1:81/pypi/simple/"
