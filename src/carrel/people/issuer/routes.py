"""How do programs reach the issuer? At the root, at Entra's addresses, in Entra's shapes."""

import base64
import binascii
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any
from urllib.parse import unquote_plus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

from carrel.core.errors import CarrelError
from carrel.core.web import FormDep, provide
from carrel.people.issuer.errors import OAuthError, missing
from carrel.people.issuer.rules import OIDC_SCOPES, RESPONSE_MODES, repeated
from carrel.people.issuer.service import DEVICE_GRANT, Issuer

IssuerDep = Annotated[Issuer, Depends(provide(Issuer))]
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM = "application/x-www-form-urlencoded"


class OAuthRoute(APIRoute):
    """A route whose errors are OAuth's, whoever raises them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route with its errors translated."""
        inner = super().get_route_handler()

        async def outer(request: Request) -> Response:
            try:
                return await inner(request)
            except OAuthError as error:
                return refusal(request, error)
            except CarrelError as error:
                temporary = OAuthError("temporarily_unavailable", 90033, str(error))
                return refusal(request, temporary, status=error.status)

        return outer


router = APIRouter(route_class=OAuthRoute)


def refusal(request: Request, error: OAuthError, status: int | None = None) -> JSONResponse:
    """Return an error as Entra's clients read it (RFC 6749 section 5.2 and more)."""
    request_id = getattr(request.state, "request_id", "")
    now = request.app.state.services.get(Issuer).now()
    body = {
        "error": error.error,
        "error_description": error.description,
        "error_codes": [error.number],
        "timestamp": now.strftime("%Y-%m-%d %H:%M:%SZ"),
        "trace_id": request_id,
        "correlation_id": request.headers.get("client-request-id", request_id)[:64],
    }
    answer = JSONResponse(body, status_code=status or error.answer_status, headers=NO_STORE)
    if error.error == "invalid_client":
        answer.headers["WWW-Authenticate"] = 'Basic realm="Carrel"'
    return answer


@router.get("/common/discovery/instance")
def show_instance(issuer: IssuerDep, authorization_endpoint: str = "") -> JSONResponse:
    """Say whether an authority is known, as Entra's libraries ask before they trust it."""
    if not issuer.is_own_host(authorization_endpoint):
        raise OAuthError("invalid_instance", 50049, "Unknown or invalid instance.")
    host = issuer.base.split("/")[2]
    names = sorted({host, host.split(":")[0]})
    return JSONResponse(
        {
            "tenant_discovery_endpoint": f"{issuer.base}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": names}],
        }
    )


@router.get("/{tenant}/v2.0/.well-known/openid-configuration")
def show_configuration(tenant: str, issuer: IssuerDep) -> JSONResponse:
    """Describe the issuer (OpenID Connect Discovery 1.0, RFC 8414)."""
    issuer.check_tenant(tenant)
    base = issuer.base
    return JSONResponse(
        {
            "issuer": issuer.identity.issuer_url,
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["code"],
            "response_modes_supported": sorted(RESPONSE_MODES),
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
                DEVICE_GRANT,
            ],
            "scopes_supported": sorted(OIDC_SCOPES),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": [
                "none",
                "client_secret_post",
                "client_secret_basic",
            ],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": [
                "aud",
                "auth_time",
                "email",
                "exp",
                "iat",
                "iss",
                "name",
                "nbf",
                "nonce",
                "oid",
                "preferred_username",
                "roles",
                "sub",
                "tid",
                "ver",
            ],
            "authorization_response_iss_parameter_supported": True,
            "request_uri_parameter_supported": False,
            "cloud_instance_name": base.split("/")[2],
            "tenant_region_scope": None,
        }
    )


@router.get("/{tenant}/discovery/v2.0/keys")
def show_keys(tenant: str, issuer: IssuerDep) -> JSONResponse:
    """Return the public keys (RFC 7517)."""
    issuer.check_tenant(tenant)
    keys = [{**key, "issuer": issuer.identity.issuer_url} for key in issuer.keys.public()]
    return JSONResponse({"keys": keys}, headers={"Cache-Control": "public, max-age=300"})


@router.post("/{tenant}/oauth2/v2.0/token")
def give_token(tenant: str, request: Request, form: FormDep, issuer: IssuerDep) -> JSONResponse:
    """Exchange a code, device code, refresh token or secret for tokens."""
    issuer.check_tenant(tenant)
    given = _fields(request, form)
    basic = _basic(request.headers.get("authorization", ""))
    answer = issuer.token(given, basic, address_of(request))
    return JSONResponse(answer, headers=NO_STORE)


@router.post("/{tenant}/oauth2/v2.0/devicecode")
def start_device(tenant: str, request: Request, form: FormDep, issuer: IssuerDep) -> JSONResponse:
    """Begin a sign-in on another device."""
    issuer.check_tenant(tenant)
    given = _fields(request, form)
    for name in ("client_id", "scope"):
        if not given.get(name):
            raise missing(name)
    client = issuer.client(given["client_id"])
    answer = issuer.devices.start(client, given["scope"], address_of(request))
    return JSONResponse(answer, headers=NO_STORE)


def address_of(request: Request) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client else "unknown"


def _fields(request: Request, form: FormData) -> Mapping[str, str]:
    """Return the form, each name once (RFC 6749 section 3.2). Raises `OAuthError`."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != _FORM:
        raise OAuthError("invalid_request", 900561, f"Send a form, as {_FORM}.")
    twice = repeated(name for name, _ in form.multi_items())
    if twice is not None:
        raise OAuthError("invalid_request", 9000411, f"'{twice[:64]}' was sent twice.")
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _basic(header: str) -> tuple[str, str] | None:
    """Return client id and secret of an `Authorization: Basic` header, None if there is none.

    Raises `OAuthError` for one that cannot be read.
    """
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError(
            "invalid_client", 7000215, "The Authorization header cannot be read."
        ) from error
    client_id, _, secret = decoded.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)
