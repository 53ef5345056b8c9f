"""What does a fresh demo TRE hold, so that there is something to look at?

A workspace with its members, notebooks, and a made-up dataset that came in through the airlock:
imported by one person, approved by another, as always.
"""

import csv
import io
import math
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

from carrel.choices import runtime_of
from carrel.cli import refer, setup
from carrel.cli.client import Api
from carrel.cli.follow import has_ended
from carrel.cli.output import remark
from carrel.core.clock import monotonic
from carrel.core.errors import CarrelError, OutsideFailure
from carrel.core.settings import Settings
from carrel.runtime.ports import Level
from carrel.workspaces.rules import FAILURE_WORDS

NAME = "Breast cancer survival"
PATIENTS = 240
_MARK = "demo-workspace"
_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.1


def fill(settings: Settings, progress: Callable[[str], None]) -> None:
    """Make the demo workspace, once for a home; deleted, it stays deleted."""
    mark = settings.home / _MARK
    if mark.exists():
        return
    passwords = setup.read_logins(settings.home)
    if "admin" not in passwords:
        remark("There are no demo logins in this home. Run: carrel init --demo")
        return
    progress("Making the demo workspace …")
    people = {name: _sign_in(settings, name, passwords[name]) for name in passwords}
    workspace_id = _workspace(people["admin"], _template(settings))
    _members(people["admin"], workspace_id)
    progress("Starting the notebooks service …")
    _service(people["olivia"], workspace_id)
    progress("Bringing a dataset in through the airlock …")
    try:
        _import(people["rosalind"], people["chandra"], workspace_id)
    except CarrelError as error:
        remark(f"The demo dataset is not there yet: {error}")
    for api in people.values():
        api.post("/api/sign-out")
    mark.write_text(workspace_id)


def dataset() -> bytes:
    """Return made-up patients as CSV, always the same: nobody's data."""
    chance = random.Random(686)  # noqa: S311 - made-up patients, not secrets
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["patient", "age", "hormone_therapy", "tumour_grade", "days", "recurrence"])
    for number in range(1, PATIENTS + 1):
        age = min(80, max(24, round(chance.gauss(53, 10))))
        therapy = chance.random() < 0.36
        grade = chance.choices([1, 2, 3], [12, 64, 24])[0]
        mean = 2400 * math.exp(0.35 * therapy - 0.3 * (grade - 2))
        days, censored = chance.expovariate(1 / mean), chance.uniform(300, 2600)
        event = days <= censored
        shown = max(8, round(days if event else censored))
        rows.writerow([f"P{number:04}", age, int(therapy), grade, shown, int(event)])
    return out.getvalue().encode()


def _sign_in(settings: Settings, username: str, password: str) -> Api:
    own = settings.home / "tls" / "ca.pem"
    ca = str(own) if settings.tls_certificate is None else ""
    body = {"username": username, "password": password}
    answer = Api(settings.portal_url, ca).post("/api/sign-in", body)
    return Api(settings.portal_url, ca, str(answer["token"]))


def _template(settings: Settings) -> str:
    """Return the workspace template that this host can give."""
    level = runtime_of(settings).self_test().level
    if level is Level.A:
        return "restricted"
    remark(f"This host gives isolation level {level}: the demo workspace is an unrestricted one.")
    return "unrestricted"


def _workspace(admin: Api, template: str) -> str:
    for found in admin.get("/api/workspaces")["workspaces"]:
        if refer.name_of(found) == NAME:
            return str(found["id"])
    description = "Does hormone therapy delay recurrence? Made-up patients, to try Carrel with."
    given = {"display_name": NAME, "description": description, "workspace_owner_object_id": ""}
    answer = admin.post("/api/workspaces", {"templateName": template, "properties": given})
    return _settled(admin, answer)


def _members(admin: Api, workspace_id: str) -> None:
    for person in setup.DEMO_PEOPLE:
        if person.workspace_role:
            found = refer.account(admin, person.username)
            body = {"role_id": person.workspace_role, "user_ids": [found["id"]]}
            admin.post(f"/api/workspaces/{workspace_id}/users/assign", body)


def _service(owner: Api, workspace_id: str) -> None:
    if refer.services(owner, workspace_id):
        return
    given = {"display_name": "Notebooks", "description": "Python and R in the browser."}
    path = f"/api/workspaces/{workspace_id}/workspace-services"
    _settled(owner, owner.post(path, {"templateName": "notebooks", "properties": given}))


def _import(author: Api, checker: Api, workspace_id: str) -> None:
    base = f"/api/workspaces/{workspace_id}/requests"
    why = "Made-up patients for the first look around."
    body = {"type": "import", "title": "Demo patients", "businessJustification": why}
    path = f"{base}/{author.post(base, body)['airlockRequest']['id']}"
    author.send("PUT", f"{path}/files/demo-patients.csv", content=dataset())
    author.post(f"{path}/submit")
    sealed = _until(author, path, "in_review")
    decision = {
        "approval": True,
        "decisionExplanation": "Made-up data: no person is in it.",
        "manifestSha256": sealed.get("manifestSha256"),
    }
    checker.post(f"{path}/review", decision)
    _until(author, path, "approved")


def _settled(api: Api, answer: Mapping[str, Any]) -> str:
    """Wait for the operation in an answer; returns the id of its resource."""
    operation = answer["operation"]
    path = f"/api{operation['resourcePath']}/operations/{operation['id']}"
    deadline, pause = monotonic() + _WAIT_SECONDS, threading.Event()
    while not has_ended(operation):
        if monotonic() > deadline:
            raise OutsideFailure("The demo workspace is not ready yet. Run scripts/up again.")
        pause.wait(_POLL_SECONDS)
        operation = api.get(path)["operation"]
    if operation["status"] in FAILURE_WORDS:
        raise OutsideFailure(f"The demo workspace failed: {operation['message']}")
    return str(operation["resourceId"])


def _until(api: Api, path: str, status: str) -> Mapping[str, Any]:
    deadline, pause = monotonic() + _WAIT_SECONDS, threading.Event()
    while True:
        request: Mapping[str, Any] = api.get(path)["airlockRequest"]
        if request["status"] == status:
            return request
        if monotonic() > deadline or request["status"] in {"failed", "blocked_by_scan"}:
            raise OutsideFailure(f"The demo import is {request['status']}, not {status}.")
        pause.wait(_POLL_SECONDS)
