"""What does a token of Carrel say? Version 2 tokens in Entra's shape, signed RS256."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jwt

from carrel.core.clock import Clock
from carrel.core.ids import new_id
from carrel.people.issuer.keys import SigningKeys
from carrel.people.issuer.rules import ACCESS_SECONDS, unpadded
from carrel.people.tokens.identity import USER_SCOPE, TreIdentity
from carrel.people.tokens.rules import MADE_AT


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is."""

    account_id: str
    username: str
    display_name: str
    email: str | None
    is_application: bool = False


class Mint:
    """Makes signed tokens."""

    def __init__(self, identity: TreIdentity, keys: SigningKeys, clock: Clock) -> None:
        self._identity = identity
        self._keys = keys
        self._clock = clock

    def access_token(
        self, holder: Holder, *, audience: str, client_id: str, roles: Sequence[str]
    ) -> str:
        """Return a token for an API; `audience` is a client id or a workspace id."""
        claims = {
            **self._common(holder, audience),
            **_names(holder),
            "azp": client_id,
            "azpacr": "1" if holder.is_application else "0",
            "roles": list(roles),
            MADE_AT: self._clock.now().timestamp(),
        }
        if holder.is_application:
            claims["idtyp"] = "app"
        else:
            claims["scp"] = USER_SCOPE
        return self._signed(claims)

    def id_token(
        self, holder: Holder, *, client_id: str, nonce: str, signed_in_at: datetime | None
    ) -> str:
        """Return a token that tells a client who the person is (OpenID Connect Core 1.0)."""
        claims = {**self._common(holder, client_id), **_names(holder)}
        if nonce:
            claims["nonce"] = nonce
        if signed_in_at is not None:
            claims["auth_time"] = int(signed_in_at.timestamp())
        return self._signed(claims)

    def account_hint(self, holder: Holder) -> str:
        """Return who the person is as Entra's libraries file it."""
        names = {"uid": holder.account_id, "utid": self._identity.tenant_id}
        return unpadded(json.dumps(names).encode())

    def _common(self, holder: Holder, audience: str) -> dict[str, Any]:
        now = int(self._clock.now().timestamp())
        return {
            "iss": self._identity.issuer_url,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_SECONDS,
            "tid": self._identity.tenant_id,
            "oid": holder.account_id,
            "sub": holder.account_id,
            "jti": new_id(),
            "ver": "2.0",
        }

    def _signed(self, claims: dict[str, Any]) -> str:
        key = self._keys.current()
        header = {"alg": "RS256", "kid": key.kid, "typ": "JWT"}
        return jwt.encode(header, claims, key.private, algorithms=["RS256"])


def _names(holder: Holder) -> dict[str, str]:
    names = {"name": holder.display_name, "preferred_username": holder.username}
    if holder.email:
        names["email"] = holder.email
    return names
