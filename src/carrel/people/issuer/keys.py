"""With which keys are access tokens signed? Numbered files beside the database, never in it.

The highest number signs. A key that was replaced stays known until the tokens it signed are over.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from joserfc.jwk import RSAKey

from carrel.core.clock import Clock
from carrel.core.errors import OutsideFailure
from carrel.core.files import write_first
from carrel.core.ids import new_id
from carrel.people.issuer.ports import Jwk

KEY_BITS = 2048
OVERLAP = timedelta(hours=2)
"""Longer than any token lives, by the difference of two clocks and a bit."""
_NAME = re.compile(r"signing-(\d{6})\.json")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair."""

    number: int
    kid: str
    made_at: datetime
    private: RSAKey
    public: Jwk


class SigningKeys:
    """The issuer's keys in `HOME/secrets/tokens` (mode 0600); implements `PublicKeys`.

    The first one is made when it is needed; of several processes that make it at once, the
    first one wins for all. A change by another process is seen with the next call.
    """

    def __init__(self, home: Path, clock: Clock) -> None:
        self._folder = home / "secrets" / "tokens"
        self._clock = clock
        self._read_at = -1
        self._keys: tuple[SigningKey, ...] = ()
        self._public: tuple[Jwk, ...] = ()
        self._until: datetime | None = None

    def current(self) -> SigningKey:
        """Return the key that signs now."""
        return self._all()[0]

    def public(self) -> Sequence[Jwk]:
        """Return the public parts of every key that may have signed a living token."""
        keys, now = self._all(), self._clock.now()
        if not self._public or (self._until is not None and now >= self._until):
            ends = [newer.made_at + OVERLAP for newer in keys]  # when the next older one is over
            living = [key for key, end in zip(keys[1:], ends, strict=False) if now < end]
            self._public = tuple(key.public for key in (keys[0], *living))
            self._until = min((end for end in ends[: len(living)]), default=None)
        return self._public

    def rotate(self, *, at_once: bool = False) -> SigningKey:
        """Make a new key that signs from now on.

        The old ones stay known until their tokens are over, or with `at_once` are forgotten, and
        their tokens with them: for a key that somebody else may have seen.
        """
        before = self._all()
        self._make(before[0].number + 1)
        if at_once:
            for key in before:
                self._path(key.number).unlink(missing_ok=True)
        else:
            self._remove_old()
        return self.current()

    def _remove_old(self) -> None:
        known = {key["kid"] for key in self.public()}
        for key in self._all():
            if key.kid not in known:
                self._path(key.number).unlink(missing_ok=True)

    def _all(self) -> tuple[SigningKey, ...]:
        """Return every key, the newest first; read again only when the folder has changed."""
        if not self._keys or self._folder.stat().st_mtime_ns != self._read_at:
            if not self._numbers():
                self._make(1)
            self._read_at = self._folder.stat().st_mtime_ns
            self._keys = tuple(self._read(number) for number in self._numbers())
            self._public = ()
        return self._keys

    def _numbers(self) -> list[int]:
        self._make_folder()
        found = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def _read(self, number: int) -> SigningKey:
        try:
            kept = json.loads(self._path(number).read_bytes())
            private = RSAKey.import_key(kept["key"])
            made_at = datetime.fromisoformat(kept["made_at"])
            kid = str(kept["key"]["kid"])
        except (ValueError, KeyError, TypeError) as error:
            raise OutsideFailure(
                f"The key file {self._path(number).name} is damaged. Restore it from the backup "
                "of this TRE, or remove it: a new key is made, and people sign in again."
            ) from error
        public = {name: str(value) for name, value in private.as_dict(private=False).items()}
        return SigningKey(number, kid, made_at, private, public)

    def _make(self, number: int) -> None:
        kid = new_id()
        key = RSAKey.generate_key(KEY_BITS, {"kid": kid, "use": "sig", "alg": "RS256"})
        kept = {"made_at": self._clock.now().isoformat(), "key": key.as_dict(private=True)}
        content = json.dumps(kept).encode()
        write_first(self._path(number), content, mode=0o600, owner=self._folder.parent)

    def _make_folder(self) -> None:
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0:  # the roles, which are not root, must read it
                kept = self._folder.parent.stat()
                os.chown(self._folder, kept.st_uid, kept.st_gid)

    def _path(self, number: int) -> Path:
        return self._folder / f"signing-{number:06}.json"
