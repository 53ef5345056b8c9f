"""Which people, workspaces and requests do the browser tests find in the portal?"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from carrel.airlock.rules import AirlockRequest, Status
from carrel.core.actors import Actor, WorkspaceRole, system
from carrel.evidence.rules import Report
from carrel.packages.egress_rules import ProxyAsk
from carrel.packages.records import Records
from carrel.packages.rules import IndexFile
from carrel.workspaces.rules import Operation, Resource
from tests.browser.site import Site

T = TypeVar("T")
TABLE = b"arm,patients,events\nhormone therapy,246,94\nno hormone therapy,440,205\n"
SMALL = b"grade,arm,patients\nI,hormone,3\nI,none,63\nII,hormone,168\n"
NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


def eventually(look: Callable[[], T | None], what: str, seconds: float = 20) -> T:
    """Return the first true thing that `look` gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} seconds")


@dataclass(frozen=True)
class Story:
    """A TRE in the middle of its work."""

    study: Resource
    frailty: Resource
    prescribing: Resource
    service: Resource
    lab: Resource
    operation: Operation
    draft: AirlockRequest
    in_review: AirlockRequest
    approved: AirlockRequest
    proof: str
    account: str


def tell(site: Site) -> Story:
    """Let people do their work, so that every page has something to show."""
    site.add_person("ada", "Ada Okafor", is_admin=True)
    for username, name in (
        ("ruth", "Ruth Whitmore"),
        ("tomas", "Tomás Ferreira"),
        ("mina", "Mina Patel"),
        ("nobody", "Noor Haddad"),
    ):
        site.add_person(username, name)
    admin = site.actor("ada")
    study = _workspace(
        site, admin, "restricted", "Breast cancer survival",
        "Does hormone therapy lengthen recurrence-free survival? 686 patients of one trial.",
        "## Welcome\n\nThe trial's data lies in `/inbox/trial`. Put results into `/outbox`.",
    )  # fmt: skip
    frailty = _workspace(
        site, admin, "restricted", "Frailty after hip fracture",
        "Linked hospital and primary care records, three counties, 2015 to 2025.",
    )  # fmt: skip
    prescribing = _workspace(
        site, admin, "unrestricted", "Open prescribing trends",
        "Published monthly practice-level prescribing. Nothing here is about a person.",
    )  # fmt: skip
    _give(site, study, ruth=WorkspaceRole.OWNER, tomas=WorkspaceRole.RESEARCHER,
          mina=WorkspaceRole.AIRLOCK_MANAGER)  # fmt: skip
    _give(site, frailty, ruth=WorkspaceRole.AIRLOCK_MANAGER, tomas=WorkspaceRole.RESEARCHER)
    _give(site, prescribing, tomas=WorkspaceRole.OWNER)
    service = _service(site, study)
    _service(site, frailty)
    site.runtime.use_cpu(study.id, _lab(site, "ruth", study, service, "Ruth's notebooks").id, 88)
    lab = _lab(site, "tomas", study, service, "Tomás's notebooks")
    site.runtime.use_cpu(study.id, lab.id, 1342)
    operation = site.workspaces.list_operations(site.actor("tomas"), lab.id)[-1]
    approved = _approved_import(site, study)
    in_review = _export(site, study, "Table 2: events by treatment arm", "table2.csv", TABLE)
    _wait(site, in_review, Status.IN_REVIEW)
    draft = _export(site, study, "Table 3: grade by arm", "table3.csv", SMALL, submit=False)
    _install(site, study, prescribing)
    proof = site.proofs.keep(admin, Report(lines=(), level="A"), seconds=12.5)
    return Story(
        study=study, frailty=frailty, prescribing=prescribing, service=service, lab=lab,
        operation=operation, draft=draft, in_review=in_review, approved=approved, proof=proof.id,
        account=site.actor("ruth").id,
    )  # fmt: skip


