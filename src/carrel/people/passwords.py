"""How are local passwords hashed and checked?"""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select

from carrel.core.database import Database
from carrel.people.ports import ExternalIdentity
from carrel.people.rules import normal_password
from carrel.people.tables import accounts

AT_ONCE = 4
"""Passwords hashed at the same time: each takes 64 MiB, and strangers can ask for it."""


class Passwords:
    """Argon2id hashes (RFC 9106, the low-memory choice unless a test says otherwise)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._nobody = self._hasher.hash("no account has this password")

    def hash(self, password: str) -> str:
        """Return the salted hash of a password in its normal form."""
        with self._slots:
            return self._hasher.hash(password)

    def fits(self, password: str, hashed: str | None) -> bool:
        """Whether the password fits the hash; without a hash it takes as long and says no."""
        try:
            with self._slots:
                self._hasher.verify(hashed or self._nobody, normal_password(password))
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None


class LocalPasswords:
    """The identity provider that keeps its passwords in Carrel's own accounts."""

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    def authenticate(self, username: str, password: str) -> ExternalIdentity | None:
        """Return the account's identity if the password fits and the account is active."""
        with self._database.read() as connection:
            row = connection.execute(
                select(accounts).where(accounts.c.username == username)
            ).one_or_none()
        fits = self._passwords.fits(password, row.password_hash if row else None)
        if row is None or not fits or not row.is_active or row.kind != "person":
            return None
        return ExternalIdentity("local", row.id, row.username, row.display_name, row.email)
