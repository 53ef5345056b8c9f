"""How does a study go through Carrel, from import to checked release? Step by step, for real."""

import asyncio
import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from carrel.cli.demo.kernel import Notebook
from carrel.cli.demo.material import PATIENTS, SAFE_CELL, Material, code_cells, fetch_material
from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.clock import monotonic
from carrel.core.errors import OutsideFailure

STARTS = 5
"""How often a JupyterLab is started to give a median."""
READY_SECONDS = 5.0
"""The promise: median seconds from asking for JupyterLab to the first executed cell."""


class StepFailed(OutsideFailure):
    """The story did not go as it must; the message says what was seen."""

    code = "demo_step_failed"


@dataclass(slots=True)
class Scene:
    """What the earlier steps left for the later ones."""

    tre: ThrowAwayTre
    people: dict[str, Person] = field(default_factory=dict)
    material: Material | None = None
    workspace: str = ""
    service: str = ""
    lab: str = ""
    export: str = ""
    sealed: Mapping[str, str] = field(default_factory=dict)
    notebook: Notebook | None = None


def check(holds: object, otherwise: str) -> None:
    """Raise `StepFailed` with `otherwise` unless `holds`."""
    if not holds:
        raise StepFailed(otherwise)


def start_tre(scene: Scene) -> str:
    """Start a fresh TRE in its own home, on free ports."""
    scene.tre.start()
    scene.people["admin"] = scene.tre.administrator()
    return f"level {scene.tre.level()}, {scene.tre.settings.portal_url}"


def take_trial(scene: Scene) -> str:
    """Take the trial's data from a public package."""
    scene.material = fetch_material()
    lines = scene.material.dataset.count(b"\n") - 1
    check(lines == PATIENTS, f"The trial should have {PATIENTS} patients, the file has {lines}.")
    return f"GBSG2, {lines} patients, {len(scene.material.dataset)} bytes"


def make_workspace(scene: Scene) -> str:
    """Create a restricted workspace with three members."""
    admin = scene.people["admin"]
    for username, name in (
        ("rosalind", "Rosalind Researcher"),
        ("olivia", "Olivia Owner"),
        ("chandra", "Chandra Checker"),
    ):
        scene.people[username] = admin.create_person(username, name)
    created = admin.post(
        "/api/workspaces",
        {
            "templateName": "restricted",
            "properties": {
                "display_name": "Breast cancer survival",
                "description": "Hormone therapy in the GBSG2 trial",
                "workspace_owner_object_id": scene.people["olivia"].id,
            },
        },
    )
    scene.workspace = created["operation"]["resourceId"]
    admin.wait(created)
    for username, role in (
        ("rosalind", "WorkspaceResearcher"),
        ("olivia", "WorkspaceOwner"),
        ("chandra", "AirlockManager"),
    ):
        admin.assign(scene.workspace, scene.people[username], role)
    return f"workspace {scene.workspace[:8]}, members: researcher, owner, airlock manager"


def bring_in_dataset(scene: Scene) -> str:
    """Raise an import request with the dataset and the notebook."""
    assert scene.material is not None
    rosalind = scene.people["rosalind"]
    request = rosalind.raise_request(scene.workspace, "import", "GBSG2 trial and analysis")
    rosalind.upload(scene.workspace, request, "gbsg2.csv", scene.material.dataset)
    rosalind.upload(scene.workspace, request, "analysis.ipynb", scene.material.notebook)
    rosalind.submit(scene.workspace, request)
    own = rosalind.try_review(scene.workspace, request)
    check(own >= 400, "The author could review their own import request.")
    chandra = scene.people["chandra"]
    chandra.review(scene.workspace, request, approve=True, explanation="Public data, clean code.")
    chandra.wait_for_request(scene.workspace, request, "approved")
    return f"2 files, author's own review refused with {own}, approved by {chandra.name}"


