"""Whose is a genuine access token, and what may its holder do now?"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from carrel.core.actors import CORE_AUDIENCE, Actor, TreRole, WorkspaceRole, system
from carrel.core.errors import Conflict, InvalidRequest
from carrel.core.ids import new_id
from carrel.people.rules import (
    Account,
    ExternalLink,
    check_admin,
    free_username,
    plausible_email,
    plausible_name,
)
from carrel.people.service.base import Room, make_account
from carrel.people.tables import account_roles, accounts, external_identities, memberships
from carrel.people.tokens.rules import Claims, Refusal, TokenRefused

_ISSUER = system("tokens")
_MANY_NAMES = 50


class Tokens(Room):
    """Use cases on who is behind access tokens."""

    def actor_for_claims(
        self,
        claims: Claims,
        *,
        is_own: bool,
        audience: str,
        with_memberships: bool,
        request_id: str | None = None,
    ) -> Actor:
        """Return the actor with what the account may do now, in one query.

        `audience` is `core` or a workspace id. A core actor has the TRE roles, and roles in
        workspaces only `with_memberships`; a workspace's actor only the roles there. Roles of
        the token count only from a foreign issuer, and only TRE roles. Raises `TokenRefused`.
        """
        is_core = audience == CORE_AUDIENCE
        query = _person(is_core=is_core, with_memberships=with_memberships, audience=audience)
        if is_own:
            query = query.where(accounts.c.id == claims.subject)
        else:
            query = query.join(
                external_identities, external_identities.c.account_id == accounts.c.id
            ).where(
                external_identities.c.issuer == claims.issuer,
                external_identities.c.subject == claims.subject,
            )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        if not rows and not is_own and self._settings.foreign_accounts == "create":
            self._make_foreign(claims)
            with self._database.read() as connection:
                rows = connection.execute(query).all()
        self._check_usable(rows, claims)
        tre_roles = _tre_roles(rows, claims, is_own=is_own) if is_core else frozenset()
        return Actor(
            id=rows[0].id,
            name=rows[0].display_name,
            tre_roles=tre_roles,
            workspace_roles=_workspace_roles(rows),
            request_id=request_id,
            audience=audience,
        )

    def link_identity(self, actor: Actor, account_id: str, issuer: str, subject: str) -> None:
        """Let the tokens of a person of another issuer stand for an account. For administrators.

        May be called twice. Raises `Conflict` if the identity stands for another account.
        """
        check_admin(actor)
        if not 1 <= len(subject) <= 255 or not 1 <= len(issuer) <= 255:
            raise InvalidRequest("An issuer and a subject have 1 to 255 characters each.")
        with self._database.write() as connection:
            self._row(connection, account_id)
            held = connection.execute(_identity(issuer, subject)).one_or_none()
            if held is not None and held.account_id != account_id:
                raise Conflict("This identity belongs to another account. Unlink it there first.")
            if held is None:
                self._link(connection, actor, account_id, issuer, subject)

    def unlink_identity(self, actor: Actor, account_id: str, issuer: str, subject: str) -> None:
        """Take the link away; may be called twice. For administrators."""
        check_admin(actor)
        with self._database.write() as connection:
            self._row(connection, account_id)
            gone = connection.execute(
                external_identities.delete().where(
                    external_identities.c.issuer == issuer,
                    external_identities.c.subject == subject,
                    external_identities.c.account_id == account_id,
                )
            )
            if gone.rowcount:
                self._audit.append(connection, actor, "account.unlinked", account_id, issuer=issuer)

    def list_identities(self, actor: Actor, account_id: str) -> list[ExternalLink]:
        """Return the identities that stand for an account. For administrators."""
        check_admin(actor)
        query = (
            select(external_identities)
            .where(external_identities.c.account_id == account_id)
            .order_by(external_identities.c.issuer, external_identities.c.subject)
        )
        with self._database.read() as connection:
            return [ExternalLink(row.issuer, row.subject) for row in connection.execute(query)]

    # -------------------------------------------------------------------------------------------

    def _make_foreign(self, claims: Claims) -> Account | None:
        """Make the account of somebody whose token is seen for the first time."""
        try:
            with self._database.write() as connection:
                if connection.execute(_identity(claims.issuer, claims.subject)).first():
                    return None
                row = connection.execute(
                    accounts.insert().returning(accounts),
                    {
                        "id": new_id(),
                        "username": self._free_name(connection, claims.username),
                        "display_name": plausible_name(claims.name or claims.username),
                        "email": plausible_email(claims.email),
                        "is_active": True,
                        "created_at": self._clock.now(),
                    },
                ).one()
                self._audit.append(
                    connection, _ISSUER, "account.created", row.id, username=row.username,
                    issuer=claims.issuer,
                )  # fmt: skip
                self._link(connection, _ISSUER, row.id, claims.issuer, claims.subject)
                return make_account(row, frozenset())
        except Conflict:  # another request made it at the same moment
            return None

    def _link(
        self, connection: Connection, actor: Actor, account_id: str, issuer: str, subject: str
    ) -> None:
        connection.execute(
            external_identities.insert(),
            {
                "issuer": issuer,
                "subject": subject,
                "account_id": account_id,
                "created_at": self._clock.now(),
            },
        )
        self._audit.append(
            connection, actor, "account.linked", account_id, issuer=issuer, external=subject
        )

    @staticmethod
    def _free_name(connection: Connection, wanted: str) -> str:
        start = free_username(wanted, 0)
        taken = set(
            connection.execute(
                select(accounts.c.username).where(
                    accounts.c.username.startswith(start[:24], autoescape=True)
                )
            ).scalars()
        )
        names = (free_username(wanted, number) for number in range(_MANY_NAMES))
        return next((name for name in names if name not in taken), f"p{new_id()[:8]}")

    @staticmethod
    def _check_usable(rows: Iterable[Row[Any]], claims: Claims) -> None:
        first = next(iter(rows), None)
        if first is None or not first.is_active:
            why = "no such account" if first is None else "account disabled"
            raise TokenRefused(Refusal.ACCOUNT, why, claimed={"oid": claims.subject})
        if _is_older(claims.issued_at, first.tokens_from):
            raise TokenRefused(Refusal.ACCOUNT, "made too early", claimed={"oid": claims.subject})


def _is_older(issued_at: float | None, limit: datetime | None) -> bool:
    """Whether a token was made before the moment from which they count.

    One that says only the second of that moment may have been made before it, so it counts as
    older: its holder gets a new one.
    """
    return limit is not None and (issued_at is None or issued_at < limit.timestamp())


def _person(*, is_core: bool, with_memberships: bool, audience: str) -> Select[Any]:
    """Return the query of one account, a row for each of its roles that matter here."""
    columns: list[Any] = [
        accounts.c.id,
        accounts.c.display_name,
        accounts.c.is_active,
        accounts.c.tokens_from,
    ]
    source: Any = accounts
    if is_core:
        source = source.outerjoin(account_roles)
        columns.append(account_roles.c.role.label("tre_role"))
    if with_memberships or not is_core:
        held = memberships.c.account_id == accounts.c.id
        if not is_core:
            held &= memberships.c.workspace_id == audience
        source = source.outerjoin(memberships, held)
        columns += [memberships.c.workspace_id, memberships.c.role]
    return select(*columns).select_from(source)


def _tre_roles(rows: Iterable[Row[Any]], claims: Claims, *, is_own: bool) -> frozenset[TreRole]:
    if not is_own:
        return frozenset(role for role in TreRole if role.value in claims.roles)
    return frozenset(TreRole(row.tre_role) for row in rows if row.tre_role is not None)


def _workspace_roles(rows: Iterable[Row[Any]]) -> dict[str, frozenset[WorkspaceRole]]:
    roles: dict[str, frozenset[WorkspaceRole]] = {}
    for row in rows:
        workspace_id = getattr(row, "workspace_id", None)
        if workspace_id is not None:
            known = roles.get(workspace_id, frozenset())
            roles[workspace_id] = known | {WorkspaceRole(row.role)}
    return roles


def _identity(issuer: str, subject: str) -> Select[Any]:
    return select(external_identities).where(
        external_identities.c.issuer == issuer, external_identities.c.subject == subject
    )
