"""What may a client ask for, and where may an answer be sent? Pure: no I/O, no clock."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from carrel.people.issuer.errors import OAuthError, invalid_scope

CLI_CLIENT_ID = "c0de5c11-0000-4000-8000-000063617272"
"""The command line of Carrel, at every TRE."""
CLI_SCOPE = "carrel"
"""What only the command line may ask for: an ordinary session instead of an access token."""
CORE = "core"

ACCESS_SECONDS = 3600
CODE_SECONDS = 120
DEVICE_SECONDS = 900
POLL_SECONDS = 5
SLOWER_SECONDS = 5
"""By how much a client that polls too fast must slow down each time (RFC 8628 section 3.5)."""
DEVICES_PER_ADDRESS = 20
DEVICES_IN_ALL = 1000

OIDC_SCOPES = frozenset({"openid", "profile", "offline_access", "email"})
TENANT_ALIASES = frozenset({"common", "organizations"})
RESPONSE_MODES = frozenset({"query", "fragment", "form_post"})
_RESOURCE = re.compile(
    r"(?:api://)?([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})/(user_impersonation|\.default)",
    re.IGNORECASE,
)
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_ADDRESS = re.compile(
    r"[!#-;=?-\[\]_a-z~]{1,2000}"
)  # RFC 3986, without what could end an attribute
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of a user code: no vowels, so no words (RFC 8628 section 6.1); 20^8 of them."""
_USER_CODE_LENGTH = 8
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Client:
    """A public client: a program that cannot keep a secret."""

    id: str
    name: str
    redirect_uris: frozenset[str] = frozenset()
    """Besides the loopback addresses of a person's own machine."""
    may_have_sessions: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for, understood."""

    resource: str
    """`core`, a workspace id, or `carrel` for a session."""
    scope: str
    """The scopes as they were asked, in order and each once."""
    by_default: bool = False
    """Whether everything was asked that was allowed beforehand (`.default`)."""

    @property
    def wants_id_token(self) -> bool:
        """Whether the client wants to know who the person is."""
        return "openid" in self.scope.split()

    @property
    def wants_refresh_token(self) -> bool:
        """Whether the client wants to come back without the person."""
        return "offline_access" in self.scope.split()

    @property
    def names_resource(self) -> bool:
        """Whether a resource was named, and not only things about the person."""
        return any(word not in OIDC_SCOPES for word in self.scope.split())

    def granted(self, resource_scope: str) -> str:
        """Return the scope of the answer: what was asked, and what `.default` stood for."""
        words = self.scope.split()
        wide = resource_scope not in words and (self.by_default or not self.names_resource)
        return " ".join([*words, resource_scope] if wide else words)


def parse_scope(text: str, *, api_client_id: str) -> Asked:
    """Understand a `scope` parameter. Raises `OAuthError` if it means nothing here."""
    words = list(dict.fromkeys(text.split()))
    if len(text) > 2000 or not words:
        raise invalid_scope("Name a scope, for instance api://<client id>/user_impersonation.")
    named = {_resource(word, api_client_id) for word in words if word not in OIDC_SCOPES}
    if len(named) > 1:
        raise OAuthError(
            "invalid_scope",
            28000,
            "The scope names more than one resource. Ask for one token after the other.",
        )
    by_default = any(word.lower().endswith("/.default") for word in words)
    return Asked(named.pop() if named else CORE, " ".join(words), by_default)


def _resource(word: str, api_client_id: str) -> str:
    if word == CLI_SCOPE:
        return CLI_SCOPE
    match = _RESOURCE.fullmatch(word)
    if match is None:
        shown = word[:100] if word.isprintable() else "?"
        raise invalid_scope(
            f"The scope {shown} is not known here. Scopes look like "
            "api://<client id or workspace id>/user_impersonation."
        )
    guid = match[1].lower()
    return CORE if guid == api_client_id else guid


def may_redirect(client: Client, address: str) -> bool:
    """Whether an answer for `client` may be sent to `address`.

    Either it is registered, letter for letter, or it is a program on the person's own machine
    (RFC 8252 section 7.3: any port).
    """
    if not _ADDRESS.fullmatch(address):
        return False
    return address in client.redirect_uris or is_loopback(address)


def is_loopback(address: str) -> bool:
    """Whether the address is `http` on the machine of whoever opens it, and nothing hidden."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.fragment or parts.query)
    is_here = parts.scheme == "http" and parts.hostname in _LOOPBACK and port != 0
    return plain and is_here and "@" not in parts.netloc and "#" not in address


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def with_answer(address: str, mode: str, answer: Mapping[str, str]) -> str:
    """Return `address` with an answer in its query or, in mode `fragment`, after a #."""
    joint = "#" if mode == "fragment" else "&" if "?" in address else "?"
    return f"{address}{joint}{urlencode(answer)}"


def is_challenge(text: str) -> bool:
    """Whether this is a SHA-256 code challenge (RFC 7636 section 4.2)."""
    return _CHALLENGE.fullmatch(text) is not None


def fits_challenge(verifier: str, challenge: str) -> bool:
    """Whether the verifier is the one that was promised; compared in constant time."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(unpadded(digest).encode(), challenge.encode())


def unpadded(content: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def new_user_code() -> str:
    """Return a code that a person can type: eight letters, shown as two groups."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_USER_CODE_LENGTH))


def shown_user_code(code: str) -> str:
    """Return a user code as people read it."""
    return f"{code[:4]}-{code[4:]}"


def typed_user_code(text: str) -> str | None:
    """Return the code that somebody typed, however they spaced it; None if it cannot be one."""
    letters = "".join(
        letter for letter in text.upper()[:40] if letter not in " -\u2010\u2013\u00a0"
    )
    fits = len(letters) == _USER_CODE_LENGTH and set(letters) <= set(_LETTERS)
    return letters if fits else None


def repeated(names: Iterable[str]) -> str | None:
    """Return a parameter that was sent twice, which no reader may choose between; else None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
