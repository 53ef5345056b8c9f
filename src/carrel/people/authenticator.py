"""Who sent this request? A browser by its cookie, a program by its bearer token."""

from typing import Final
from urllib.parse import urlsplit

from anyio import from_thread
from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import FormData

from carrel.core.actors import Actor
from carrel.core.errors import Denied
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings
from carrel.core.web import audience_of, route_template
from carrel.people.service import People
from carrel.people.tokens.bearer import AccessTokens
from carrel.people.tokens.refusals import Refusals
from carrel.people.tokens.rules import TokenRefused

COOKIE: Final = "__Host-carrel"
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf_token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_FORGED = (
    "This form is out of date or came from another site, so nothing was changed. "
    "Load the page again and repeat it."
)


class RequestAuthenticator:
    """Implements `core.web.Authenticator` over the people room."""

    def __init__(
        self,
        *,
        people: People,
        keys: KeyRing,
        settings: Settings,
        tokens: AccessTokens | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._people = people
        self._keys = keys
        self._settings = settings
        self._tokens = tokens
        self._refusals = refusals

    def authenticate(self, request: Request) -> Actor | None:
        """Return who sent the request, or None for nobody.

        Raises `Denied` for a browser's changing request from another site or without the token
        of its session, `TokenRefused` for an access token that does not hold here.
        """
        if "authorization" in request.headers:
            return self._program(request)
        token = request.cookies.get(COOKIE)
        found = self._people.find_session(token, request_id=_request_id(request)) if token else None
        if found is None or found[1].kind != "browser":
            return None
        actor, session = found
        if request.method not in SAFE_METHODS:
            check_same_site(request)
            self._check_token(request, session.id)
        return actor

    def csrf_token(self, request: Request) -> str:
        """Return the token that forms of this browser session must send back; "" for nobody."""
        actor: Actor | None = getattr(request.state, "actor", None)
        if actor is None or actor.session_id is None:
            return ""
        return self._keys.sign("csrf", actor.session_id)

    def remember(self, response: Response, token: str) -> None:
        """Give the browser its session's token, in a cookie that scripts cannot read."""
        response.set_cookie(
            COOKIE,
            token,
            max_age=self._settings.session_hours * 3600,
            path="/",
            secure=True,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")

    def note_denied(self, request: Request, error: Denied) -> None:
        """Record that somebody known tried to change what they may not, but not too often."""
        actor: Actor | None = getattr(request.state, "actor", None)
        if self._refusals is None or actor is None or request.method in SAFE_METHODS:
            return
        self._refusals.deny(actor, request.method, route_template(request.scope), str(error))

    def _program(self, request: Request) -> Actor | None:
        token = bearer_token(request.headers["authorization"])
        if token is None:
            return None
        if self._tokens is not None and "." in token and _is_api(request):
            return self._holder(self._tokens, token, request)
        found = self._people.find_session(token, request_id=_request_id(request))
        return found[0] if found and found[1].kind == "api" else None

    def _holder(self, tokens: AccessTokens, token: str, request: Request) -> Actor:
        """Return who holds an access token. Session tokens have no dot in them."""
        mark = audience_of(request.scope["endpoint"], route_template(request.scope))
        workspace_id = request.path_params.get("workspace_id")
        try:
            return tokens.actor(
                token,
                mark,
                workspace_id=str(workspace_id).lower() if workspace_id else None,
                request_id=_request_id(request),
            )
        except TokenRefused as refused:
            if self._refusals is not None:
                client = request.client.host if request.client else "unknown"
                self._refusals.refuse(refused, client, _request_id(request))
            raise

    def _check_token(self, request: Request, session_id: str) -> None:
        offered = request.headers.get(CSRF_HEADER) or _form_field(request)
        if not self._keys.is_signed("csrf", session_id, offered):
            raise Denied(_FORGED, log_detail="no valid CSRF token")


def bearer_token(header: str) -> str | None:
    """Return the token of an `Authorization` header, None if it is of another kind."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def check_same_site(request: Request) -> None:
    """Raise `Denied` if the browser says that another origin's page sent this request.

    Source: Fetch Metadata (W3C) and RFC 6454; a request without both headers is no browser's,
    or an old browser's, which the token still covers.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Denied(_FORGED, log_detail="sec-fetch-site")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Denied(_FORGED, log_detail="origin")


def _form_field(request: Request) -> str:
    """Return the token from the form. The form is parsed once; the route sees the same one."""
    if not request.headers.get("content-type", "").startswith(_FORM_TYPES):
        return ""
    try:
        form = from_thread.run(_parsed, request)
    except RuntimeError:  # not in a worker thread: an error page, which needs no token
        return ""
    value = form.get(CSRF_FIELD)
    return value if isinstance(value, str) else ""


async def _parsed(request: Request) -> FormData:
    return await request.form()


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


def _is_api(request: Request) -> bool:
    """Whether the API was asked; access tokens are good for nothing else."""
    return request.scope["path"].startswith("/api/") and "endpoint" in request.scope
