"""How does a browser bring a program its tokens? By a code that counts once (RFC 6749, 7636)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from carrel.core.actors import Actor
from carrel.core.ids import fingerprint, new_secret
from carrel.people.issuer.errors import OAuthError, invalid_grant, missing
from carrel.people.issuer.grants import Answer, Flow, Grants
from carrel.people.issuer.ports import Ground
from carrel.people.issuer.rules import (
    CODE_SECONDS,
    RESPONSE_MODES,
    Asked,
    Client,
    fits_challenge,
    is_challenge,
    is_loopback,
)
from carrel.people.issuer.tables import authorization_codes
from carrel.people.tables import sessions

_LONGEST = 2000
_WRONG_CODE = "The authorization code is wrong, over or was used already. Sign in again."


@dataclass(frozen=True, slots=True)
class Wish:
    """An authorization request whose client and address are known, so that it may be answered."""

    client: Client
    redirect_uri: str
    state: str
    mode: str
    """How the answer is sent: `query`, `fragment` or `form_post`."""
    asked: Asked
    challenge: str
    nonce: str
    prompts: frozenset[str]
    login_hint: str

    @property
    def is_for_a_program(self) -> bool:
        """Whether any program on the person's machine could have asked (RFC 8252 section 8.6)."""
        return is_loopback(self.redirect_uri)


def check_parameters(given: Mapping[str, str]) -> None:
    """Raise `OAuthError` for an authorization request that cannot be met."""
    if given.get("response_type") != "code":
        raise OAuthError(
            "unsupported_response_type", 700054, "Only response_type=code is supported."
        )
    if given.get("response_mode", "query") not in RESPONSE_MODES:
        raise OAuthError("invalid_request", 90023, "response_mode is query, fragment or form_post.")
    if not given.get("scope"):
        raise missing("scope")
    if given.get("code_challenge_method") != "S256" or not is_challenge(
        given.get("code_challenge", "")
    ):
        raise OAuthError(
            "invalid_request",
            9002325,
            "Proof Key for Code Exchange is required: send code_challenge with "
            "code_challenge_method=S256.",
        )
    if given.get("request") or given.get("request_uri"):
        raise OAuthError("request_not_supported", 90015, "Send the parameters themselves.")
    if any(len(value) > _LONGEST for value in given.values()):
        raise OAuthError("invalid_request", 90015, "A parameter is too long.")


class Codes:
    """Use cases on authorization codes; the only writer of their table."""

    def __init__(self, ground: Ground, grants: Grants) -> None:
        self._ground = ground
        self._grants = grants

    def signed_in_at(self, actor: Actor) -> datetime | None:
        """Return when the actor's browser signed in."""
        with self._ground.database.read() as connection:
            return _signed_in_at(connection, actor)

    def check(self, actor: Actor, wish: Wish) -> None:
        """Raise `OAuthError` unless the actor may have what is asked for."""
        with self._ground.database.write() as connection:
            self._grants.check_allowed(connection, actor.id, wish.asked)

    def issue(self, actor: Actor, wish: Wish) -> str:
        """Return a code for a person who agreed. Raises `OAuthError`."""
        now = self._ground.clock.now()
        code = new_secret(32)
        table = authorization_codes
        with self._ground.database.write() as connection:
            self._grants.check_allowed(connection, actor.id, wish.asked)
            connection.execute(table.delete().where(table.c.expires_at <= now - timedelta(days=1)))
            connection.execute(
                table.insert(),
                {
                    "code_hash": fingerprint(code),
                    "account_id": actor.id,
                    "client_id": wish.client.id,
                    "redirect_uri": wish.redirect_uri,
                    "challenge": wish.challenge,
                    "scope": wish.asked.scope,
                    "nonce": wish.nonce,
                    "signed_in_at": _signed_in_at(connection, actor) or now,
                    "expires_at": now + timedelta(seconds=CODE_SECONDS),
                },
            )
            self._ground.audit.append(
                connection,
                actor,
                "code.issued",
                actor.id,
                client=wish.client.id,
                audience=wish.asked.resource,
            )
        return code

    def exchange(self, client: Client, given: Mapping[str, str]) -> Answer:
        """Return the tokens for a code. Raises `OAuthError`.

        A code that comes a second time ends the grant that came of it (RFC 6749 section 4.1.2).
        """
        for name in ("code", "redirect_uri", "code_verifier"):
            if not given.get(name):
                raise missing(name)
        unknown = invalid_grant(9002313, _WRONG_CODE)
        self._grants.check_known(authorization_codes.c.code_hash, given["code"], unknown)
        with self._ground.database.write() as connection:
            answer = self._exchange(connection, client, given)
        if isinstance(answer, OAuthError):
            raise answer  # after the transaction, which may have ended a grant
        return answer

    def _exchange(
        self, connection: Connection, client: Client, given: Mapping[str, str]
    ) -> Answer | OAuthError:
        hashed = fingerprint(given["code"])
        query = select(authorization_codes).where(authorization_codes.c.code_hash == hashed)
        row = connection.execute(query).one_or_none()
        if row is None or row.client_id != client.id:
            return invalid_grant(9002313, _WRONG_CODE)
        table = authorization_codes
        now = self._ground.clock.now()
        claimed = connection.execute(
            update(table)
            .where(table.c.code_hash == hashed, table.c.used_at.is_(None))
            .values(used_at=now)
        )
        if claimed.rowcount != 1:
            return self._end_reused(connection, client, hashed)
        if now >= row.expires_at:
            return invalid_grant(70008, _WRONG_CODE)
        if row.redirect_uri != given["redirect_uri"]:
            return invalid_grant(50011, "The redirect_uri is not the one of the code.")
        if not fits_challenge(given["code_verifier"], row.challenge):
            return invalid_grant(50148, "The code_verifier does not match the code_challenge.")
        return self._redeem(connection, client, row, given.get("scope", ""))

    def _redeem(
        self, connection: Connection, client: Client, row: Row[Any], scope: str
    ) -> Answer | OAuthError:
        try:
            holder = self._grants.holder(connection, row.account_id)
            asked = self._grants.parse(scope or row.scope)
            agreed = self._grants.parse(row.scope)
            if asked.resource != agreed.resource:
                return invalid_grant(70000, "The scope is not the one that was agreed to.")
            self._grants.check_allowed(connection, row.account_id, agreed)
        except OAuthError as error:
            return error
        grant_id = None
        if agreed.wants_refresh_token:
            grant_id = self._grants.begin(connection, row.account_id, client)
            connection.execute(
                update(authorization_codes)
                .where(authorization_codes.c.code_hash == row.code_hash)
                .values(grant_id=grant_id)
            )
        flow = Flow("authorization_code", grant_id, row.nonce, row.signed_in_at)
        return self._grants.for_person(connection, holder, client, agreed, flow)

    def _end_reused(self, connection: Connection, client: Client, hashed: str) -> OAuthError:
        """End what came of a code: read now, because the first exchange may just have ended."""
        query = select(authorization_codes).where(authorization_codes.c.code_hash == hashed)
        row = connection.execute(query).one()
        if row.grant_id is not None:
            self._grants.end(connection, row.grant_id)
        self._grants.record(
            connection, row.account_id, "code.reused", row.account_id, client=client.id
        )
        return invalid_grant(54005, _WRONG_CODE)


def _signed_in_at(connection: Connection, actor: Actor) -> datetime | None:
    query = select(sessions.c.created_at).where(sessions.c.id == actor.session_id)
    found: datetime | None = connection.execute(query).scalar()
    return found