def start_notebooks(scene: Scene) -> str:
    """Start JupyterLab; measured from the request to the first executed cell."""
    olivia = scene.people["olivia"]
    created = olivia.post(
        f"/api/workspaces/{scene.workspace}/workspace-services",
        {
            "templateName": "notebooks",
            "properties": {"display_name": "Notebooks", "description": "JupyterLab for everyone"},
        },
    )
    scene.service = created["operation"]["resourceId"]
    olivia.wait(created)
    seconds = []
    for number in range(STARTS):
        lab, took = _start_lab(scene, f"Lab {number + 1}")
        seconds.append(took)
        if number < STARTS - 1:
            scene.people["rosalind"].delete_resource(f"{_labs(scene)}/{lab}")
        else:
            scene.lab = lab
    median = statistics.median(seconds)
    shown = ", ".join(f"{value:.2f}" for value in seconds)
    check(
        median <= READY_SECONDS,
        f"JupyterLab took {median:.2f} s (median of {shown}); promised: {READY_SECONDS:.0f} s.",
    )
    return f"request to first cell: median {median:.2f} s of {shown}"


def _labs(scene: Scene) -> str:
    service = f"/api/workspaces/{scene.workspace}/workspace-services/{scene.service}"
    return f"{service}/user-resources"


def _start_lab(scene: Scene, name: str) -> tuple[str, float]:
    """Create a JupyterLab and execute a cell; returns its id and the seconds it took."""
    rosalind = scene.people["rosalind"]
    started = monotonic()
    created = rosalind.post(
        _labs(scene),
        {
            "templateName": "jupyterlab",
            "properties": {"display_name": name, "description": "Survival analysis"},
        },
    )
    lab: str = created["operation"]["resourceId"]
    rosalind.wait(created)
    printed = _compute(scene, lab, ["print(6 * 7)"])
    took = monotonic() - started
    check(printed == ["42\n"], f"The first cell printed {printed}.")
    return lab, took


def _compute(scene: Scene, lab: str, cells: list[str]) -> list[str]:
    return asyncio.run(_run(scene, lab, cells))


async def _run(scene: Scene, lab: str, cells: list[str]) -> list[str]:
    rosalind = scene.people["rosalind"]
    base, host = scene.tre.gateway_address(scene.workspace, lab)
    async with Notebook(base, rosalind.token, scene.tre.tls, host) as kernel:
        return [await kernel.execute(cell) for cell in cells]


def install_package(scene: Scene) -> str:
    """Install a package inside, through the package gateway alone."""
    cell = (
        "import subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', 'lifelines'],"
        " capture_output=True, text=True)\n"
        "print(done.returncode, done.stderr[-500:])\n"
        "import lifelines; print(lifelines.__version__)"
    )
    (printed,) = _compute(scene, scene.lab, [cell])
    code, *_, version = printed.split()
    check(code == "0", f"pip inside the workspace failed: {printed}")
    return f"lifelines {version}"


def analyse(scene: Scene) -> str:
    """Run the imported notebook in the workspace, through the gateway's kernel websocket."""
    read = "print(next(__import__('pathlib').Path('/inbox').rglob('analysis.ipynb')).read_text())"
    (arrived,) = _compute(scene, scene.lab, [read])
    assert scene.material is not None
    check(
        arrived.strip().encode() == scene.material.notebook.strip(),
        "The notebook that arrived is not the one that was sent.",
    )
    printed = _compute(scene, scene.lab, code_cells(arrived.encode()))
    check(printed[0].startswith(f"{PATIENTS} "), f"The first cell printed {printed[0]!r}.")
    return "; ".join(text.strip() for text in printed)


OUTPUTS = ("patients.csv", "survival.png")


def ask_to_export(scene: Scene) -> str:
    """Raise an export request; the table has small cells, is flagged, and is returned."""
    rosalind, chandra = scene.people["rosalind"], scene.people["chandra"]
    scene.export = rosalind.raise_request(scene.workspace, "export", "Survival by therapy")
    rosalind.collect(scene.workspace, scene.export, OUTPUTS)
    rosalind.submit(scene.workspace, scene.export)
    findings = chandra.findings(scene.workspace, scene.export)
    small = _flags(findings, "patients.csv")
    check(small, f"The small cells were not flagged; findings: {findings}")
    chandra.send_back(scene.workspace, scene.export, "Small cells: round to 5, suppress below 10.")
    rosalind.wait_for_request(scene.workspace, scene.export, "returned")
    return f"{len(small)} findings, returned to the author"


def _flags(findings: Sequence[Mapping[str, Any]], file: str) -> Sequence[Mapping[str, Any]]:
    """Return the rules a file breaks, without what a person should merely look at."""
    return [one for one in findings if one["file"] == file and one["severity"] == "flag"]


