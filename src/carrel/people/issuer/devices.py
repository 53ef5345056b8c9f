"""How does a program without a browser get tokens? A person types its code elsewhere (RFC 8628)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from carrel.core.actors import Actor
from carrel.core.errors import InvalidRequest
from carrel.core.ids import fingerprint, new_secret
from carrel.people.issuer.attempts import Attempts
from carrel.people.issuer.errors import OAuthError, invalid_grant
from carrel.people.issuer.grants import Answer, Flow, Grants
from carrel.people.issuer.ports import Ground
from carrel.people.issuer.rules import (
    CLI_SCOPE,
    DEVICE_SECONDS,
    DEVICES_IN_ALL,
    DEVICES_PER_ADDRESS,
    POLL_SECONDS,
    SLOWER_SECONDS,
    Asked,
    Client,
    new_user_code,
    shown_user_code,
    typed_user_code,
)
from carrel.people.issuer.tables import device_codes

_WRONG = (
    "There is no such code, or it is over. Compare it letter by letter, or begin again in the "
    "program that showed it."
)
_PENDING = "The person has not answered yet. Ask again after the interval."


@dataclass(frozen=True, slots=True)
class Device:
    """A program that waits for a person's answer."""

    client_id: str
    user_code: str
    """As people read it."""
    address: str
    """From where it asked."""
    asked: Asked
    created_at: datetime


