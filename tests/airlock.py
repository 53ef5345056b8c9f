"""How do tests get an airlock, its people, and a worker that can be killed?"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from carrel.airlock.ports import Ground, Scanner
from carrel.airlock.rules import (
    AirlockRequest,
    Direction,
    Finding,
    ReviewResource,
    Severity,
    Status,
)
from carrel.airlock.scanners import standard_scanners
from carrel.airlock.service import Airlock
from carrel.airlock.stores import MemoryStore
from carrel.airlock.work import AirlockWork
from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.audit import Audit, list_events
from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.events import Events
from carrel.core.ids import new_id
from carrel.core.queue import Queue, WorkItem
from carrel.core.secrets import KEY_BYTES, KeyRing
from carrel.core.settings import Settings
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import Member, Runtime, WorkspacePlan
from carrel.workspaces.rules import Operation, Person, Progress

SAFE_TABLE = b"group,n\nold,120\nyoung,85\n"
SMALL_TABLE = b"group,n\nold,120\nyoung,3\n"


class MemoryKeys(KeyRing):
    """The keys of a TRE that has no folder."""

    def __init__(self, master: bytes = b"k" * KEY_BYTES) -> None:
        self._master = master


class Killed(BaseException):
    """The process is gone: nothing of ours may catch this."""


@dataclass
class OpenWorkspace:
    airlock_enabled: bool = True


@dataclass
class OpenPolicies:
    """Every workspace has its airlock open, unless a test closes it."""

    closed: set[str] = field(default_factory=set)
    undeployed: set[str] = field(default_factory=set)
    members: dict[str, Member] = field(default_factory=dict)
    """Whom the host knows by which uid, where a test runs on a real one."""

    def policy(self, workspace_id: str) -> OpenWorkspace:
        return OpenWorkspace(workspace_id not in self.closed)

    def display_name(self, workspace_id: str) -> str:
        return f"Study {workspace_id[:4]}"

    def is_deployed(self, workspace_id: str) -> bool:
        return workspace_id not in self.undeployed

    def host_member(self, workspace_id: str, account_id: str) -> Member:
        usual = Member(200_000 + int(account_id[:3], 16), f"u{account_id[:8]}")
        return self.members.get(account_id, usual)


@dataclass
class MemoryDesks:
    """Remembers which review resources were asked for."""

    opened: list[ReviewResource] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    removed: list[ReviewResource] = field(default_factory=list)
    healthy: bool = True

    def open(self, reviewer, request, link):
        made = ReviewResource(reviewer.id, request.workspace_id, new_id(), new_id())
        self.opened.append(made)
        self.links.append(link)
        now = datetime.now(UTC)
        path = f"/workspaces/{made.workspace_id}/workspace-services/{made.workspace_service_id}"
        path += f"/user-resources/{made.user_resource_id}"
        return made, Operation(
            id=new_id(), resource_id=made.user_resource_id, resource_path=path,
            resource_version=0, workspace_id=made.workspace_id, action="install",
            status="awaiting_deployment", message="", steps=(), created_at=now, updated_at=now,
            user=Person(reviewer.id, reviewer.name), progress=Progress.WAITING,
        )  # fmt: skip

    def is_healthy(self, resource):
        return self.healthy

    def remove(self, resource):
        self.removed.append(resource)


class BrokenScanner:
    name, version = "broken", "1"

    def examine(self, subject):
        raise ValueError("a bug in a scanner")


class QuarantiningScanner:
    name, version = "quarantine", "1"

    def examine(self, subject):
        return [Finding("bad", Severity.BLOCK, "This is bad.")]


def person(workspace_id: str, *roles: WorkspaceRole) -> Actor:
    account = new_id()
    return Actor(
        id=account,
        name=f"Person {account[:4]}",
        workspace_roles={workspace_id: frozenset(roles)} if roles else {},
    )


class Bench:
    """An airlock over memory adapters, with a workspace, four people and a worker."""

    def __init__(
        self,
        database: Database,
        *,
        store: object = None,
        settings: Settings | None = None,
        scanners: Sequence[Scanner] | None = None,
        runtime: Runtime | None = None,
        workspace: str | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.database = database
        self.queue = Queue(database, self.clock, lease_seconds=10)
        self.runtime = runtime or MemoryRuntime()
        self.store = store or MemoryStore()
        self.policies = OpenPolicies()
        self.desks = MemoryDesks()
        self.settings = settings or Settings(tre_name="Test TRE")
        self.ground = Ground(
            database=database,
            audit=Audit(self.clock),
            clock=self.clock,
            events=Events(),
            queue=self.queue,
            settings=self.settings,
            store=self.store,
            boxes=self.runtime,
            policies=self.policies,
            desks=self.desks,
            keys=MemoryKeys(),
            find_actor=lambda _connection, account_id: self.people.get(account_id),
        )
        self.airlock = Airlock(self.ground)
        self.work = AirlockWork(self.ground, scanners or standard_scanners())
        self.workspace = workspace or self.make_workspace()
        self.author = person(self.workspace, WorkspaceRole.RESEARCHER)
        self.colleague = person(self.workspace, WorkspaceRole.RESEARCHER)
        self.owner = person(self.workspace, WorkspaceRole.OWNER)
        self.reviewer = person(self.workspace, WorkspaceRole.AIRLOCK_MANAGER)
        self.stranger = person(new_id(), *WorkspaceRole)
        known = (self.author, self.colleague, self.owner, self.reviewer, self.stranger)
        self.people = {each.id: each for each in known}
        """Who stands behind an account id; a test takes somebody's place away here."""

    def make_workspace(self) -> str:
        workspace = new_id()
        self.runtime.prepare(WorkspacePlan(workspace, gid=200_000, disk_bytes=2**30))
        return workspace

    def draft(self, kind: str, **files: bytes) -> AirlockRequest:
        request = self.airlock.create(
            self.author, self.workspace, type=kind, title="My result", justification="For a paper"
        )
        self.fill(request, **files)
        return self.airlock.get(self.author, request.id)

    def fill(self, request: AirlockRequest, **files: bytes) -> None:
        """Add files; in the keywords `__` stands for the dot of an extension."""
        for key, content in files.items():
            name = key.replace("__", ".")
            if request.type is Direction.IMPORT:
                self.airlock.add_file(self.author, request.id, name, [content])
            else:
                self.runtime.put_outbox(self.workspace, name, content)
                self.airlock.add_from_outbox(self.author, request.id, [name])

    def submitted(self, kind: str, **files: bytes) -> AirlockRequest:
        return self.airlock.submit(self.author, self.draft(kind, **files).id)

    def in_review(self, kind: str, **files: bytes) -> AirlockRequest:
        request = self.submitted(kind, **files)
        self.run_work()
        request = self.airlock.get(self.author, request.id)
        assert request.status is Status.IN_REVIEW, request.status_message
        return request

    def approve(self, request: AirlockRequest, explanation: str = "Looks safe") -> AirlockRequest:
        return self.airlock.review(
            self.reviewer,
            request.id,
            approve=True,
            explanation=explanation,
            seen_manifest_sha256=request.manifest_sha256,
        )

    def approved(self, kind: str, **files: bytes) -> AirlockRequest:
        request = self.in_review(kind, **files)
        self.approve(request)
        self.run_work()
        return self.airlock.get(self.author, request.id)

    def claim(self) -> WorkItem | None:
        return self.queue.claim("test-worker")

    def run_work(self) -> int:
        """Do everything that is due now; returns how many pieces."""
        done = 0
        while item := self.claim():
            self.work.takers()[item.kind](item, self.queue)
            done += 1
        return done

    def events(self, request: AirlockRequest) -> list[str]:
        with self.database.read() as connection:
            return [event.action for event in list_events(connection, subject=request.id)][::-1]

    def downloaded(self, actor: Actor, token: str, *, as_archive: bool = False) -> bytes:
        opened = self.airlock.open_release(actor, token, as_archive=as_archive)
        try:
            return b"".join(opened.content)
        finally:
            opened.close()


def killing(thing: object, at: int) -> object:
    """Return `thing` such that the process dies at its `at`-th call, before or after the act.

    Even numbers die before the act, odd ones after it.
    """
    return _Killing(thing, at)


class _Killing:
    def __init__(self, thing: object, at: int) -> None:
        self._thing = thing
        self._left = at

    def __getattr__(self, name: str) -> Callable[..., object]:
        act = getattr(self._thing, name)

        def call(*args: object, **named: object) -> object:
            self._left -= 2
            if self._left in {-1, -2}:
                if self._left == -1:
                    close = getattr(act(*args, **named), "close", None)
                    if close:  # the kernel closes a dead process's files
                        close()
                raise Killed
            return act(*args, **named)

        return call

    @property
    def is_dead(self) -> bool:
        return self._left < 0


def pieces(content: bytes, size: int) -> Iterable[bytes]:
    stream = io.BytesIO(content)
    while piece := stream.read(size):
        yield piece