def _install(site: Site, study: Resource, prescribing: Resource) -> None:
    records = Records(site.workspaces.database, site.workspaces.audit, site.workspaces.clock)
    file = IndexFile(
        name="lifelines", version="0.30.0", filename="lifelines-0.30.0-py3-none-any.whl",
        digest="5e" * 32, url="https://files.example/lifelines", is_wheel=True,
    )  # fmt: skip
    for workspace in (study, prescribing):
        records.add_download(workspace.id, "pypi", file)
    row = records.open_connection(prescribing.id, ProxyAsk("opendata.example", 443, None))
    records.close_connection(row, "closed", sent_bytes=900, received_bytes=5_300_000)
    records.refuse_connection(prescribing.id, ProxyAsk("10.0.0.7", 443, None), "private_address")


def _workspace(
    site: Site, admin: Actor, template: str, name: str, description: str, overview: str = ""
) -> Resource:
    properties = {"display_name": name, "description": description, "overview": overview}
    properties["workspace_owner_object_id"] = ""  # administrators stay outside
    made, operation = site.workspaces.create_workspace(admin, template, properties)
    finished(site, operation)
    return made


def _give(site: Site, workspace: Resource, **roles: WorkspaceRole) -> None:
    for username, role in roles.items():
        account = site.people.find_account_by_name(username)
        assert account is not None
        site.people.assign_role(system("tests"), workspace.id, account.id, role)


def _service(site: Site, workspace: Resource) -> Resource:
    admin = site.actor("ada")
    properties = {"display_name": "Notebooks", "description": "Python and R for everybody here"}
    made, operation = site.workspaces.create_service(admin, workspace.id, "notebooks", properties)
    finished(site, operation)
    return made


def _lab(site: Site, username: str, study: Resource, service: Resource, name: str) -> Resource:
    actor = site.actor(username)
    made, operation = site.workspaces.create_user_resource(
        actor, study.id, service.id, "jupyterlab", {"display_name": name}
    )
    finished(site, operation)
    return made


def finished(site: Site, operation: Operation) -> Operation:
    """Wait until an operation has ended well."""

    def look() -> Operation | None:
        now = site.workspaces.get_operation(system("tests"), operation.id)
        return now if now.is_final else None

    ended = eventually(look, f"the end of {operation.action}")
    assert ended.has_succeeded, ended.message
    return ended


def _approved_import(site: Site, study: Resource) -> AirlockRequest:
    author, reviewer = site.actor("tomas"), site.actor("mina")
    request = site.airlock.create(
        author, study.id, type="import", title="Trial data and analysis notebook",
        justification="The data that the protocol names, and our registered analysis.",
    )  # fmt: skip
    site.airlock.add_file(author, request.id, "survival.ipynb", [NOTEBOOK])
    site.airlock.add_file(author, request.id, "trial.csv", [TABLE])
    site.airlock.submit(author, request.id)
    sealed = _wait(site, request, Status.IN_REVIEW)
    site.airlock.review(
        reviewer, request.id, approve=True, explanation="Pseudonymised, as agreed.",
        seen_manifest_sha256=sealed.manifest_sha256,
    )  # fmt: skip
    return _wait(site, request, Status.APPROVED)


def _export(
    site: Site, study: Resource, title: str, name: str, content: bytes, *, submit: bool = True
) -> AirlockRequest:
    author = site.actor("tomas")
    request = site.airlock.create(
        author, study.id, type="export", title=title, justification="For the manuscript."
    )
    site.runtime.put_outbox(study.id, name, content)
    site.airlock.add_from_outbox(author, request.id, [name])
    return site.airlock.submit(author, request.id) if submit else request


def _wait(site: Site, request: AirlockRequest, status: Status) -> AirlockRequest:
    actor = site.actor("tomas")

    def look() -> AirlockRequest | None:
        now = site.airlock.get(actor, request.id)
        return now if now.status is status else None

    return eventually(look, f"the status {status} of {request.title}")
