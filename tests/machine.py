"""How do tests get a whole TRE with people and a running JupyterLab?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from carrel.cli.demo.kernel import Notebook
from carrel.cli.demo.tre import Person, ThrowAwayTre


@dataclass(frozen=True)
class Study:
    """A workspace with its members, and the notebooks service in it."""

    workspace: str
    service: str
    owner: Person
    researcher: Person
    second: Person
    checker: Person

    @property
    def labs(self) -> str:
        """Path of the user resources."""
        return f"/api/workspaces/{self.workspace}/workspace-services/{self.service}/user-resources"


def make_workspace(
    admin: Person, name: str, template: str = "restricted", **properties: object
) -> str:
    """Create a workspace, wait for it, and return its id."""
    body = {
        "templateName": template,
        "properties": {
            "display_name": name,
            "description": "Made by a test",
            "workspace_owner_object_id": "",
            **properties,
        },
    }
    created = admin.post("/api/workspaces", body)
    admin.wait(created)
    return str(created["operation"]["resourceId"])


def make_study(admin: Person, name: str, **properties: object) -> Study:
    """Create a restricted workspace with four members and a notebooks service."""
    workspace = make_workspace(admin, name, **properties)
    people = {}
    for role, label in (
        ("WorkspaceOwner", "owner"),
        ("WorkspaceResearcher", "researcher"),
        ("WorkspaceResearcher", "second"),
        ("AirlockManager", "checker"),
    ):
        people[label] = admin.create_person(f"{label}-{workspace[:8]}", f"{name} {label}")
        admin.assign(workspace, people[label], role)
    created = people["owner"].post(
        f"/api/workspaces/{workspace}/workspace-services",
        {
            "templateName": "notebooks",
            "properties": {"display_name": "Notebooks", "description": "Made by a test"},
        },
    )
    people["owner"].wait(created)
    return Study(workspace, created["operation"]["resourceId"], **people)


def start_lab(study: Study, person: Person, name: str = "Lab") -> str:
    """Start a JupyterLab for `person` and return its id."""
    body = {
        "templateName": "jupyterlab",
        "properties": {"display_name": name, "description": "Made by a test"},
    }
    created = person.post(study.labs, body)
    person.wait(created)
    return str(created["operation"]["resourceId"])


def compute(
    tre: ThrowAwayTre, person: Person, workspace: str, lab: str, cells: Sequence[str]
) -> list[str]:
    """Run cells in a fresh kernel of `lab`, as `person`, through the gateway."""

    async def run() -> list[str]:
        base, host = tre.gateway_address(workspace, lab)
        async with Notebook(base, person.token, tre.tls, host) as kernel:
            return [await kernel.execute(cell) for cell in cells]

    return asyncio.run(run())