class Devices:
    """Use cases on device codes; the only writer of their table."""

    def __init__(self, ground: Ground, grants: Grants) -> None:
        self._ground = ground
        self._grants = grants
        self._attempts = Attempts(ground.database, ground.clock)

    # For programs --------------------------------------------------------------------------

    def start(self, client: Client, scope: str, address: str) -> Answer:
        """Begin to wait for a person. Raises `OAuthError` if too many wait already."""
        asked = self._grants.parse(scope, client)
        now = self._ground.clock.now()
        device_code, user_code = new_secret(48), new_user_code()
        with self._ground.database.write() as connection:
            table = device_codes
            connection.execute(table.delete().where(table.c.expires_at <= now))
            self._check_room(connection, address)
            connection.execute(
                table.insert(),
                {
                    "device_hash": fingerprint(device_code),
                    "user_hash": fingerprint(user_code),
                    "client_id": client.id,
                    "scope": asked.scope,
                    "address": address[:64],
                    "created_at": now,
                    "expires_at": now + timedelta(seconds=DEVICE_SECONDS),
                    "interval_seconds": POLL_SECONDS,
                },
            )
        page = f"{self._ground.settings.portal_url}/device"
        shown = shown_user_code(user_code)
        return {
            "device_code": device_code,
            "user_code": shown,
            "verification_uri": page,
            "expires_in": DEVICE_SECONDS,
            "interval": POLL_SECONDS,
            "message": f"To sign in, open the page {page} in a browser and type the code {shown}.",
        }

    def _check_room(self, connection: Connection, address: str) -> None:
        table = device_codes
        waiting = select(func.count()).select_from(table)
        mine = waiting.where(table.c.address == address[:64])
        is_full = connection.execute(mine).scalar_one() >= DEVICES_PER_ADDRESS
        if is_full or connection.execute(waiting).scalar_one() >= DEVICES_IN_ALL:
            raise OAuthError(
                "temporarily_unavailable",
                90055,
                "Too many programs wait for a person already. Try again in some minutes.",
            )

    def poll(self, client: Client, device_code: str, address: str) -> Answer:
        """Return the tokens if the person agreed. Raises `OAuthError` as RFC 8628 has it."""
        self._grants.check_known(device_codes.c.device_hash, device_code, _unknown())
        with self._ground.database.write() as connection:
            answer = self._poll(connection, client, device_code, address)
        if isinstance(answer, OAuthError):
            raise answer  # after the transaction, which counts how often is asked
        return answer

    def _poll(
        self, connection: Connection, client: Client, device_code: str, address: str
    ) -> Answer | OAuthError:
        which = device_codes.c.device_hash == fingerprint(device_code)
        row = connection.execute(select(device_codes).where(which)).one_or_none()
        now = self._ground.clock.now()
        if row is None or row.client_id != client.id:
            return _unknown()
        if now >= row.expires_at:
            return OAuthError("expired_token", 70020, "The code is over. Begin again.")
        if row.is_allowed is None:
            return self._wait(connection, row, now)
        if connection.execute(device_codes.delete().where(which)).rowcount != 1:
            return invalid_grant(54005, "This device code was used already.")
        if not row.is_allowed:
            return OAuthError("authorization_declined", 70018, "The person said no.")
        return self._redeem(connection, client, row, address)

    def _wait(self, connection: Connection, row: Row[Any], now: datetime) -> OAuthError:
        allowance = timedelta(seconds=max(row.interval_seconds - 1, 1))  # networks differ
        is_too_fast = row.polled_at is not None and now - row.polled_at < allowance
        interval = row.interval_seconds + (SLOWER_SECONDS if is_too_fast else 0)
        connection.execute(
            update(device_codes)
            .where(device_codes.c.device_hash == row.device_hash)
            .values(polled_at=now, interval_seconds=interval)
        )
        if is_too_fast:
            return OAuthError("slow_down", 70016, f"Ask at most every {interval} seconds.")
        return OAuthError("authorization_pending", 70016, _PENDING)

    def _redeem(
        self, connection: Connection, client: Client, row: Row[Any], address: str
    ) -> Answer | OAuthError:
        try:
            holder = self._grants.holder(connection, row.account_id)
            asked = self._grants.parse(row.scope, client)
            self._grants.check_allowed(connection, row.account_id, asked)
        except OAuthError as error:
            return error
        if asked.resource == CLI_SCOPE:
            return self._session(connection, row.account_id, address)
        grant_id = None
        if asked.wants_refresh_token:
            grant_id = self._grants.begin(connection, row.account_id, client)
        flow = Flow("device_code", grant_id)
        return self._grants.for_person(connection, holder, client, asked, flow)

    def _session(self, connection: Connection, account_id: str, address: str) -> Answer:
        begun = self._ground.accounts.begin_session(
            connection, account_id, kind="api", client=address
        )
        left = begun.session.expires_at - self._ground.clock.now()
        return {
            "token_type": "Bearer",
            "scope": CLI_SCOPE,
            "expires_in": int(left.total_seconds()),
            "access_token": begun.token,
        }

    # For people ----------------------------------------------------------------------------

    def find(self, actor: Actor, typed: str) -> Device:
        """Return the program that shows this code.

        Raises `InvalidRequest` if there is none, `Denied` with the seconds to wait after too
        many wrong codes.
        """
        self._attempts.count(actor.id)
        with self._ground.database.write() as connection:
            row = self._row(connection, typed)
            if row is not None:
                self._attempts.forgive(connection, actor.id)
                code = typed_user_code(typed) or ""
                return self._device(row, code)
        raise InvalidRequest(_WRONG, field="user_code")

    def answer(self, actor: Actor, typed: str, *, allow: bool) -> Device:
        """Let the program in as `actor`, or not. Raises as `find`, `OAuthError` if not allowed."""
        device = self.find(actor, typed)
        with self._ground.database.write() as connection:
            if allow:
                self._grants.check_allowed(connection, actor.id, device.asked)
            table = device_codes
            changed = connection.execute(
                update(table)
                .where(
                    table.c.user_hash == fingerprint(typed_user_code(typed) or ""),
                    table.c.is_allowed.is_(None),
                    table.c.expires_at > self._ground.clock.now(),
                )
                .values(account_id=actor.id, is_allowed=allow)
            )
            if changed.rowcount != 1:
                raise InvalidRequest(_WRONG, field="user_code")
            self._ground.audit.append(
                connection,
                actor,
                "device.confirmed" if allow else "device.refused",
                actor.id,
                client=device.client_id,
                audience=device.asked.resource,
                address=device.address,
            )
        return device

    def _row(self, connection: Connection, typed: str) -> Row[Any] | None:
        code = typed_user_code(typed)
        if code is None:
            return None
        query = select(device_codes).where(
            device_codes.c.user_hash == fingerprint(code),
            device_codes.c.is_allowed.is_(None),
            device_codes.c.expires_at > self._ground.clock.now(),
        )
        return connection.execute(query).one_or_none()

    def _device(self, row: Row[Any], code: str) -> Device:
        client = Client(row.client_id, "", may_have_sessions=True)  # it was checked at the start
        return Device(
            client_id=row.client_id,
            user_code=shown_user_code(code),
            address=row.address,
            asked=self._grants.parse(row.scope, client),
            created_at=row.created_at,
        )


def _unknown() -> OAuthError:
    return OAuthError("bad_verification_code", 70019, "This device code is not known.")
