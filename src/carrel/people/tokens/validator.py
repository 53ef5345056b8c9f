"""Is this access token genuine, and what does it say? One code for every issuer."""

from dataclasses import dataclass

from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError

from carrel.core.clock import Clock
from carrel.core.settings import Settings
from carrel.people.tokens.identity import TreIdentity
from carrel.people.tokens.keys import Keys, KeySource, NoKeys, OwnKeys, foreign_keys
from carrel.people.tokens.rules import (
    ALGORITHM,
    Claims,
    Expected,
    Refusal,
    TokenRefused,
    check_claims,
    check_header,
    take_apart,
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are taken, and with which keys they are checked."""

    expected: Expected
    keys: Keys


class TokenValidator:
    """Checks tokens of the embedded issuer, and of a foreign one if the settings name it."""

    def __init__(
        self,
        identity: TreIdentity,
        clock: Clock,
        *,
        source: KeySource | None,
        settings: Settings,
    ) -> None:
        own = Expected(issuer=identity.issuer_url, tenant_id=identity.tenant_id, is_own=True)
        issuers = [Issuer(own, OwnKeys(source) if source is not None else NoKeys())]
        if settings.foreign_issuer:
            foreign = Expected(issuer=settings.foreign_issuer, tenant_id=None, is_own=False)
            issuers.append(Issuer(foreign, foreign_keys(settings)))
        self._issuers = {issuer.expected.issuer: issuer for issuer in issuers}
        self._clock = clock

    def validate(self, token: str) -> Claims:
        """Return what a genuine token says.

        Raises `TokenRefused`, or `Unavailable` if a foreign issuer's keys cannot be had.
        """
        parts = take_apart(token)
        kid = check_header(parts.header)
        issuer = parts.claims.get("iss")
        trusted = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if trusted is None:
            raise TokenRefused(Refusal.INVALID, "issuer", key_id=kid, claimed=parts.claims)
        key = trusted.keys.find(kid)
        if key is None:
            raise TokenRefused(Refusal.INVALID, "unknown key", key_id=kid, claimed=parts.claims)
        try:
            jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
        except BadSignatureError as error:
            raise TokenRefused(
                Refusal.SIGNATURE, "signature", key_id=kid, claimed=parts.claims
            ) from error
        except (JoseError, ValueError) as error:
            raise TokenRefused(
                Refusal.MALFORMED, type(error).__name__, key_id=kid, claimed=parts.claims
            ) from error
        try:
            return check_claims(parts.claims, trusted.expected, self._clock.now())
        except TokenRefused as refused:
            refused.key_id = kid
            raise

    def is_own(self, claims: Claims) -> bool:
        """Whether the embedded issuer made the token that says this."""
        return self._issuers[claims.issuer].expected.is_own
