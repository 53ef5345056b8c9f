"""How do tests get a whole TRE without processes, and its HTTP clients?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from carrel.app import Carrel, build, make_web, make_worker
from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.settings import load
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.rules import EVERY_WORD
from tests.web import app_client
from tests.workspaces import AnsweringRuntime

PASSWORD = "a quiet desk by the window"


@dataclass
class World:
    """A TRE without processes, and its people's clients."""

    carrel: Carrel
    runtime: MemoryRuntime
    clock: ManualClock
    client: httpx.Client

    def as_person(self, username: str, *tre_roles: TreRole) -> dict[str, str]:
        """Make an account and return the headers that sign it in."""
        if self.carrel.people.find_account_by_name(username) is None:
            self.carrel.people.create_account(
                system("tests"),
                username=username,
                display_name=username.title(),
                password=PASSWORD,
                tre_roles=frozenset({TreRole.USER, *tre_roles}),
            )
        signed_in = self.carrel.people.sign_in(username, PASSWORD, kind="api", client="tests")
        return {"Authorization": f"Bearer {signed_in.token}"}

    def join(self, username: str, workspace_id: str, *roles: WorkspaceRole) -> dict[str, str]:
        """Give a person roles in a workspace and return the headers that sign it in."""
        self.as_person(username)
        account = self.carrel.people.find_account_by_name(username)
        assert account is not None
        for role in roles:
            self.carrel.people.assign_role(system("tests"), workspace_id, account.id, role)
        return self.as_person(username)

    def work(self) -> None:
        """Take every step that is due."""
        make_worker(self.carrel).run_until_idle()

    def make(self, headers: dict[str, str], path: str, template: str, **properties: Any) -> str:
        """Create a resource, do the work, return its id."""
        given = {"display_name": f"Made {template}", "description": "Made by a test", **properties}
        body = {"templateName": template, "properties": given}
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        self.work()
        made: str = answer.json()["operation"]["resourceId"]
        return made

    def close(self) -> None:
        """End the thread of streams; close every socket and the database."""
        self.carrel.workspaces.streams.close()
        for workspace_id in list(self.runtime.running()):
            MemoryRuntime.remove(self.runtime, workspace_id)
        self.client.close()
        self.carrel.database.close()


def make_world(
    database: Database, home: Path, enforces: frozenset[str] = EVERY_WORD, **settings: Any
) -> World:
    """Return a TRE over a database, with the shipped templates."""
    runtime, clock = AnsweringRuntime(enforces), ManualClock()
    url = database.engine.url.render_as_string(hide_password=False)
    carrel = build(load(home, database_url=url, **settings), runtime=runtime, clock=clock)
    metadata.create_all(carrel.database.engine)
    with carrel.database.write() as connection:
        carrel.workspaces.sync_shipped(connection)
    return World(carrel, runtime, clock, app_client(make_web(carrel)))
