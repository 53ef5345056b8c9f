"""What must an access token say, so that Carrel takes it? Nothing here touches a key."""

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from carrel.core.errors import NotAuthenticated

ALGORITHM = "RS256"
LONGEST_TOKEN = 16 * 1024
LEEWAY_SECONDS = 30
"""By how much two clocks may differ."""
USER_SCOPE = "user_impersonation"
VERSION = "2.0"
MADE_AT = "made_at"
"""When Carrel made a token of its own, exactly: `iat` is to the second, which is too coarse to
tell a token made just before a secret was changed from one made just after."""
_HEADER_NAMES = frozenset({"alg", "typ", "kid", "x5t"})
"""All others are refused: a token must not say where its own key is found (jwk, jku, x5u, x5c)."""
_TYPES = frozenset({"jwt", "at+jwt"})
_ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash"})
_LONGEST_NAME = 255


class Refusal(StrEnum):
    """Why a token is refused; what its holder reads begins with AzureTRE's words."""

    MALFORMED = "malformed"
    EXPIRED = "expired"
    SIGNATURE = "signature"
    INVALID = "invalid"
    AUDIENCE = "audience"
    ACCOUNT = "account"


_SENTENCES = {
    Refusal.MALFORMED: "Could not validate credentials. Send `Authorization: Bearer` and a token.",
    Refusal.EXPIRED: "Expired token signature. Get a new access token and try again.",
    Refusal.SIGNATURE: "Invalid token signature. Get an access token from this TRE's issuer.",
    Refusal.INVALID: "Invalid token. Get an access token from this TRE's issuer, for this API.",
    Refusal.AUDIENCE: (
        "Invalid token. It was made for another audience: everything inside a workspace takes a "
        "token for that workspace's scope, everything else one for the core API."
    ),
    Refusal.ACCOUNT: (
        "Invalid token. Its account cannot be used here: ask a TRE administrator to enable or "
        "link it, or sign in again."
    ),
}


class TokenRefused(NotAuthenticated):
    """A token that is not taken; the details are for the log and the audit record only."""

    def __init__(
        self, kind: Refusal, why: str, *, key_id: str = "", claimed: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(_SENTENCES[kind], log_detail=why)
        self.kind = kind
        self.why = why
        self.key_id = key_id
        self.claimed = claimed or {}


@dataclass(frozen=True, slots=True)
class Parts:
    """A token taken apart; nothing of it is believed yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What tokens of one issuer must say."""

    issuer: str
    tenant_id: str | None
    """None: the issuer's tokens need not name a tenant."""
    is_own: bool
    """Whether the embedded issuer makes them; then every rule for its own tokens holds too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a token that was verified says."""

    issuer: str
    audience: str
    """As in the token, without `api://`."""
    subject: str
    """The issuer's id of the person or application (`oid`)."""
    issued_at: float | None
    """To the second, or exactly if Carrel itself issued it."""
    name: str
    username: str
    email: str
    roles: frozenset[str]


def take_apart(token: str) -> Parts:
    """Return header and claims without believing them. Raises `TokenRefused`."""
    parts = token.split(".")
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise TokenRefused(Refusal.MALFORMED, "too long, or not ASCII")
    if len(parts) != 3 or not all(parts):
        raise TokenRefused(Refusal.MALFORMED, "not three parts")
    return Parts(_object(parts[0], "header"), _object(parts[1], "claims"))


def check_header(header: Mapping[str, Any]) -> str:
    """Return the key id. Raises `TokenRefused` for another algorithm or a key of its own."""
    kid = header.get("kid")
    shown = kid[:_LONGEST_NAME] if isinstance(kid, str) else ""
    if header.get("alg") != ALGORITHM:
        raise TokenRefused(Refusal.INVALID, "algorithm", key_id=shown)
    if not set(header) <= _HEADER_NAMES:
        raise TokenRefused(Refusal.INVALID, "header names", key_id=shown)
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise TokenRefused(Refusal.INVALID, "type", key_id=shown)
    if not isinstance(kid, str) or not 1 <= len(kid) <= _LONGEST_NAME:
        raise TokenRefused(Refusal.INVALID, "no key id")
    return kid


def check_claims(claims: Mapping[str, Any], expected: Expected, now: datetime) -> Claims:
    """Return what a token says whose signature was verified. Raises `TokenRefused`."""
    if claims.get("iss") != expected.issuer:
        raise _invalid("issuer", claims)
    _check_times(claims, now.timestamp())
    if expected.tenant_id is not None and claims.get("tid") != expected.tenant_id:
        raise _invalid("tenant", claims)
    _check_is_access_token(claims, is_own=expected.is_own)
    subject = claims.get("oid")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _LONGEST_NAME:
        raise _invalid("no oid", claims)
    return Claims(
        issuer=expected.issuer,
        audience=_audience(claims),
        subject=subject,
        issued_at=_number(claims, MADE_AT if expected.is_own and MADE_AT in claims else "iat"),
        name=_text(claims, "name"),
        username=_text(claims, "preferred_username"),
        email=_text(claims, "email"),
        roles=_roles(claims),
    )


def check_audience(claims: Claims, taken: Collection[str]) -> None:
    """Raise `TokenRefused` unless the token was made for one of these audiences."""
    if claims.audience not in taken:
        raise TokenRefused(Refusal.AUDIENCE, "audience", claimed={"oid": claims.subject})


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, begins = _number(claims, "exp"), _number(claims, "nbf")
    if expires is None:
        raise _invalid("no expiry", claims)
    if now >= expires + LEEWAY_SECONDS:
        raise TokenRefused(Refusal.EXPIRED, "expired", claimed=claims)
    if begins is not None and now < begins - LEEWAY_SECONDS:
        raise _invalid("not yet valid", claims)


def _check_is_access_token(claims: Mapping[str, Any], *, is_own: bool) -> None:
    """Raise for a token that says who signed in to a client (OpenID Connect Core, section 2)."""
    if any(name in claims for name in _ID_TOKEN_CLAIMS):
        raise _invalid("an ID token", claims)
    if not is_own:
        if claims.get("ver", VERSION) != VERSION:
            raise _invalid("version", claims)
        return
    if claims.get("ver") != VERSION:
        raise _invalid("version", claims)
    if claims.get("idtyp") != "app" and USER_SCOPE not in _text(claims, "scp").split():
        raise _invalid("no scope", claims)


def _audience(claims: Mapping[str, Any]) -> str:
    given = claims.get("aud")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str) or not given:
        raise _invalid("audience", claims)
    return given.removeprefix("api://")


def _roles(claims: Mapping[str, Any]) -> frozenset[str]:
    given = claims.get("roles", [])
    if not isinstance(given, list) or not all(isinstance(role, str) for role in given):
        raise _invalid("roles", claims)
    return frozenset(given)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) else ""


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(name, claims)
    return float(value)


def _invalid(why: str, claims: Mapping[str, Any]) -> TokenRefused:
    return TokenRefused(Refusal.INVALID, why, claimed=claims)


def _object(part: str, name: str) -> Mapping[str, Any]:
    """Return the JSON object of one part. RFC 8259 leaves duplicate names open; we do not."""
    try:
        raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
        found = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise TokenRefused(Refusal.MALFORMED, f"{name} is not JSON") from error
    if not isinstance(found, dict):
        raise TokenRefused(Refusal.MALFORMED, f"{name} is no object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")
