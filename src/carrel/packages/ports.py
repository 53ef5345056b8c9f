"""What do the doors for software need: an ecosystem's adapter, an upstream, the open workspaces?"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from carrel.packages.rules import Index, IndexFile


@dataclass(frozen=True, slots=True)
class IndexReply:
    """What upstream said about one project."""

    url: str
    """Where the answer came from, after redirects; relative links start here."""
    body: bytes
    content_type: str
    etag: str = ""
    is_unchanged: bool = False
    """Upstream said 304: what the gateway holds is still right."""


@dataclass(frozen=True, slots=True)
class FileReply:
    """A file that upstream is sending."""

    length: int | None
    """Bytes to come, if upstream says so."""
    chunks: AsyncIterator[bytes]


class Upstream(Protocol):
    """Reads from the world outside, with headers of its own and nothing of a workspace's."""

    async def fetch_index(self, url: str, *, accept: str, etag: str = "") -> IndexReply:
        """Read a project's page.

        Raises `Refusal`: UNKNOWN (there is no such project), UPSTREAM_REFUSED (it answered
        with another refusal) or UPSTREAM_AWAY (a retry may succeed).
        """
        ...

    def open_file(self, url: str) -> AbstractAsyncContextManager[FileReply]:
        """Read a file in chunks. Raises `Refusal` as `fetch_index` does."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A project's page as a client reads it."""

    body: bytes
    content_type: str


class Adapter(Protocol):
    """All that differs between ecosystems. Pure: policy, cache and transport are common."""

    ecosystem: str
    """First part of the path, for instance `pypi`."""
    accept: str
    """`Accept` header for the upstream index."""

    def canonical(self, name: str) -> str | None:
        """Return the one spelling of a project's name, or None if it is no name."""
        ...

    def index_url(self, name: str) -> str:
        """Return where upstream keeps the page of a canonical name."""
        ...

    def parse_index(self, name: str, reply: IndexReply) -> Index:
        """Read upstream's page; files of another name or without SHA-256 are left out.

        Raises `Refusal` (UPSTREAM_AWAY) if it is not a page of this ecosystem.
        """
        ...

    def file_projects(self, filename: str) -> Sequence[str]:
        """Return the canonical names of the projects that a file so named may belong to."""
        ...

    def content_type(self, accept: str) -> str:
        """Choose the format of a page by the client's `Accept` header."""
        ...

    def render_index(self, name: str, files: Sequence[IndexFile], content_type: str) -> Page:
        """Write the page of these files in a format that `content_type` chose.

        Files are linked as `../../files/<digest>/<filename>`.
        """
        ...


class OpenWorkspace(Protocol):
    """A workspace whose doors for software are to be held open."""

    @property
    def id(self) -> str:
        """Workspace id."""
        ...

    @property
    def package_gateway(self) -> bool:
        """Whether the package gateway listens inside."""
        ...

    @property
    def egress_proxy(self) -> bool:
        """Whether the egress proxy listens inside: only in unrestricted workspaces."""
        ...


class OpenWorkspaces(Protocol):
    """Knows which workspaces are open now."""

    def open_workspaces(self) -> Sequence[OpenWorkspace]:
        """List them. Raises `Unavailable` if the database is away."""
        ...
