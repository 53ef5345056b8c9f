"""With what do people prove who they are?"""

from collections.abc import Sequence
from dataclasses import dataclass

from carrel.core.database import Database
from carrel.core.secrets import KeyRing
from carrel.people.passwords import LocalPasswords, Passwords
from carrel.people.ports import IdentityProvider


@dataclass(frozen=True, slots=True)
class Proofs:
    """The means of proof of one TRE."""

    keys: KeyRing
    """Encrypts the secrets of authenticator apps."""
    passwords: Passwords
    providers: Sequence[IdentityProvider]
    """Asked in order; the first that vouches decides."""


def local_proofs(database: Database, keys: KeyRing, passwords: Passwords | None = None) -> Proofs:
    """Return the proofs of a TRE whose only identity provider is its own accounts."""
    hashing = passwords or Passwords()
    return Proofs(keys, hashing, (LocalPasswords(database, hashing),))
