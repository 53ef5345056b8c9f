"""How does the demonstration get a TRE of its own, and speak to it as its people would?"""

import io
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from carrel.cli.patience import PatientClient
from carrel.core.clock import monotonic
from carrel.core.errors import OutsideFailure
from carrel.core.ids import new_secret
from carrel.core.settings import CONFIG_NAME, Settings, child_environment, load

WAIT_SECONDS = 120.0
PAUSE_SECONDS = 0.05
TRANSIENT = frozenset({"submitted", "in_progress", "scanning_in_progress"})


class ThrowAwayTre:
    """A whole TRE in a temporary home, on free ports, started and stopped by its commands."""

    def __init__(self, **settings: Any) -> None:
        """Choose a home and ports; `settings` go into its `carrel.toml`."""
        self.home = Path(tempfile.mkdtemp(prefix="carrel-demo-"))
        self.home.chmod(0o755)
        lines = {"tre_name": "Carrel demo", **_free_ports(), **settings}
        (self.home / CONFIG_NAME).write_text(
            "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
        )
        self.settings: Settings = load(self.home)
        self.tls: ssl.SSLContext
        self.clients = ExitStack()
        """Closes every person's connections at the end."""
        self._password = new_secret(12)

    def start(self) -> None:
        """Initialise and start every process. Raises `OutsideFailure` with what it printed."""
        self.carrel("init", "--admin", "admin", "--password-stdin", given=self._password)
        self.carrel("up")
        self.tls = ssl.create_default_context(cafile=self.home / "tls" / "ca.pem")

    def stop(self) -> None:
        """Stop everything and remove the home."""
        self.clients.close()
        self.carrel("destroy", "--yes")

    def level(self) -> str:
        """Return the isolation level that the running TRE found."""
        return str(self.carrel_json("status", "--json")["level"])

    def administrator(self) -> "Person":
        """Sign the first administrator in."""
        return Person.sign_in(self, "admin", self._password)

    def gateway_address(self, workspace_id: str, resource_id: str) -> tuple[str, str]:
        """Return the tool's base URL by address, and the gateway's name for the Host header.

        By address, because names below `localhost` are a browser's courtesy.
        """
        port = self.settings.gateway_port
        name = self.settings.gateway_url(workspace_id).removeprefix("https://")
        return f"https://127.0.0.1:{port}/ws/{workspace_id}/{resource_id}/", name

    def carrel(self, *arguments: str, given: str = "") -> str:
        """Run a `carrel` command against this TRE. Raises `OutsideFailure` if it fails."""
        code, printed, complaint = self._run(arguments, given)
        if code:
            raise OutsideFailure(
                f"`carrel {' '.join(arguments)}` failed ({code}): {complaint.strip()[-1500:]}"
            )
        return printed

    def carrel_json(self, *arguments: str, failing_is_an_answer: bool = False) -> Any:
        """Run a `carrel` command and return its JSON; some answer with an exit status too."""
        code, printed, complaint = self._run(arguments, "")
        if code and not (failing_is_an_answer and printed.strip()):
            raise OutsideFailure(
                f"`carrel {' '.join(arguments)}` failed ({code}): {complaint.strip()[-1500:]}"
            )
        return json.loads(printed)

    def _run(self, arguments: Iterable[str], given: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "carrel.cli.main", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env=child_environment(CARREL_HOME=str(self.home)),
        )
        return done.returncode, done.stdout, done.stderr