def make_safe(scene: Scene) -> str:
    """Round and suppress inside the workspace, collect again, resubmit."""
    rosalind, chandra = scene.people["rosalind"], scene.people["chandra"]
    code = code_cells(scene.material.notebook if scene.material else b"")
    printed = _compute(scene, scene.lab, [code[0], code[3], SAFE_CELL])
    rosalind.collect(scene.workspace, scene.export, OUTPUTS)
    scene.sealed = rosalind.submit(scene.workspace, scene.export)
    findings = chandra.findings(scene.workspace, scene.export)
    small = _flags(findings, "patients.csv")
    check(not small, f"The rounded table is still flagged: {small}")
    return f"counts now {printed[-1].strip()}"


def approve(scene: Scene) -> str:
    """Approve the export, by somebody else than the author."""
    own = scene.people["rosalind"].try_review(scene.workspace, scene.export)
    check(own >= 400, "The author could approve their own export.")
    chandra = scene.people["chandra"]
    chandra.review(scene.workspace, scene.export, approve=True, explanation="Rounded; safe.")
    chandra.wait_for_request(scene.workspace, scene.export, "approved")
    return f"author's own approval refused with {own}, approved by {chandra.name}"


def release(scene: Scene) -> str:
    """Download the release once; its hashes equal what was sealed, its ticket is used up."""
    rosalind = scene.people["rosalind"]
    files, again = rosalind.download_release(scene.workspace, scene.export)
    got = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, digest in scene.sealed.items():
        check(got.get(name) == digest, f"{name} left with another hash than it was sealed with.")
    check(again >= 400, "The release ticket could be used twice.")
    shown = ", ".join(f"{name} {digest[:12]}" for name, digest in scene.sealed.items())
    return f"{shown}; second use of the ticket refused with {again}"


def attack(scene: Scene) -> str:
    """Attack the isolation from inside."""
    report = scene.tre.carrel_json("prove", "--json", failing_is_an_answer=True)
    names = [probe["id"] for probe in report["probes"] if not probe["closed"]]
    check(report["open"] == 0, f"Open probes: {', '.join(names)}")
    return f"{len(report['probes'])} probes, 0 open, level {report['level']}"


def verify_audit(scene: Scene) -> str:
    """Verify the audit chain."""
    outcome = scene.tre.carrel_json("audit", "verify", "--json")
    check(outcome["intact"], f"The audit chain is broken: {outcome}")
    return f"{outcome['events']} events, head {outcome['head'][:12]}"


def delete_workspace(scene: Scene) -> str:
    """Delete the workspace; nothing may be left of it on the host."""
    admin = scene.people["admin"]
    admin.delete_resource(f"/api/workspaces/{scene.workspace}")
    left = scene.tre.carrel_json("status", "--leftovers", "--json", failing_is_an_answer=True)
    check(not left["leftovers"], f"Left on the host: {left['leftovers']}")
    return "no namespace, cgroup, mount, loop device, process or file"


def stop_tre(scene: Scene) -> str:
    """Stop the throw-away TRE and remove its home."""
    scene.tre.stop()
    return "stopped and removed"


STEPS: tuple[tuple[str, Callable[[Scene], str]], ...] = (
    ("Start a fresh TRE", start_tre),
    ("Take the trial from a public package", take_trial),
    ("Create a restricted workspace and its members", make_workspace),
    ("Import the dataset and the notebook through the airlock", bring_in_dataset),
    ("Start JupyterLab", start_notebooks),
    ("Install lifelines through the package gateway", install_package),
    ("Run the notebook in the workspace", analyse),
    ("Ask to export: flagged and returned", ask_to_export),
    ("Round, suppress, resubmit", make_safe),
    ("Another person approves", approve),
    ("Release what was sealed", release),
    ("Attack the isolation", attack),
    ("Verify the audit chain", verify_audit),
    ("Delete the workspace; nothing is left", delete_workspace),
    ("Stop the TRE", stop_tre),
)
"""The story in order. The last step runs whatever happened before."""


def outcome(name: str, run: Callable[[], str]) -> dict[str, Any]:
    """Run one step and return `{"name","ok","seconds","detail"}`."""
    started = monotonic()
    try:
        detail, ok = run(), True
    except Exception as error:  # noqa: BLE001 - the top of a step: whatever fails, it is told
        detail, ok = f"{type(error).__name__}: {error}", False
    return {"name": name, "ok": ok, "seconds": round(monotonic() - started, 3), "detail": detail}
