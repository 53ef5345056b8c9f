"""Does the gateway let through what a hostile tool or page wants?

Every attempt is one request and one judgement of the answer. The control sends the same request
straight to the tool, as a proxy that only passes things on would.
"""

import http.client
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from carrel.core.actors import Actor
from carrel.core.errors import CarrelError, NotFound
from carrel.core.ids import new_id, new_secret
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings
from carrel.evidence.doors.hosting import Ground, ground, running
from carrel.evidence.inside.hostile import FOREIGN
from carrel.evidence.rules import OPEN, Line, Outcome, Place, Probe
from carrel.evidence.sandboxes import Resident, Sandboxes
from carrel.gateway.access import Access
from carrel.gateway.counters import Counters
from carrel.gateway.rules import COOKIE
from carrel.gateway.server import Gateway
from carrel.gateway.service import Entrance
from carrel.workspaces.rules import Endpoint

PORT = 20999
ANSWER_SECONDS = 10.0
_SOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "Y2FycmVsLWJhaXQtc29ja2V0IQ==",
}


@dataclass(frozen=True, slots=True)
class _World:
    """A tool, its owner, and the proof of who they are."""

    endpoint: Endpoint
    actor: Actor
    token: str
    cookie: str
    origin: str

    # The gateway's ports `Sessions`, `Endpoints` and `Epochs`, for one person and one tool.

    def actor_for_token(
        self,
        token: str,
        *,
        request_id: str | None = None,
        kind: Literal["browser", "api"] | None = None,
    ) -> Actor | None:
        """Know one token."""
        del request_id, kind
        return self.actor if token == self.token else None

    def actor_for_session(
        self,
        session_id: str,
        *,
        request_id: str | None = None,
        kind: Literal["browser", "api"] | None = None,
    ) -> Actor | None:
        """Know one session."""
        del request_id, kind
        return self.actor if session_id == self.actor.session_id else None

    def endpoint_for(self, actor: Actor, resource_id: str) -> Endpoint:
        """Know one tool, and whose it is."""
        if (actor.id, resource_id) != (self.endpoint.owner_id, self.endpoint.resource_id):
            raise NotFound("There is no such tool.")
        return self.endpoint

    def current(self) -> int:
        """Say that nobody lost access."""
        return 0

    async def refresh(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: str

    def all(self, name: str) -> str:
        """Return every value of a header, lower case, in one text."""
        return "\n".join(value for key, value in self.headers if key.lower() == name).lower()


Request = tuple[str, Mapping[str, str]]
"""Target and headers."""
_Ask = Callable[[_World, str, Mapping[str, str]], Request]
_Judge = Callable[[_World, _Answer], str]
"""Returns what got through; empty if nothing did."""
_TOOL_ANSWERED = '"path"'
"""Only the tool writes this; without it an answer tells nothing about what was taken off it."""


def _path(name: str) -> _Ask:
    """Ask for a path of the tool as its signed-in owner."""
    return lambda _world, prefix, proof: (f"{prefix}{name}", proof)


def _extra(name: str, headers: Mapping[str, str]) -> _Ask:
    return lambda _world, prefix, proof: (f"{prefix}{name}", {**proof, **headers})


def _bearer(path: str) -> _Ask:
    """Ask as a program does, with a token; in a restricted workspace that opens little."""
    return lambda world, prefix, _proof: (
        f"{prefix}{path}",
        {"Authorization": f"Bearer {world.token}"},
    )


def _passed(world: _World, answer: _Answer) -> str:
    del world
    return "" if answer.status >= 400 else f"answered {answer.status}"


def _says(name: str, word: str) -> _Judge:
    def judge(world: _World, answer: _Answer) -> str:
        del world
        found = answer.all(name)
        return f"{name}: {found[:80]}" if word in found else ""

    return judge


def _carries(secret: Callable[[_World], str]) -> _Judge:
    return lambda world, answer: "the tool could read it" if secret(world) in answer.body else ""


def _loads_foreign(world: _World, answer: _Answer) -> str:
    del world
    policy = answer.all("content-security-policy")
    sources = [part.split() for part in policy.split(";") if part.strip()]
    loose = [" ".join(part) for part in sources if {"*", "https:", "http:"} & set(part)]
    named = any(part[0] == "default-src" for part in sources)
    return "" if named and not loose else f"policy: {policy[:80] or 'none'}"


def _cookie(value: Callable[[_World], str], headers: Mapping[str, str]) -> _Ask:
    def ask(world: _World, prefix: str, proof: Mapping[str, str]) -> Request:
        del proof
        return f"{prefix}page", {**headers, "Cookie": f"{COOKIE}={value(world)}; tool=1"}

    return ask


def _forged(world: _World) -> str:
    return f"{world.actor.session_id}.{'0' * 64}"


def _anonymous(world: _World, prefix: str, proof: Mapping[str, str]) -> Request:
    del world, proof
    return f"{prefix}page", {}


def _elsewhere(world: _World, prefix: str, proof: Mapping[str, str]) -> Request:
    return f"{prefix}page".replace(world.endpoint.workspace_id, new_id()), proof


def _absolute(world: _World, prefix: str, proof: Mapping[str, str]) -> Request:
    del world, prefix
    return "http://169.254.169.254/latest/meta-data/", proof


ATTEMPTS: Mapping[str, tuple[_Ask, _Judge]] = {
    "nobody": (_anonymous, _passed),
    "forged_cookie": (_cookie(_forged, {}), _passed),
    "other_workspace": (_elsewhere, _passed),
    "other_host": (_extra("page", {"Host": "carrel-bait.example"}), _passed),
    "absolute_target": (_absolute, _passed),
    "redirect": (_path("redirect"), _says("location", "carrel-bait")),
    "parent_cookie": (_path("page"), _says("set-cookie", "domain=")),
    "session_cookie": (_cookie(lambda world: world.cookie, {}), _carries(lambda w: w.cookie)),
    "authorization": (_bearer("api/status"), _carries(lambda world: world.token)),
    "cross_site_socket": (
        _cookie(lambda world: world.cookie, {**_SOCKET, "Origin": FOREIGN}),
        _passed,
    ),
    "attachment": (_path("attachment"), _passed),
    "download_route": (_path("files/patients.csv"), _passed),
    "beacon": (_path("page"), _loads_foreign),
    "referrer": (_path("page"), _says("referrer-policy", "unsafe-url")),
    "service_worker": (_extra("page", {"Service-Worker": "script"}), _passed),
}
"""How each probe asks, and how its answer is judged."""

NEED_AN_ANSWER = {"parent_cookie", "session_cookie", "authorization", "beacon", "referrer"}
"""What is judged by the tool's own answer; the others are judged by there being none."""


class GatewayProbes:
    """Attacks a gateway of its own, with a hostile tool inside the throw-away workspace."""

    place = Place.GATEWAY

    def attack(
        self, probes: Sequence[Probe], sandboxes: Sandboxes, who: Resident
    ) -> Sequence[Line]:
        """Start the tool and the gateway, and try each probe through it and around it."""
        sandbox_id, _ = sandboxes.run(who, {"hostile": {"port": PORT}, "wait": 120})
        try:
            with ground() as here, _open(here, sandboxes, who) as (world, address):
                through = _Way(world, lambda: socket.create_connection(address, ANSWER_SECONDS))
                around = _Way(world, lambda: sandboxes.doors.dial(who.workspace_id, PORT))
                return [
                    Line(probe, through.attempt(probe), around.attempt(probe)) for probe in probes
                ]
        finally:
            sandboxes.stop(who, sandbox_id)


class _Way:
    """One way to reach the tool: through the gateway, or around it."""

    def __init__(self, world: _World, connect: Callable[[], socket.socket]) -> None:
        self._world = world
        self._connect = connect

    def attempt(self, probe: Probe) -> Outcome:
        """Ask as the probe says. A tool that does not even answer its owner proves nothing."""
        honest = self._ask(_path("page"))
        if not isinstance(honest, _Answer) or _TOOL_ANSWERED not in honest.body:
            return Outcome("unclear", "even an honest request was not answered")
        ask, judge = ATTEMPTS[probe.attempt]
        answer = self._ask(ask)
        if not isinstance(answer, _Answer):
            return Outcome("refused", answer)
        if probe.attempt in NEED_AN_ANSWER and _TOOL_ANSWERED not in answer.body:
            return Outcome("unclear", f"answered {answer.status}, not by the tool")
        leak = judge(self._world, answer)
        return Outcome(OPEN, leak) if leak else Outcome("refused", f"answered {answer.status}")

    def _ask(self, ask: _Ask) -> _Answer | str:
        """Return the answer, or how the connection ended without one."""
        endpoint = self._world.endpoint
        prefix = f"/ws/{endpoint.workspace_id}/{endpoint.resource_id}/"
        target, headers = ask(self._world, prefix, {"Cookie": f"{COOKIE}={self._world.cookie}"})
        host = urlsplit(self._world.origin).netloc.replace(
            endpoint.workspace_id, target.split("/")[2] if target.startswith("/ws/") else ""
        )
        lines = [f"GET {target} HTTP/1.1", *_lines({"Host": host, **headers}), "", ""]
        with closing(self._connect()) as sock:
            sock.settimeout(ANSWER_SECONDS)
            sock.sendall("\r\n".join(lines).encode())
            response = http.client.HTTPResponse(sock, method="GET")
            try:
                response.begin()
                body = response.read(65536).decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                return f"the connection was closed ({type(error).__name__})"
            finally:
                response.close()
        return _Answer(response.status, response.getheaders(), body)


def _lines(headers: Mapping[str, str]) -> Iterator[str]:
    closing_header = {} if "Connection" in headers else {"Connection": "close"}
    for name, value in {**headers, **closing_header}.items():
        yield f"{name}: {value}"


@contextmanager
def _open(
    here: Ground, sandboxes: Sandboxes, who: Resident
) -> Iterator[tuple[_World, tuple[str, int]]]:
    """Run a gateway for one person and the hostile tool; gives its address."""
    settings, keys = Settings(home=here.home), KeyRing(here.home)
    world = _world(settings, keys, who)
    gateway = Gateway(
        settings=settings,
        doors=sandboxes.doors,
        access=Access(sessions=world, endpoints=world, epochs=world, keys=keys),
        entrance=Entrance(
            database=here.database,
            audit=here.audit,
            clock=here.clock,
            settings=settings,
            endpoints=world,
        ),
        counters=Counters(here.database, here.clock),
    )
    listener = socket.create_server(("127.0.0.1", 0))
    address: tuple[str, int] = listener.getsockname()
    with running(lambda stop: gateway.run(stop, tls=None, listener=listener)):
        _await_answer(address)
        yield world, address


def _world(settings: Settings, keys: KeyRing, who: Resident) -> _World:
    owner = Actor(id=new_id(), name=who.member.name, session_id=new_id())
    endpoint = Endpoint(
        resource_id=new_id(),
        workspace_id=who.workspace_id,
        owner_id=owner.id,
        uid=who.member.uid,
        port=PORT,
        prefix_style="keep",
        token=new_secret(),
        downloads_allowed=False,
        clipboard_allowed=False,
        title="A hostile tool",
    )
    signature = keys.sign("gateway", f"{who.workspace_id}:{owner.session_id}")
    return _World(
        endpoint=endpoint,
        actor=owner,
        token=new_secret(),
        cookie=f"{owner.session_id}.{signature}",
        origin=settings.gateway_url(who.workspace_id),
    )


def _await_answer(address: tuple[str, int]) -> None:
    for _ in range(200):
        with socket.create_connection(address, ANSWER_SECONDS) as sock:
            sock.settimeout(ANSWER_SECONDS)
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            if sock.recv(12).endswith(b"200"):
                return
        time.sleep(0.05)
    raise CarrelError("The gateway for the proof does not answer.")
