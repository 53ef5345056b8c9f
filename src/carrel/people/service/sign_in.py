"""Who is it? Sign-in and sessions."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from carrel.core.actors import Actor, TreRole, WorkspaceRole, system
from carrel.core.errors import NotAuthenticated
from carrel.core.ids import fingerprint, new_id, new_secret
from carrel.people.access import bump_access_epoch
from carrel.people.events import SessionEnded
from carrel.people.ports import ExternalIdentity
from carrel.people.rules import (
    SIGN_IN_FAILED,
    TOUCH_SECONDS,
    Session,
    SessionKind,
    SignedIn,
    is_over,
)
from carrel.people.service.totp import SecondFactor
from carrel.people.tables import account_roles, accounts, memberships, sessions

_SWEEPER = system("sign-in")


class SignIn(SecondFactor):
    """Use cases on sessions."""

    def sign_in(
        self,
        username: str,
        password: str,
        totp_code: str | None = None,
        *,
        kind: SessionKind = "browser",
        client: str,
    ) -> SignedIn:
        """Begin a session. `client` is the address the request came from.

        Raises `NotAuthenticated` with one sentence for every kind of failure, `Denied` with the
        seconds to wait after too many of them (also for names that do not exist).
        """
        name = username.strip().lower()[:64]
        self._guesses.count(name, client)
        identity = self._identify(name, password)
        with self._database.write() as connection:
            account_id = self._proved(connection, identity, totp_code)
            if account_id is None:
                self._guesses.refuse(connection, name, client)
            else:
                self._guesses.forgive(connection, name, client)
                return self._begin(connection, account_id, kind, client)
        raise NotAuthenticated(SIGN_IN_FAILED)

    def begin_session(
        self, connection: Connection, account_id: str, *, kind: SessionKind, client: str
    ) -> SignedIn:
        """Begin a session in the caller's transaction, for a person who has proved who they are.

        Raises `NotAuthenticated` if the account is disabled or an application's.
        """
        row = self._row(connection, account_id)
        if not row.is_active or row.kind != "person":
            raise NotAuthenticated("This account cannot sign in. Ask a TRE administrator.")
        return self._begin(connection, account_id, kind, client)

    def sign_out(self, token: str) -> None:
        """End the session of this token. May be called twice."""
        with self._database.write() as connection:
            row = self._session_row(connection, sessions.c.token_hash == fingerprint(token))
            if row is not None:
                actor = Actor(id=row.account_id, name=row.display_name, session_id=row.id)
                self._end(connection, actor, row.id, "signed out")

    def actor_for_token(
        self, token: str, *, request_id: str | None = None, kind: SessionKind | None = None
    ) -> Actor | None:
        """Return who holds the token of a live session (of this `kind`), or None."""
        found = self._live(sessions.c.token_hash == fingerprint(token), request_id)
        return found[0] if found and kind in (None, found[1].kind) else None

    def actor_for_session(
        self, session_id: str, *, request_id: str | None = None, kind: SessionKind | None = None
    ) -> Actor | None:
        """Return whose live session this is, or None; for parts of Carrel that keep the id."""
        found = self._live(sessions.c.id == session_id, request_id)
        return found[0] if found and kind in (None, found[1].kind) else None

    def find_session(
        self, token: str, *, request_id: str | None = None
    ) -> tuple[Actor, Session] | None:
        """Return the live session of a token with its actor, or None."""
        return self._live(sessions.c.token_hash == fingerprint(token), request_id)

    def end_expired_sessions(self) -> int:
        """End every session that is over; returns how many. For a part of Carrel, now and then."""
        now = self._clock.now()
        idle = (sessions.c.kind == "browser") & (sessions.c.last_seen_at <= now - self._idle)
        with self._database.write() as connection:
            over = select(sessions.c.id).where((sessions.c.expires_at <= now) | idle)
            doomed = connection.execute(over).scalars().all()
            for session_id in doomed:
                self._end(connection, _SWEEPER, session_id, "expired")
            return len(doomed)

    # Who is it? ----------------------------------------------------------------------------

    def _identify(self, username: str, password: str) -> ExternalIdentity | None:
        for provider in self._proofs.providers:
            if identity := provider.authenticate(username, password):
                return identity
        return None

    def _proved(
        self, connection: Connection, identity: ExternalIdentity | None, code: str | None
    ) -> str | None:
        """Return the account's id if identity and code are right; a code counts once."""
        if identity is None or identity.provider != "local":
            return None
        row = self._row(connection, identity.subject)
        if not row.is_active or not self._accept_code(connection, row, code):
            return None
        return str(row.id)

    # Sessions ------------------------------------------------------------------------------

    def _begin(
        self, connection: Connection, account_id: str, kind: SessionKind, client: str
    ) -> SignedIn:
        now = self._clock.now()
        token = new_secret()
        session = Session(
            id=new_id(),
            account_id=account_id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + timedelta(hours=self._settings.session_hours),
            kind=kind,
        )
        connection.execute(
            sessions.insert(),
            {
                "id": session.id,
                "token_hash": fingerprint(token),
                "account_id": account_id,
                "kind": kind,
                "created_at": now,
                "last_seen_at": now,
                "expires_at": session.expires_at,
            },
        )
        row = self._row(connection, account_id)
        actor = Actor(id=account_id, name=row.display_name, session_id=session.id)
        self._audit.append(
            connection, actor, "session.started", session.id, kind=kind, client=client
        )
        return SignedIn(token, session)

    def _end(self, connection: Connection, actor: Actor, session_id: str, why: str) -> None:
        connection.execute(sessions.delete().where(sessions.c.id == session_id))
        self._audit.append(connection, actor, "session.ended", session_id, why=why)
        self._events.publish(connection, SessionEnded(session_id))
        bump_access_epoch(connection)

    def _session_row(self, connection: Connection, which: ColumnElement[bool]) -> Row[Any] | None:
        query = (
            select(sessions, accounts.c.display_name)
            .join(accounts)
            .where(which, accounts.c.is_active)
        )
        return connection.execute(query).one_or_none()

    def _live(
        self, which: ColumnElement[bool], request_id: str | None
    ) -> tuple[Actor, Session] | None:
        now = self._clock.now()
        with self._database.read() as connection:
            row = self._session_row(connection, which)
            if row is None:
                return None
            session = _session(row)
            if is_over(session, self._idle, now):
                return None
            actor = _actor(connection, row, request_id)
        if now - session.last_seen_at >= timedelta(seconds=TOUCH_SECONDS):
            self._touch(session.id, now)
        return actor, session

    def _touch(self, session_id: str, now: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(sessions).where(sessions.c.id == session_id).values(last_seen_at=now)
            )


def _session(row: Row[Any]) -> Session:
    return Session(
        id=row.id,
        account_id=row.account_id,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        kind=row.kind,
    )


def _actor(connection: Connection, row: Row[Any], request_id: str | None) -> Actor:
    tre = select(account_roles.c.role).where(account_roles.c.account_id == row.account_id)
    held = select(memberships.c.workspace_id, memberships.c.role).where(
        memberships.c.account_id == row.account_id
    )
    roles: dict[str, frozenset[WorkspaceRole]] = {}
    for workspace_id, role in connection.execute(held):
        roles[workspace_id] = roles.get(workspace_id, frozenset()) | {WorkspaceRole(role)}
    return Actor(
        id=row.account_id,
        name=row.display_name,
        tre_roles=frozenset(map(TreRole, connection.execute(tre).scalars())),
        workspace_roles=roles,
        session_id=row.id,
        request_id=request_id,
    )