def _free_ports() -> dict[str, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return {"portal_port": one.getsockname()[1], "gateway_port": two.getsockname()[1]}


class Person:
    """A signed-in person who speaks to the API."""

    def __init__(self, tre: ThrowAwayTre, account_id: str, name: str, token: str) -> None:
        self.id = account_id
        self.name = name
        self.token = token
        self._tre = tre
        self._http = PatientClient(
            base_url=f"https://localhost:{tre.settings.portal_port}",
            verify=tre.tls,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        tre.clients.callback(self._http.close)

    @classmethod
    def sign_in(cls, tre: ThrowAwayTre, username: str, password: str) -> "Person":
        """Sign in with a password."""
        url = f"https://localhost:{tre.settings.portal_port}/api/sign-in"
        body = {"username": username, "password": password}
        answer = _checked(httpx.post(url, json=body, verify=tre.tls)).json()
        account = answer["account"]
        return cls(tre, account["id"], account["display_name"], answer["token"])

    def create_person(self, username: str, display_name: str) -> "Person":
        """Create an account (administrators only) and sign it in."""
        password = new_secret(12)
        body = {"username": username, "display_name": display_name, "password": password}
        self.post("/api/accounts", body)
        return Person.sign_in(self._tre, username, password)

    def get(self, path: str) -> Any:
        """GET a JSON document."""
        return _checked(self._http.get(path)).json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON document and return the answer."""
        return _checked(self._http.post(path, json=body)).json()

    def request(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """Send any request; the answer is returned whatever its status."""
        return self._http.request(method, path, **rest)

    def assign(self, workspace_id: str, person: "Person", role: str) -> None:
        """Give `person` a role in a workspace."""
        body = {"role_id": role, "user_ids": [person.id]}
        self.post(f"/api/workspaces/{workspace_id}/users/assign", body)

    def wait(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Wait until the operation in an API answer has ended well."""
        operation = answer["operation"]
        path = f"/api{operation['resourcePath']}/operations/{operation['id']}"
        until = monotonic() + WAIT_SECONDS
        while monotonic() < until:
            shown = self._http.get(path)
            if shown.status_code == 404 and operation["action"] == "uninstall":
                return dict(operation)  # as in AzureTRE, what is deleted is not found
            operation = _checked(shown).json()["operation"]
            if operation["status"] in ENDED_WELL:
                return dict(operation)
            if operation["status"] in ENDED_BADLY:
                raise OutsideFailure(f"The operation ended badly: {operation['message']}")
            time.sleep(PAUSE_SECONDS)
        raise OutsideFailure(f"The operation did not end in {WAIT_SECONDS:.0f} seconds.")

    def delete_resource(self, path: str) -> None:
        """Disable and delete the resource at `path`, and wait for both."""
        disabled = self._http.patch(path, json={"isEnabled": False}, headers={"etag": "*"})
        self.wait(_checked(disabled).json())
        self.wait(_checked(self._http.delete(path)).json())

    # The airlock

    def raise_request(self, workspace_id: str, kind: str, title: str) -> str:
        """Open a draft; returns its id."""
        body = {"type": kind, "title": title, "businessJustification": "The demonstration."}
        answer = self.post(f"/api/workspaces/{workspace_id}/requests", body)
        return str(answer["airlockRequest"]["id"])

    def upload(self, workspace_id: str, request: str, name: str, content: bytes) -> None:
        """Put a file into an import draft."""
        path = f"/api/workspaces/{workspace_id}/requests/{request}/files/{name}"
        _checked(self._http.put(path, content=content))

    def collect(self, workspace_id: str, request: str, paths: Iterable[str]) -> None:
        """Take files from the outbox into an export draft."""
        self.post(
            f"/api/workspaces/{workspace_id}/requests/{request}/collect", {"paths": list(paths)}
        )

    def submit(self, workspace_id: str, request: str) -> dict[str, str]:
        """Seal and submit; wait until it is in review. Returns SHA-256 by file name."""
        self.post(f"/api/workspaces/{workspace_id}/requests/{request}/submit", {})
        shown = self.wait_for_request(workspace_id, request, "in_review")
        return {file["name"]: file["sha256"] for file in shown["files"]}

    def show_request(self, workspace_id: str, request: str) -> dict[str, Any]:
        """Return a request as the API shows it."""
        path = f"/api/workspaces/{workspace_id}/requests/{request}"
        return dict(self.get(path)["airlockRequest"])

    def wait_for_request(self, workspace_id: str, request: str, status: str) -> dict[str, Any]:
        """Wait until a request has `status`."""
        until = monotonic() + WAIT_SECONDS
        shown = self.show_request(workspace_id, request)
        while shown["status"] != status:
            if monotonic() > until or shown["status"] in {"failed", "blocked_by_scan"}:
                raise OutsideFailure(f"The request is {shown['status']}, expected {status}.")
            time.sleep(PAUSE_SECONDS)
            shown = self.show_request(workspace_id, request)
        return shown

    def findings(self, workspace_id: str, request: str) -> list[Any]:
        """Return what the scanners found in the sealed files."""
        return list(
            self.get(f"/api/workspaces/{workspace_id}/requests/{request}/findings")["findings"]
        )

    def review(self, workspace_id: str, request: str, *, approve: bool, explanation: str) -> None:
        """Decide, having seen the manifest."""
        answer = self._review(workspace_id, request, approve=approve, explanation=explanation)
        _checked(answer)

    def try_review(self, workspace_id: str, request: str) -> int:
        """Try to approve and return the HTTP status."""
        answer = self._review(workspace_id, request, approve=True, explanation="My own work.")
        return answer.status_code

    def _review(
        self, workspace_id: str, request: str, *, approve: bool, explanation: str
    ) -> httpx.Response:
        seen = self.show_request(workspace_id, request)["manifestSha256"]
        body = {"approval": approve, "decisionExplanation": explanation, "manifestSha256": seen}
        path = f"/api/workspaces/{workspace_id}/requests/{request}/review"
        return self._http.post(path, json=body)

    def send_back(self, workspace_id: str, request: str, explanation: str) -> None:
        """Return a request to its author."""
        path = f"/api/workspaces/{workspace_id}/requests/{request}/return"
        self.post(path, {"explanation": explanation})

    def download_release(self, workspace_id: str, request: str) -> tuple[dict[str, bytes], int]:
        """Download a release; returns content by name, and the status of a second use."""
        ticket = self.post(f"/api/workspaces/{workspace_id}/requests/{request}/release", {})
        first = _checked(self._http.get(ticket["url"]))
        with zipfile.ZipFile(io.BytesIO(first.content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        return files, self._http.get(ticket["url"]).status_code


ENDED_WELL = frozenset({"deployed", "updated", "deleted", "action_succeeded"})
ENDED_BADLY = frozenset(
    {"deployment_failed", "deleting_failed", "updating_failed", "action_failed", "canceled"}
)


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise OutsideFailure(
            f"{answer.request.method} {answer.request.url.path} was answered with "
            f"{answer.status_code}: {answer.text[:500]}"
        )
    return answer
