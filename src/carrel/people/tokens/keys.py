"""With which public key must a token's signature be checked? Never one that the token brings."""

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from carrel.core.clock import monotonic
from carrel.core.errors import InvalidRequest, Unavailable
from carrel.core.settings import Settings

log = structlog.get_logger(__name__)

LEAST_KEY_BITS = 2048
FRESH_SECONDS = 3600.0
"""Keys older than this are fetched again when they are used."""
STALE_SECONDS = 24 * 3600.0
"""Keys that could not be fetched again for this long count no more."""
PAUSE_SECONDS = 60.0
"""Pause between two fetches, whoever asks: strangers can ask with made-up key ids."""
_FETCH_SECONDS = 5.0
_MOST_BYTES = 256 * 1024
_MOST_KEYS = 100


class Keys(Protocol):
    """Knows the public keys of one issuer."""

    def find(self, kid: str) -> RSAKey | None:
        """Return the key with this id, None if there is none. Raises `Unavailable`."""
        ...


class KeySource(Protocol):
    """Knows the keys of the embedded issuer (`people.issuer.keys` fulfils it)."""

    def public(self) -> Sequence[Mapping[str, str]]:
        """Return the public keys as JWK, the newest first; cheap, for every request."""
        ...


class OwnKeys:
    """The keys of the embedded issuer, each parsed once."""

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._seen: Sequence[Mapping[str, str]] = ()
        self._keys: Mapping[str, RSAKey] = {}

    def find(self, kid: str) -> RSAKey | None:
        """Return the key with this id, None if there is none."""
        present = self._source.public()
        if present != self._seen:
            self._keys, self._seen = parse_keys(present), present
        return self._keys.get(kid)


class NoKeys:
    """No key at all: every token is refused."""

    def find(self, kid: str) -> RSAKey | None:
        """Return None."""
        del kid
        return None


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: Mapping[str, RSAKey]
    at: float


class FetchedKeys:
    """The keys of a foreign issuer, from its JWKS address or a file; remembered for an hour."""

    def __init__(
        self, fetch: Callable[[], bytes], monotonic_seconds: Callable[[], float] = monotonic
    ) -> None:
        self._fetch = fetch
        self._now = monotonic_seconds
        self._have: _Fetched | None = None
        self._tried_at: float | None = None
        self._lock = threading.Lock()

    def find(self, kid: str) -> RSAKey | None:
        """Return the key with this id, None if there is none.

        Raises `Unavailable` if no key is known that is still good: nothing is believed then.
        """
        have = self._have
        if have is None or kid not in have.keys or self._now() - have.at > FRESH_SECONDS:
            self._refresh()
        have = self._have
        if have is None or self._now() - have.at > STALE_SECONDS:
            raise Unavailable(
                "The identity provider's keys cannot be fetched, so its tokens cannot be checked. "
                "Try again in a minute."
            )
        return have.keys.get(kid)

    def _refresh(self) -> None:
        with self._lock:
            now = self._now()
            if self._tried_at is not None and now - self._tried_at < PAUSE_SECONDS:
                return
            self._tried_at = now
            try:
                self._have = _Fetched(parse_keys(_key_list(self._fetch())), now)
            except (httpx.HTTPError, OSError, ValueError) as error:
                log.warning("foreign keys not fetched", reason=f"{type(error).__name__}: {error}")


def foreign_keys(settings: Settings) -> Keys:
    """Return the keys of the foreign issuer that the settings name. Raises `InvalidRequest`."""
    path, url = settings.foreign_keys_file, settings.foreign_jwks_url
    if path is not None:
        return FetchedKeys(lambda: _read(path))
    if not url.startswith("https://"):
        raise InvalidRequest("Setting foreign_jwks_url: it must begin with https://.")
    trust = ssl.create_default_context(
        cafile=str(settings.foreign_ca_file) if settings.foreign_ca_file else None
    )
    return FetchedKeys(lambda: _download(url, trust))


def parse_keys(given: Iterable[Mapping[str, Any]]) -> Mapping[str, RSAKey]:
    """Return by key id the RSA keys that may check an RS256 signature; the rest is left out."""
    found: dict[str, RSAKey] = {}
    for one in given:
        kid = one.get("kid")
        if one.get("kty") != "RSA" or not isinstance(kid, str) or "d" in one:
            continue
        if one.get("use", "sig") != "sig" or one.get("alg", "RS256") != "RS256":
            continue
        try:
            key = RSAKey.import_key({name: one[name] for name in ("kty", "n", "e")})
        except (JoseError, ValueError, KeyError, TypeError):
            continue
        if key.public_key.key_size >= LEAST_KEY_BITS:
            found.setdefault(kid, key)
    return found


def _key_list(raw: bytes) -> Sequence[Mapping[str, Any]]:
    document = json.loads(raw)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise ValueError("not a JWKS document (RFC 7517 section 5)")
    return [key for key in keys if isinstance(key, dict)]


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def _download(url: str, trust: ssl.SSLContext) -> bytes:
    """Return the document at `url`; no redirect, no proxy of the environment, bounded."""
    body = b""
    with (
        httpx.Client(verify=trust, timeout=_FETCH_SECONDS, trust_env=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        for part in answer.iter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                raise ValueError("too large")
    return body
