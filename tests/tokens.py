"""How do tests make access tokens, good ones and bad ones of every kind?"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import RSAKey

from carrel.core.clock import Clock
from carrel.core.ids import new_id
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings
from carrel.people.issuer.keys import SigningKeys
from carrel.people.tokens.identity import TreIdentity, tre_identity

STRANGE_KEY = RSAKey.generate_key(2048, {"kid": "strange"})
"""A key that no issuer of the tests has."""


@dataclass
class Mill:
    """Makes tokens as the embedded issuer does, or almost."""

    identity: TreIdentity
    key: RSAKey
    kid: str
    clock: Clock

    def claims(self, account_id: str, audience: str | None = None, **changes: Any) -> dict:
        """The claims of a good token; a change to None leaves the claim out."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.identity.issuer_url,
            "aud": audience or self.identity.api_client_id,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "tid": self.identity.tenant_id,
            "oid": account_id,
            "sub": account_id,
            "jti": new_id(),
            "ver": "2.0",
            "azp": self.identity.api_client_id,
            "scp": "user_impersonation",
            "name": "Somebody",
            "preferred_username": "somebody",
            "roles": [],
        }
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, account_id: str, audience: str | None = None, **changes: Any) -> str:
        """A token of this account, good unless `changes` spoil its claims."""
        return self.sealed(self.claims(account_id, audience, **changes))

    def sealed(self, claims: dict, key: RSAKey | None = None, **header: Any) -> str:
        """A token with these claims, signed by `key`, with more or other header fields."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **header}
        content = json.dumps(claims).encode()
        return signed(head, content, key or self.key)


def signed(header: dict, content: bytes, key: RSAKey) -> str:
    """An RS256 token whose header may be anything at all."""
    head = part(json.dumps(header).encode())
    return resigned(head, part(content), key)


def resigned(head: str, body: str, key: RSAKey) -> str:
    """A token of two parts as they are, with a right signature over them."""
    message = f"{head}.{body}".encode()
    made = key.private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return f"{head}.{body}.{part(made)}"


def keyed(header: dict, content: str, key: bytes) -> str:
    """An HS256 token, by a key that no good library would take for one."""
    message = f"{part(json.dumps(header).encode())}.{part(content.encode())}"
    return f"{message}.{part(hmac.digest(key, message.encode(), 'sha256'))}"


def part(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def make_mill(home: Path, settings: Settings, clock: Clock) -> Mill:
    """A mill with the keys of the TRE in `home`."""
    current = SigningKeys(home, clock).current()
    return Mill(tre_identity(settings, KeyRing(home)), current.private, current.kid, clock)


def bad_tokens(mill: Mill, account_id: str) -> dict[str, tuple[str, str]]:
    """Tokens for the core API that must be refused, by name: the token, and how the answer begins.

    Each differs from a good one in what its name says.
    """
    good = mill.claims(account_id)
    now = good["iat"]
    public_pem = mill.key.as_pem(private=False)
    head, body, signature = mill.sealed(good).split(".")
    text = json.dumps(good)
    duplicate = text[:-1] + f', "oid": "{new_id()}"}}'
    kid_twice = json.dumps({"alg": "RS256", "kid": "x"})[:-1] + f', "kid": "{mill.kid}"}}'
    strange_jwk = STRANGE_KEY.as_dict(private=False)
    broken, invalid = "Could not validate credentials", "Invalid token."

    def changed(**changes: Any) -> str:
        return mill.token(account_id, **changes)

    def headed(**header: Any) -> str:
        return mill.sealed(good, **header)

    return {
        "no signature at all": (f"{head}.{body}.", broken),
        "algorithm none": (f"{part(json.dumps({'alg': 'none'}).encode())}.{body}.AA", invalid),
        "algorithm None with the key id": (headed(alg="None"), invalid),
        "HS256 with the public key": (
            keyed({"alg": "HS256", "typ": "JWT", "kid": mill.kid}, text, bytes(public_pem)),
            invalid,
        ),
        "PS256": (headed(alg="PS256"), invalid),
        "another key under our key id": (mill.sealed(good, STRANGE_KEY), "Invalid token signature"),
        "unknown key id": (headed(kid="unknown"), invalid),
        "no key id": (mill.sealed(good, kid=None), invalid),
        "key id that is a path": (headed(kid="../../../../dev/null"), invalid),
        "key id that is SQL": (headed(kid="x' OR '1'='1"), invalid),
        "key id that is a number": (headed(kid=7), invalid),
        "a key in the header": (
            mill.sealed(good, STRANGE_KEY, jwk=strange_jwk, kid="strange"),
            invalid,
        ),
        "an address of keys in the header": (headed(jku="https://evil.example/keys"), invalid),
        "an address of a certificate": (headed(x5u="https://evil.example/cert"), invalid),
        "a certificate in the header": (headed(x5c=["AAAA"]), invalid),
        "a critical extension": (headed(crit=["b64"], b64=False), invalid),
        "another type": (headed(typ="JWE"), invalid),
        "wrong audience": (changed(aud=new_id()), invalid),
        "two audiences": (changed(aud=[mill.identity.api_client_id, "x"]), invalid),
        "no audience": (changed(aud=None), invalid),
        "audience of another type": (changed(aud={"a": 1}), invalid),
        "expired": (changed(exp=now - 60), "Expired token signature"),
        "no expiry": (changed(exp=None), invalid),
        "expiry that is text": (changed(exp="9999999999"), invalid),
        "expiry that is true": (changed(exp=True), invalid),
        "not yet valid": (changed(nbf=now + 120), invalid),
        "other tenant": (changed(tid=new_id()), invalid),
        "no tenant": (changed(tid=None), invalid),
        "other issuer": (changed(iss="https://evil.example/v2.0"), invalid),
        "issuer of another type": (changed(iss=["a"]), invalid),
        "version 1": (changed(ver="1.0"), invalid),
        "an ID token": (changed(scp=None, nonce="n"), invalid),
        "no scope": (changed(scp=None), invalid),
        "no oid": (changed(oid=None), invalid),
        "oid of another type": (changed(oid=[account_id]), invalid),
        "unknown oid": (mill.token(new_id()), invalid),
        "oid that is SQL": (mill.token("' OR 1=1 --"), invalid),
        "roles that are no list": (changed(roles="TREAdmin"), invalid),
        "a claim twice": (resigned(head, part(duplicate.encode()), mill.key), broken),
        "a header field twice": (
            resigned(part(kid_twice.encode()), body, mill.key),
            broken,
        ),
        "NaN": (
            resigned(head, part(text.replace(str(good["exp"]), "NaN").encode()), mill.key),
            broken,
        ),
        "claims that are a list": (resigned(head, part(b"[]"), mill.key), broken),
        "truncated": (f"{head}.{body}.{signature[:-9]}", "Invalid token signature"),
        "cut in the middle": (f"{head}.{body[: len(body) // 2]}", broken),
        "four parts": (f"{head}.{body}.{signature}.x", broken),
        "five parts, as if encrypted": ("a.b.c.d.e", broken),
        "only dots": ("..", broken),
        "not base64": (f"{head}.%%%.{signature}", broken),
        "deep nesting": (resigned(head, part(b"[" * 9000), mill.key), broken),
        "100 kB": (changed(name="x" * 100_000), broken),
        "claims of another token": (
            f"{head}.{mill.token(new_id()).split('.')[1]}.{signature}",
            "Invalid token signature",
        ),
        "a bit of the signature": (
            f"{head}.{body}.{part(_flipped(signature))}",
            "Invalid token signature",
        ),
    }


def _flipped(signature: str) -> bytes:
    raw = bytearray(urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[10] ^= 1
    return bytes(raw)
