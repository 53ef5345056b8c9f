"""How do commands talk to a TRE? Over HTTPS, with a token kept in the person's own folder."""

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from carrel.cli.patience import PatientClient
from carrel.cli.target import given, settings
from carrel.core.errors import (
    CarrelError,
    Conflict,
    Denied,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    OutsideFailure,
    Unavailable,
)
from carrel.core.files import write_whole

TIMEOUT_SECONDS = 60.0
_BY_STATUS: Mapping[int, type[CarrelError]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: Denied,
    404: NotFound,
    405: InvalidRequest,
    409: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: Denied,
    503: Unavailable,
}


@dataclass(frozen=True, slots=True)
class Login:
    """A signed-in person at one TRE, as kept on disk."""

    url: str
    ca: str
    token: str
    username: str


class Api:
    """The API of one TRE."""

    def __init__(self, url: str, ca: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        self.ca = ca
        headers = {"Accept": "application/json", "User-Agent": "carrel-cli"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = PatientClient(
            base_url=self.url, verify=_trust(ca), headers=headers, timeout=TIMEOUT_SECONDS
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """GET a JSON document. Raises the `CarrelError` that the answer stands for."""
        wanted = {name: value for name, value in parameters.items() if value is not None}
        return self.send("GET", path, params=wanted)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
        """POST a JSON document and return the answer."""
        return self.send("POST", path, json=dict(body or {}), headers=headers)

    def send(self, method: str, path: str, **rest: Any) -> Any:
        """Send a request and return the JSON of the answer; None if it has no body."""
        with _translated(self.url):
            answer = self._http.request(method, path, **rest)
        if answer.is_error:
            raise problem(answer)
        return answer.json() if answer.content else None

    def send_form(self, path: str, **fields: str) -> tuple[int, dict[str, Any]]:
        """POST a form as OAuth has it; returns the status and the JSON, whichever they are."""
        with _translated(self.url):
            answer = self._http.request("POST", path, data=fields)
        try:
            body = answer.json()
        except ValueError:
            body = {}
        return answer.status_code, body if isinstance(body, dict) else {}

    @contextmanager
    def stream(self, path: str) -> Iterator[httpx.Response]:
        """GET something large; the body is read by the caller."""
        headers = {"Accept": "application/json, */*;q=0.9"}
        with (
            _translated(self.url),
            self._http.stream("GET", path, headers=headers) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise problem(answer)
            yield answer


def problem(answer: httpx.Response) -> CarrelError:
    """Return the error that an HTTP answer stands for, in the server's own words."""
    kind = _BY_STATUS.get(answer.status_code, OutsideFailure)
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    sentence = str(body.get("detail") or answer.text.strip()[:500] or "The TRE gave no reason.")
    if answer.status_code >= 500 and body.get("request_id"):
        sentence += f" (request {body['request_id']})"
    field = body.get("field")
    return kind(sentence, field=str(field) if field else None)


def anonymous() -> Api:
    """Return the API without anybody signed in: for signing in."""
    url, ca = _where(None)
    return Api(url, ca)


def signed_in() -> Api:
    """Return the API for the person who ran `carrel login`. Raises `NotAuthenticated`."""
    login = current_login()
    if login is None:
        raise NotAuthenticated("Nobody is signed in here. Run: carrel login")
    return Api(login.url, _where(login)[1], login.token)


def current_login() -> Login | None:
    """Return the login in force: of --url or --home where given, else the last one."""
    if given().url or given().home:
        return _read(_file(_where(None)[0]))
    try:
        name = (_folder() / "current").read_text().strip()
    except FileNotFoundError:
        return None
    return _read(_folder() / name)


def keep(login: Login) -> None:
    """Keep a login for later commands, readable only by its owner."""
    path = _file(login.url)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(login)).encode(), mode=0o600)
    (path.parent / "current").write_text(path.name)


def forget(login: Login) -> None:
    """Remove a kept login. May be called twice."""
    _file(login.url).unlink(missing_ok=True)


def _where(login: Login | None) -> tuple[str, str]:
    """Return the address and the authority's file; "" means the machine's own authorities."""
    if login is not None and not given().url:
        return login.url, str(given().ca or login.ca)
    local = settings()
    url = (given().url or local.portal_url).rstrip("/")
    if given().ca:
        return url, str(given().ca)
    own = local.home / "tls" / "ca.pem"
    return url, str(own) if url == local.portal_url and own.exists() else ""


def _trust(ca: str) -> ssl.SSLContext:
    if not ca:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidRequest(f"{ca} cannot be read as a PEM certificate. Give --ca.") from error


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError as error:
        if "CERTIFICATE" in str(error).upper():
            raise OutsideFailure(
                f"{url} shows a certificate that is not trusted here. "
                "Give the TRE's authority with --ca (on its machine: HOME/tls/ca.pem)."
            ) from error
        raise Unavailable(f"Nothing answers at {url}. Is it running? Try: carrel status") from error
    except httpx.TransportError as error:
        raise Unavailable(f"{url} stopped answering: {error}. Try again.") from error


def _folder() -> Path:
    return Path.home() / ".config" / "carrel"


def _file(url: str) -> Path:
    parts = urlsplit(url)
    name = re.sub(r"[^a-z0-9.-]", "_", (parts.netloc or url).lower().replace(":", "-"))
    return _folder() / f"{name}.json"


def _read(path: Path) -> Login | None:
    try:
        return Login(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None
