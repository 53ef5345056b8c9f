"""What does the airlock need from outside: a store, scanners, the policy of a workspace?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from sqlalchemy import Connection

from carrel.airlock.rules import (
    AirlockPolicy,
    AirlockRequest,
    Direction,
    Finding,
    ReviewResource,
    Stage,
)
from carrel.airlock.rules.differencing import Released
from carrel.airlock.rules.sidecar import TableMeta
from carrel.core.actors import Actor
from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.events import Events
from carrel.core.queue import Queue
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings
from carrel.people.actors import actor_of
from carrel.runtime.ports import Boxes, Member
from carrel.workspaces.rules import Operation

__all__ = ["Boxes", "Desks", "Ground", "Guard", "Policies", "Scanner", "Store", "Stored", "Subject"]

FindActor = Callable[[Connection, str], Actor | None]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store has taken in, measured while it was written."""

    sha256: str
    size_bytes: int
    blake3: str = ""
    """Beside SHA-256: who breaks one of the two has not broken the other."""


class Store(Protocol):
    """Keeps the files of requests: one folder per request and stage, one object per file id.

    Ids are canonical UUIDs. An object is never changed: it is put once, moved, and deleted.
    Everything but `put` may be called twice. Survives `kill -9` and power loss at any point.

    Raises `Unavailable` if a later retry may succeed (full disk, store away).
    """

    def put(
        self, request_id: str, file_id: str, content: Iterable[bytes], *, limit_bytes: int
    ) -> Stored:
        """Write a new object into the stage `draft`, whole or not at all, hashing it on the way.

        Raises `InvalidRequest` if the content is longer than `limit_bytes`, and whatever
        `content` raises; nothing of it stays.
        """
        ...

    def open(self, request_id: str, stage: Stage, file_id: str) -> BinaryIO:
        """Open an object as a real file at its beginning. Raises `NotFound`."""
        ...

    def move(self, request_id: str, file_id: str, old: Stage, new: Stage) -> None:
        """Move an object; nothing happens if it was moved already. Raises `NotFound`."""

    def delete(self, request_id: str, stage: Stage, file_id: str) -> None:
        """Delete an object; nothing happens if it is not there."""

    def drop(self, request_id: str) -> None:
        """Delete everything of a request, unlisted leftovers too."""

    def objects(self, request_id: str) -> Sequence[tuple[Stage, str]]:
        """List what there is of a request, sorted."""
        ...

    def remove_partial(self) -> int:
        """Remove what killed uploads left, and nothing that is being written. Returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """One sealed file, as a scanner sees it."""

    name: str
    direction: Direction
    size_bytes: int
    sha256: str
    open: Callable[[], BinaryIO]
    policy: AirlockPolicy
    context: Mapping[str, Any] = field(default_factory=dict)
    """What the author declares about the file: a claim, not evidence."""
    earlier: Callable[[TableMeta], Sequence[Released]] = lambda _meta: ()
    """The tables of the same dataset version that left before, or leave with this file."""
    listed: Callable[[], BinaryIO | None] = lambda: None
    """The project's own identifiers, one a line, if it keeps a list."""


class Scanner(Protocol):
    """Examines one file. A scanner that raises, for whatever reason, could not tell."""

    name: str
    version: str
    """Grows with every change of what it finds; recorded with each finding."""

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Return what was found; nothing means that it passes.

        What cannot be examined is a finding of severity `cannot_tell`, never silence.
        """
        ...


class Guard(Protocol):
    """Runs scanners so that a file can harm nothing but its own request."""

    def opened(self) -> AbstractContextManager[Sequence[Scanner]]:
        """Give the scanners for one request; what kills one is a finding `cannot_tell`.

        Raises `Unavailable` if a later retry may succeed.
        """
        ...


class WorkspaceRules(Protocol):
    """What the airlock reads of a workspace's policy."""

    @property
    def airlock_enabled(self) -> bool:
        """Whether files may cross the boundary of this workspace at all."""
        ...


class Policies(Protocol):
    """Knows the workspaces; the room `workspaces` is one."""

    def policy(self, workspace_id: str) -> WorkspaceRules:
        """Return the policy of a workspace. Raises `NotFound`."""
        ...

    def display_name(self, workspace_id: str) -> str:
        """Return what people call a workspace. Raises `NotFound`."""
        ...

    def is_deployed(self, workspace_id: str) -> bool:
        """Whether a workspace was ever installed with success. Raises `NotFound`."""
        ...

    def host_member(self, workspace_id: str, account_id: str) -> Member:
        """Return a member as the host knows them. Raises `NotFound`."""
        ...


class Desks(Protocol):
    """Makes and removes the user resources in which reviewers look at files."""

    def open(
        self, reviewer: Actor, request: AirlockRequest, link: str
    ) -> tuple[ReviewResource, Operation]:
        """Begin to make a reviewer's user resource as the request's workspace configures it.

        Raises `InvalidRequest` saying what of `airlock_review_config` is missing or wrong.
        """
        ...

    def is_healthy(self, resource: ReviewResource) -> bool:
        """Whether the user resource is enabled, deployed and running."""
        ...

    def remove(self, resource: ReviewResource) -> None:
        """Disable and delete a user resource; may be called twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every use case of the airlock stands on."""

    database: Database
    audit: Audit
    clock: Clock
    events: Events
    queue: Queue
    settings: Settings
    store: Store
    boxes: Boxes
    policies: Policies
    desks: Desks
    keys: KeyRing
    find_actor: FindActor = actor_of
    """Who stands behind an account id, with the roles of now."""

    @property
    def policy(self) -> AirlockPolicy:
        """The rules in force now."""
        return AirlockPolicy(
            threshold=self.settings.small_count_threshold,
            file_limit=self.settings.request_file_limit,
            bytes_limit=self.settings.request_bytes_limit,
        )
