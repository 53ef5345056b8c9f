"""Is it the person and not only the password? Codes of authenticator apps, and own passwords."""

from datetime import datetime
from typing import Any

import pyotp
from sqlalchemy import Connection, Row, select, update

from carrel.core.actors import Actor
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotFound
from carrel.people.rules import TOTP_STEP_SECONDS, check_admin, check_password
from carrel.people.service.base import NO_ACCOUNT, Room
from carrel.people.tables import accounts

_SKEW_STEPS = 1
_WRONG_CODE = "This code is not right. Wait for the app's next code and type that one."


class SecondFactor(Room):
    """Use cases on one's own means of proof."""

    def change_password(self, actor: Actor, old: str, new: str) -> None:
        """Set a new password; ends every other session of the account.

        Raises `Denied` if the old one is wrong, `InvalidRequest` if the new one is too weak.
        """
        username = self.check_own_password(actor, old)
        hashed = self._proofs.passwords.hash(check_password(new, username))
        with self._database.write() as connection:
            self._row(connection, actor.id)
            self._set(connection, actor.id, password_hash=hashed)
            self._audit.append(connection, actor, "account.password_changed", actor.id)
            self._end_sessions(connection, actor, actor.id, keep=actor.session_id)
            self._end_access_tokens(connection, actor.id)

    def reset_password(self, actor: Actor, account_id: str, password: str) -> None:
        """Set the password of somebody who forgot it; ends their sessions. For administrators."""
        check_admin(actor)
        with self._database.read() as connection:
            row = self._row(connection, account_id)
        if row.kind != "person":
            raise Conflict("An application has no password. Give it a new secret instead.")
        username = str(row.username)
        hashed = self._proofs.passwords.hash(check_password(password, username))
        with self._database.write() as connection:
            self._row(connection, account_id)
            self._set(connection, account_id, password_hash=hashed)
            self._audit.append(connection, actor, "account.password_reset", account_id)
            self._end_sessions(connection, actor, account_id, keep=actor.session_id)
            self._end_access_tokens(connection, account_id)

    def check_own_password(self, actor: Actor, password: str) -> str:
        """Return the user name if this is the actor's own password. Raises `Denied`.

        Wrong guesses count as failed sign-ins, so that a stolen session gains nothing.
        """
        with self._database.read() as connection:
            username = str(self._row(connection, actor.id).username)
        client = f"session:{actor.session_id}"
        self._guesses.count(username, client)
        fits = any(
            identity.subject == actor.id
            for provider in self._proofs.providers
            if (identity := provider.authenticate(username, password)) is not None
        )
        with self._database.write() as connection:
            if not fits:
                self._guesses.refuse(connection, username, client)
            else:
                self._guesses.forgive(connection, username, client)
        if not fits:
            raise Denied("That is not your present password. Check it and try again.")
        return username

    def start_totp(self, actor: Actor) -> str:
        """Begin to add an authenticator app; returns the `otpauth://` URI it must scan.

        Nothing changes until `confirm_totp`. Raises `Conflict` if an app is there already.
        """
        secret = pyotp.random_base32()
        with self._database.write() as connection:
            row = self._row(connection, actor.id)
            if row.totp_secret is not None:
                raise Conflict("An authenticator app is set up already. Remove it first.")
            sealed = self._proofs.keys.encrypt(secret, context=_context(row))
            self._set(connection, actor.id, totp_pending=sealed)
            self._audit.append(connection, actor, "account.totp_started", actor.id)
            return self._uri(row, secret)

    def pending_totp(self, actor: Actor) -> str | None:
        """Return the URI of an app that waits to be confirmed, None if there is none."""
        with self._database.read() as connection:
            query = select(accounts).where(accounts.c.id == actor.id)
            row = connection.execute(query).one_or_none()
        if row is None or row.totp_pending is None:
            return None
        return self._uri(row, self._proofs.keys.decrypt(row.totp_pending, context=_context(row)))

    def confirm_totp(self, actor: Actor, code: str) -> None:
        """Turn the authenticator app on, shown to work by a code of it.

        Raises `InvalidRequest` for a wrong code, `Conflict` if `start_totp` was not called.
        """
        with self._database.write() as connection:
            row = self._row(connection, actor.id)
            if row.totp_pending is None:
                raise Conflict("Begin again: no authenticator app is waiting to be confirmed.")
            step = self._step(row.totp_pending, row, code)
            if step is None:
                raise InvalidRequest(_WRONG_CODE, field="code")
            self._set(
                connection,
                actor.id,
                totp_secret=row.totp_pending,
                totp_pending=None,
                totp_last_step=step,
            )
            self._audit.append(connection, actor, "account.totp_added", actor.id)

    def remove_totp(self, actor: Actor, account_id: str, *, password: str | None = None) -> None:
        """Take the authenticator app away: one's own with the password, any for administrators.

        May be called twice. Raises `Denied` for a wrong password, `NotFound` for others' accounts.
        """
        if actor.id == account_id:
            self.check_own_password(actor, password or "")
        elif not (actor.is_admin or actor.is_system):
            raise NotFound(NO_ACCOUNT)
        with self._database.write() as connection:
            row = self._row(connection, account_id)
            if row.totp_secret is None and row.totp_pending is None:
                return
            self._set(
                connection, account_id, totp_secret=None, totp_pending=None, totp_last_step=None
            )
            self._audit.append(connection, actor, "account.totp_removed", account_id)

    def _accept_code(self, connection: Connection, row: Row[Any], code: str | None) -> bool:
        """Whether the account needs no code, or this one is right and was not used before."""
        if row.totp_secret is None:
            return True
        step = self._step(row.totp_secret, row, code or "")
        if step is None:
            return False
        self._set(connection, row.id, totp_last_step=step)
        return True

    def _step(self, sealed: str, row: Row[Any], code: str) -> int | None:
        secret = self._proofs.keys.decrypt(sealed, context=_context(row))
        last = -1 if row.totp_last_step is None else int(row.totp_last_step)
        return matching_step(secret, code, self._clock.now(), after=last)

    def _uri(self, row: Row[Any], secret: str) -> str:
        return pyotp.TOTP(secret).provisioning_uri(
            name=str(row.username), issuer_name=self._settings.tre_name
        )

    @staticmethod
    def _set(connection: Connection, account_id: str, **values: object) -> None:
        connection.execute(update(accounts).where(accounts.c.id == account_id).values(**values))


def _context(row: Row[Any]) -> str:
    return f"totp:{row.id}"


def matching_step(secret: str, code: str, now: datetime, *, after: int) -> int | None:
    """Return the time step whose code this is, later than `after` and near `now`, or None."""
    digits = code.replace(" ", "")
    totp = pyotp.TOTP(secret)
    present = int(now.timestamp()) // TOTP_STEP_SECONDS
    for step in range(present - _SKEW_STEPS, present + _SKEW_STEPS + 1):
        expected = totp.at(step * TOTP_STEP_SECONDS)
        if step > after and pyotp.utils.strings_equal(digits, expected):
            return step
    return None
