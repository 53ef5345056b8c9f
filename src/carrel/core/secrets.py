"""Where do the TRE's own keys live? In files beside the database, never in it."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carrel.core.errors import OutsideFailure
from carrel.core.files import write_first

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = "v1."


class KeyRing:
    """Every key of a TRE, derived from `HOME/secrets/master.key` (mode 0600).

    The file is made when it is first needed; of several processes that make it at once, the
    first one wins for all.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "secrets" / "master.key"
        self._master: bytes | None = None

    def derive(self, name: str) -> bytes:
        """Return the 32-byte key for one purpose, for instance `csrf`; always the same."""
        return hmac.digest(self._key(), name.encode(), hashlib.sha256)

    def sign(self, name: str, message: str) -> str:
        """Return the HMAC-SHA256 (hex) of `message` under the key for the purpose `name`."""
        return hmac.digest(self.derive(name), message.encode(), hashlib.sha256).hex()

    def is_signed(self, name: str, message: str, signature: str) -> bool:
        """Whether `signature` is what `sign` returns, compared in constant time."""
        return hmac.compare_digest(self.sign(name, message).encode(), signature.encode())

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """Return the ed25519 key that signs for one purpose towards the world; always the same."""
        return Ed25519PrivateKey.from_private_bytes(self.derive(name))

    def tool_token(self, resource_id: str, salt: str) -> str:
        """Return the token by which only the gateway may use one resource's tool.

        `salt` is new with each start, so a token that was stolen ends with the tool it was of.
        """
        return self.sign("tool-key", f"{resource_id}:{salt}")

    def encrypt(self, secret: str, *, context: str) -> str:
        """Encrypt `secret` for the database; it can be read back only in the same `context`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self.derive("encrypt")).encrypt(nonce, secret.encode(), context.encode())
        return _VERSION + urlsafe_b64encode(nonce + sealed).decode()

    def decrypt(self, sealed: str, *, context: str) -> str:
        """Return what `encrypt` was given. Raises `OutsideFailure` if key or context differ."""
        try:
            raw = urlsafe_b64decode(sealed.removeprefix(_VERSION))
            aead = AESGCM(self.derive("encrypt"))
            return aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode()).decode()
        except (InvalidTag, NotBase64, ValueError) as error:
            raise OutsideFailure(
                "A stored secret cannot be read with the keys in this TRE's secrets folder. "
                "Restore the folder that belongs to this database."
            ) from error

    def _key(self) -> bytes:
        if self._master is None:
            self._master = _read_or_make(self._path)
        return self._master


def _read_or_make(path: Path) -> bytes:
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise OutsideFailure(
            f"The key file {path.name} is damaged. Restore it from the backup of this TRE."
        )
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_first(path, secrets.token_bytes(KEY_BYTES), mode=0o600)  # else another one's key counts
