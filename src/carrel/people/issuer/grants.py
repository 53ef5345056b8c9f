"""Who gets tokens, for what, and how long may a client come back for more?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, select, update

from carrel.core.actors import Actor, TreRole
from carrel.core.ids import fingerprint, new_id, new_secret
from carrel.people.issuer.errors import (
    OAuthError,
    disabled_account,
    invalid_grant,
    invalid_scope,
    unknown_resource,
)
from carrel.people.issuer.keys import SigningKeys
from carrel.people.issuer.ports import Ground
from carrel.people.issuer.rules import (
    ACCESS_SECONDS,
    CLI_SCOPE,
    CORE,
    Asked,
    Client,
    parse_scope,
)
from carrel.people.issuer.tables import (
    authorization_codes,
    device_codes,
    refresh_tokens,
    token_grants,
)
from carrel.people.issuer.tokens import Holder, Mint
from carrel.people.tables import account_roles, accounts, memberships
from carrel.people.tokens.identity import SCOPE_PREFIX, USER_SCOPE

Answer = dict[str, Any]
"""The JSON of the token endpoint."""
_OVER = "The refresh token is over or was ended. Sign in again."
_UNKNOWN = "The refresh token is not known here. Sign in again."


@dataclass(frozen=True, slots=True)
class Flow:
    """How somebody came to ask for tokens."""

    grant_type: str
    grant_id: str | None = None
    """The grant that a refresh token continues."""
    nonce: str = ""
    signed_in_at: datetime | None = None


class Grants:
    """Makes the answers of the token endpoint; the only writer of grants and refresh tokens."""

    def __init__(self, ground: Ground, keys: SigningKeys) -> None:
        self._ground = ground
        self._mint = Mint(ground.identity, keys, ground.clock)
        self._longest = timedelta(hours=ground.settings.session_hours)

    # What may be asked ---------------------------------------------------------------------

    def parse(self, scope: str, client: Client | None = None) -> Asked:
        """Understand a scope. Raises `OAuthError` if it cannot be asked for.

        The scope `carrel` only with a `client` that may have sessions.
        """
        asked = parse_scope(scope, api_client_id=self._ground.identity.api_client_id)
        if asked.resource == CLI_SCOPE and not (client and client.may_have_sessions):
            raise invalid_scope("Only `carrel login` may ask for the scope carrel.")
        return asked

    def check_allowed(self, connection: Connection, account_id: str, asked: Asked) -> None:
        """Raise `OAuthError` unless the account may have a token for what was asked."""
        self._roles(connection, account_id, asked)

    def _roles(self, connection: Connection, account_id: str, asked: Asked) -> Sequence[str]:
        """Return the roles that a token carries. Raises `OAuthError` for foreign workspaces.

        A workspace that is not there and one of others are refused with the same words.
        """
        held = select(account_roles.c.role).where(account_roles.c.account_id == account_id)
        tre_roles = sorted(connection.execute(held).scalars())
        if asked.resource in (CORE, CLI_SCOPE):
            return tre_roles
        inside = select(memberships.c.role).where(
            memberships.c.account_id == account_id, memberships.c.workspace_id == asked.resource
        )
        roles = sorted(connection.execute(inside).scalars())
        is_there = self._ground.is_workspace(connection, asked.resource)
        if not is_there or not (roles or TreRole.ADMIN in tre_roles):
            raise unknown_resource(SCOPE_PREFIX + asked.resource)
        return roles

    # Answers -------------------------------------------------------------------------------

    def for_person(
        self, connection: Connection, holder: Holder, client: Client, asked: Asked, flow: Flow
    ) -> Answer:
        """Return the tokens for a person who agreed. Raises `OAuthError`."""
        roles = self._roles(connection, holder.account_id, asked)
        answer = self._access(holder, client.id, asked, roles)
        answer["scope"] = asked.granted(self._resource_scope(asked.resource))
        answer["client_info"] = self._mint.account_hint(holder)
        if asked.wants_id_token:
            answer["id_token"] = self._mint.id_token(
                holder, client_id=client.id, nonce=flow.nonce, signed_in_at=flow.signed_in_at
            )
        if flow.grant_id is not None:
            answer["refresh_token"] = self._new_refresh(connection, flow.grant_id)
        self._record(connection, holder, client.id, asked, flow.grant_type)
        return answer

    def for_application(
        self, connection: Connection, account_id: str, client_id: str, asked: Asked
    ) -> Answer:
        """Return the access token of an application; there is nothing to refresh."""
        holder = self.holder(connection, account_id)
        roles = self._roles(connection, account_id, asked)
        self._record(connection, holder, client_id, asked, "client_credentials")
        return self._access(holder, client_id, asked, roles)

    def _access(self, holder: Holder, client_id: str, asked: Asked, roles: Sequence[str]) -> Answer:
        audience = self._audience(asked.resource)
        token = self._mint.access_token(holder, audience=audience, client_id=client_id, roles=roles)
        return {
            "token_type": "Bearer",
            "expires_in": ACCESS_SECONDS - 1,
            "ext_expires_in": ACCESS_SECONDS - 1,
            "access_token": token,
        }

    def holder(self, connection: Connection, account_id: str) -> Holder:
        """Return whose tokens they will be. Raises `OAuthError` for a disabled account."""
        row = connection.execute(select(accounts).where(accounts.c.id == account_id)).one_or_none()
        if row is None or not row.is_active:
            raise disabled_account()
        return Holder(
            account_id=row.id,
            username=row.username,
            display_name=row.display_name,
            email=row.email,
            is_application=row.kind == "application",
        )

    # Coming back ---------------------------------------------------------------------------

    def begin(self, connection: Connection, account_id: str, client: Client) -> str:
        """Begin a grant and return its id; it ends when a session of the portal would."""
        now = self._ground.clock.now()
        grant_id = new_id()
        connection.execute(token_grants.delete().where(token_grants.c.expires_at <= now))
        connection.execute(
            token_grants.insert(),
            {
                "id": grant_id,
                "account_id": account_id,
                "client_id": client.id,
                "created_at": now,
                "expires_at": now + self._longest,
            },
        )
        return grant_id

    def end(self, connection: Connection, grant_id: str) -> None:
        """End a grant with every refresh token of it. May be called twice."""
        connection.execute(refresh_tokens.delete().where(refresh_tokens.c.grant_id == grant_id))
        connection.execute(token_grants.delete().where(token_grants.c.id == grant_id))

    def refresh(self, client: Client, token: str, scope: str) -> Answer:
        """Exchange a refresh token for an access token and the next refresh token.

        A token that comes a second time was stolen by one of the two who have it: the whole
        grant ends. Raises `OAuthError`.
        """
        self.check_known(refresh_tokens.c.token_hash, token, invalid_grant(9002313, _UNKNOWN))
        with self._ground.database.write() as connection:
            refusal, answer = self._refresh(connection, client, token, scope)
        if refusal is not None:
            raise refusal  # after the transaction, which may have ended the grant
        return answer

    def _refresh(
        self, connection: Connection, client: Client, token: str, scope: str
    ) -> tuple[OAuthError | None, Answer]:
        hashed = fingerprint(token)
        query = (
            select(token_grants, refresh_tokens.c.used_at)
            .join(refresh_tokens)
            .where(refresh_tokens.c.token_hash == hashed)
        )
        row = connection.execute(query).one_or_none()
        if row is None or row.client_id != client.id:
            return invalid_grant(9002313, _UNKNOWN), {}
        now = self._ground.clock.now()
        if now >= row.expires_at:
            return invalid_grant(700082, _OVER), {}
        claimed = connection.execute(
            update(refresh_tokens)
            .where(refresh_tokens.c.token_hash == hashed, refresh_tokens.c.used_at.is_(None))
            .values(used_at=now)
        )
        if claimed.rowcount != 1:
            self._end_reused(connection, row.account_id, client, row.id)
            return invalid_grant(50173, _OVER), {}
        try:
            holder = self.holder(connection, row.account_id)
        except OAuthError as error:
            self.end(connection, row.id)
            return error, {}
        asked = self.parse(scope)
        flow = Flow("refresh_token", row.id)
        return None, self.for_person(connection, holder, client, asked, flow)

    def check_known(self, column: Column[str], secret: str, refusal: OAuthError) -> None:
        """Raise `refusal` if nothing with this secret was ever stored.

        Before a transaction that writes: strangers with made-up secrets must not hold it up.
        """
        with self._ground.database.read() as connection:
            found = connection.execute(select(column).where(column == fingerprint(secret))).first()
        if found is None:
            raise refusal

    def _end_reused(
        self, connection: Connection, account_id: str, client: Client, grant_id: str
    ) -> None:
        self.end(connection, grant_id)
        self.record(connection, account_id, "refresh.reused", account_id, client=client.id)

    def _new_refresh(self, connection: Connection, grant_id: str) -> str:
        token, now = new_secret(48), self._ground.clock.now()
        values = {"token_hash": fingerprint(token), "grant_id": grant_id, "created_at": now}
        connection.execute(refresh_tokens.insert(), values)
        return token

    # Names and records ---------------------------------------------------------------------

    def _audience(self, resource: str) -> str:
        return self._ground.identity.api_client_id if resource == CORE else resource

    def _resource_scope(self, resource: str) -> str:
        return f"{SCOPE_PREFIX}{self._audience(resource)}/{USER_SCOPE}"

    def _record(
        self, connection: Connection, holder: Holder, client_id: str, asked: Asked, grant: str
    ) -> None:
        self.record(
            connection,
            holder.account_id,
            "token.issued",
            holder.account_id,
            client=client_id,
            audience=asked.resource,
            grant=grant,
        )

    def record(
        self, connection: Connection, account_id: str, action: str, subject: str, **details: str
    ) -> None:
        """Append an audit event on behalf of an account."""
        query = select(accounts.c.display_name).where(accounts.c.id == account_id)
        name = connection.execute(query).scalar() or account_id
        actor = Actor(id=account_id, name=str(name))
        self._ground.audit.append(connection, actor, action, subject, **details)


def end_grants(connection: Connection, account_id: str) -> None:
    """End whatever an account agreed to: it is disabled, or its password is new."""
    mine = select(token_grants.c.id).where(token_grants.c.account_id == account_id)
    connection.execute(refresh_tokens.delete().where(refresh_tokens.c.grant_id.in_(mine)))
    for table in (token_grants, authorization_codes, device_codes):
        connection.execute(table.delete().where(table.c.account_id == account_id))
