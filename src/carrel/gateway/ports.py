"""What does the gateway need of the rooms below it?"""

from typing import Literal, Protocol

from carrel.core.actors import Actor
from carrel.people.rules import SessionKind


class Endpoint(Protocol):
    """Where a running tool is found, and what is closed there (workspaces.rules.Endpoint)."""

    @property
    def resource_id(self) -> str:
        """The user resource."""
        ...

    @property
    def workspace_id(self) -> str:
        """Its workspace."""
        ...

    @property
    def uid(self) -> int:
        """Its owner as the host knows them; nobody else may listen in its place."""
        ...

    @property
    def port(self) -> int:
        """Where it listens inside the workspace's namespace."""
        ...

    @property
    def prefix_style(self) -> Literal["keep", "strip"]:
        """Whether the tool wants to see its own prefix in the path."""
        ...

    @property
    def token(self) -> str:
        """What the gateway proves itself with to the tool."""
        ...

    @property
    def downloads_allowed(self) -> bool:
        """Whether files may be saved from its pages."""
        ...

    @property
    def clipboard_allowed(self) -> bool:
        """Whether its pages may use the clipboard by themselves."""
        ...

    @property
    def title(self) -> str:
        """What people call it."""
        ...


class Endpoints(Protocol):
    """Knows which tool an actor may open now; the room `workspaces` fulfils it."""

    def endpoint_for(self, actor: Actor, resource_id: str) -> Endpoint:
        """Return where the actor's own running tool is.

        Raises `NotFound` if it is not the actor's to know, `Unavailable` or `Conflict` if it does
        not run now.
        """
        ...


class Sessions(Protocol):
    """Knows who is signed in; the room `people` fulfils it."""

    def actor_for_token(
        self, token: str, *, request_id: str | None = None, kind: SessionKind | None = None
    ) -> Actor | None:
        """Return whose live session (of this `kind`) the token is of, or None."""
        ...

    def actor_for_session(
        self, session_id: str, *, request_id: str | None = None, kind: SessionKind | None = None
    ) -> Actor | None:
        """Return whose live session (of this `kind`) this is, or None."""
        ...
