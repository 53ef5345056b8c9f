"""JupyterLab of one member, and the other members of the same workspace and network."""

import http.client
import json
import time

import pytest

from carrel.core.errors import Unavailable
from carrel.runtime import environments
from carrel.runtime.ports import State
from tests.launchers import PYTHON, Space, launched, require_root, until

pytestmark = pytest.mark.root
TOKEN = "only-the-gateway-knows"
BASE = "/ws/one/two/"
CLOSED = ("files/secret.txt", "nbconvert/html/n.ipynb", "nbconvert/script", "view/secret.txt",
          "api/nbconvert")  # fmt: skip


@pytest.fixture(scope="module")
def lab():
    """A workspace whose first member has JupyterLab, with downloads closed."""
    require_root()
    image = environments.build("notebooks")
    with launched(environments=image.parent) as launcher:
        space = Space(launcher.runtime(), disk_bytes=2**29)
        space.lab = _start(space, 1, 8888, "off")
        yield space


def _start(space: Space, member: int, port: int, downloads: str) -> str:
    variables = {
        "CARREL_TOKEN": TOKEN, "CARREL_BASE_URL": BASE, "CARREL_PORT": str(port),
        "CARREL_DOWNLOADS": downloads,
    }  # fmt: skip
    command = ["start-jupyterlab"]
    sandbox_id = space.start(command, member, image="notebooks", environment=variables)
    until(lambda: _answers(space, sandbox_id, port), seconds=60)
    return sandbox_id


def _answers(space: Space, sandbox_id: str, port: int) -> bool:
    state = space.runtime.state(space.id, sandbox_id)
    assert state is State.RUNNING, space.runtime.output(space.id, sandbox_id)
    try:
        space.runtime.dial(space.id, port).close()
    except Unavailable:
        return False
    return True


def ask(space, path, method="GET", body=None, token=TOKEN, port=8888) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("workspace")
    connection.sock = space.runtime.dial(space.id, port)
    headers = {"Authorization": f"token {token}"} if token else {}
    try:
        connection.request(method, BASE + path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_gateway_which_has_the_token_enters(lab):
    assert ask(lab, "lab")[0] == 200
    assert ask(lab, "api/contents")[0] == 200


def test_another_member_does_not_enter_without_the_token(lab):
    attempt = (
        "import http.client\n"
        f"for path in ('api/contents', 'api/kernels', 'files/x', 'lab/api/settings'):\n"
        "    c = http.client.HTTPConnection('127.0.0.1', 8888, timeout=10)\n"
        f"    c.request('GET', {BASE!r} + path); print(c.getresponse().status)\n"
    )
    assert set(lab.run(attempt, member=2).split()) <= {"401", "403", "302"}
    assert ask(lab, "api/contents", token="guess")[0] == 403


def test_a_kernel_runs_and_listens_where_no_other_member_can_hear_it(lab):
    status, kernel = ask(lab, "api/kernels", "POST", json.dumps({"name": "python3"}))
    assert status == 201
    path = f"api/kernels/{json.loads(kernel)['id']}"
    # The port itself is the control: what listens on TCP is seen from the next sandbox.
    listening = "print([l.split()[1] for l in open('/proc/net/tcp') if l.split()[3] == '0A'])"
    assert lab.run(listening, member=2) == f"['0100007F:{8888:04X}']"
    assert ask(lab, path)[0] == 200
    assert ask(lab, path, "DELETE")[0] == 204


@pytest.mark.parametrize("name", ["python3", "ir"])
def test_both_languages_are_offered(lab, name):
    specifications = json.loads(ask(lab, "api/kernelspecs")[1])["kernelspecs"]
    assert name in specifications


@pytest.mark.parametrize("path", CLOSED)
def test_with_downloads_off_no_route_hands_out_whole_files(lab, path):
    assert ask(lab, path)[0] in {404, 405}


def test_with_downloads_on_the_same_routes_answer(lab):
    """The control of the test before."""
    sandbox_id = _start(lab, 2, 8889, "on")
    try:
        body = json.dumps({"type": "file", "format": "text", "content": "hello"})
        assert ask(lab, "api/contents/secret.txt", "PUT", body, port=8889)[0] == 201
        assert ask(lab, "files/secret.txt", port=8889) == (200, b"hello")
        assert ask(lab, "api/nbconvert", port=8889)[0] == 200
    finally:
        lab.runtime.stop(lab.id, sandbox_id)


def test_the_member_s_own_environment_finds_the_image_and_keeps_what_is_installed(lab):
    seen = lab.run(
        "import glob, os, subprocess\n"
        "home = os.path.expanduser('~')\n"
        "def python(code): print(subprocess.run([home + '/.venv/bin/python', '-c', code],"
        " capture_output=True, text=True).stdout.strip())\n"
        "python('import numpy, sys; print(sys.prefix); print(numpy.__file__)')\n"
        "site = glob.glob(home + '/.venv/lib/python3*/site-packages')[0]\n"
        "open(site + '/mine.py', 'w').write('x = 1'); python('import mine; print(mine.x)')\n"
        "python('import pip; print(pip.__version__)')\n",
        image="notebooks",
    ).splitlines()
    assert seen[0] == "/home/member1/.venv"
    assert seen[1].startswith("/opt/carrel/environments/notebooks-")
    assert seen[2] == "1"
    assert seen[3]


def test_nobody_can_change_the_image(lab):
    attempt = (
        "import os\n"
        "image = os.environ['CARREL_IMAGE']\n"
        "for path in ('/bin/python3', '/lib/new', '/share/jupyter/kernels/python3/kernel.json'):\n"
        "    try: open(image + path, 'a'); print('OPEN')\n"
        "    except OSError as error: print(error.strerror)\n"
    )
    sandbox_id = lab.start([PYTHON, "-c", attempt], image="notebooks")
    until(lambda: lab.runtime.state(lab.id, sandbox_id) is State.EXITED)
    said = lab.runtime.output(lab.id, sandbox_id).splitlines()
    assert len(said) == 3
    assert set(said) <= {"Read-only file system", "Permission denied"}


def test_a_restart_is_quick_enough_to_wait_for(lab):
    lab.runtime.stop(lab.id, lab.lab)
    began = time.monotonic()
    lab.lab = _start(lab, 1, 8888, "off")
    assert ask(lab, "lab")[0] == 200
    assert time.monotonic() - began < 15  # 0.7 s on a quiet machine; this one may be busy
