"""What can be done with the embedded issuer? `Issuer` is the whole of it."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from carrel.core.errors import CarrelError
from carrel.people.issuer.codes import Codes, Wish, check_parameters
from carrel.people.issuer.devices import Devices
from carrel.people.issuer.errors import (
    OAuthError,
    invalid_client,
    missing,
    unknown_client,
    unknown_tenant,
)
from carrel.people.issuer.grants import Answer, Grants
from carrel.people.issuer.keys import SigningKeys
from carrel.people.issuer.ports import Ground
from carrel.people.issuer.rules import (
    CLI_CLIENT_ID,
    TENANT_ALIASES,
    Client,
    may_redirect,
    origin_of,
)

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Issuer:
    """Hands out access tokens: discovery, clients, grants, codes and devices."""

    def __init__(self, ground: Ground, keys: SigningKeys) -> None:
        self._ground = ground
        self.keys = keys
        self.identity = ground.identity
        self.grants = Grants(ground, keys)
        self.codes = Codes(ground, self.grants)
        self.devices = Devices(ground, self.grants)
        settings = ground.settings
        swagger = f"{settings.portal_url}/api/docs/oauth2-redirect"
        own = Client(
            self.identity.api_client_id,
            settings.tre_name,
            frozenset({swagger, *settings.redirect_uris}),
        )
        cli = Client(CLI_CLIENT_ID, "Carrel's command line", may_have_sessions=True)
        self._clients = {client.id: client for client in (own, cli)}
        self._own_origin = origin_of(settings.portal_url)
        self.origins = frozenset(origin_of(address) for address in own.redirect_uris)
        """Of the pages that may read the token endpoint's answers."""

    @property
    def base(self) -> str:
        """Address of this tenant's endpoints."""
        return self.identity.issuer_url.removesuffix("/v2.0")

    def now(self) -> datetime:
        """Return the present moment, for answers that carry it."""
        return self._ground.clock.now()

    def check_tenant(self, tenant: str) -> None:
        """Raise `OAuthError` unless the address is this TRE's."""
        if tenant.lower() not in TENANT_ALIASES | {self.identity.tenant_id}:
            raise unknown_tenant(tenant)

    def is_own_host(self, address: str) -> bool:
        """Whether an address of an authority is on a host of this TRE, whatever the port."""
        settings = self._ground.settings
        hosts = {urlsplit(self.identity.issuer_url).hostname, settings.portal_host.lower()}
        try:
            host = urlsplit(address).hostname
        except ValueError:
            return False
        return host in hosts | {name.lower() for name in settings.certificate_names}

    def client(self, client_id: str) -> Client:
        """Return a public client. Raises `OAuthError`."""
        found = self._clients.get(client_id.lower())
        if found is None:
            raise unknown_client()
        return found

    def client_name(self, client_id: str) -> str:
        """Return what people call a client."""
        found = self._clients.get(client_id)
        return found.name if found else client_id

    def is_own_page(self, wish: Wish) -> bool:
        """Whether the answer goes to a page of the portal itself."""
        return origin_of(wish.redirect_uri) == self._own_origin

    def address_of(self, given: Mapping[str, str]) -> tuple[Client, str]:
        """Return the client and where to answer it; nothing is sent anywhere before this passed.

        Raises `OAuthError`, which only the person may see.
        """
        client = self.client(given.get("client_id", ""))
        address = given.get("redirect_uri", "")
        if not may_redirect(client, address):
            raise OAuthError(
                "invalid_request",
                50011,
                "The redirect_uri of this request is not registered for this application, so you "
                "were not sent there. A TRE administrator can add it to the setting "
                "redirect_uris.",
            )
        return client, address

    def understand(self, client: Client, address: str, given: Mapping[str, str]) -> Wish:
        """Return a whole authorization request. Raises `OAuthError`, which the client may see."""
        check_parameters(given)
        return Wish(
            client=client,
            redirect_uri=address,
            state=given.get("state", ""),
            mode=given.get("response_mode", "query"),
            asked=self.grants.parse(given.get("scope", "")),
            challenge=given["code_challenge"],
            nonce=given.get("nonce", ""),
            prompts=frozenset(given.get("prompt", "").split()),
            login_hint=given.get("login_hint", ""),
        )

    def token(
        self, given: Mapping[str, str], basic: tuple[str, str] | None, address: str
    ) -> Answer:
        """Answer the token endpoint. Raises `OAuthError`."""
        grant_type = given.get("grant_type", "")
        if not grant_type:
            raise missing("grant_type")
        if grant_type == "client_credentials":
            return self._application(given, basic, address)
        if basic is not None or given.get("client_secret"):
            raise OAuthError(
                "invalid_client", 700025, "A public client must not send a client_secret."
            )
        client = self.client(given.get("client_id", ""))
        if grant_type == "authorization_code":
            return self.codes.exchange(client, given)
        if grant_type == "refresh_token":
            return self._refresh(client, given)
        if grant_type in (DEVICE_GRANT, "device_code"):
            code = given.get("device_code") or given.get("code") or ""
            return self.devices.poll(client, code, address)
        raise OAuthError(
            "unsupported_grant_type",
            70003,
            "The grant type is not supported. Use authorization_code, device_code, "
            "refresh_token or client_credentials.",
        )

    def _refresh(self, client: Client, given: Mapping[str, str]) -> Answer:
        if not given.get("refresh_token"):
            raise missing("refresh_token")
        default = f"{self.identity.api_root_scope} openid profile offline_access"
        return self.grants.refresh(client, given["refresh_token"], given.get("scope") or default)

    def _application(
        self, given: Mapping[str, str], basic: tuple[str, str] | None, address: str
    ) -> Answer:
        client_id, secret = basic or (given.get("client_id", ""), given.get("client_secret", ""))
        if not client_id:
            raise missing("client_id")
        if given.get("client_assertion"):
            raise OAuthError(
                "invalid_client", 700027, "Certificates are not supported. Use a client_secret."
            )
        if not secret:
            raise OAuthError(
                "invalid_client",
                7000218,
                "The request body must contain the parameter: 'client_secret'.",
            )
        account_id = self._check_secret(client_id, secret, address)
        asked = self.grants.parse(given.get("scope", ""))
        if not asked.by_default or " " in asked.scope:
            raise OAuthError(
                "invalid_scope",
                1002012,
                "An application asks for one scope that ends in /.default, for instance "
                f"api://{self.identity.api_client_id}/.default.",
            )
        with self._ground.database.write() as connection:
            return self.grants.for_application(connection, account_id, client_id, asked)

    def _check_secret(self, client_id: str, secret: str, address: str) -> str:
        try:
            account_id = self._ground.accounts.check_application(
                client_id.lower(), secret, client=address
            )
        except CarrelError as error:
            if error.status not in (403, 429):
                raise
            raise OAuthError("temporarily_unavailable", 90055, str(error)) from error
        if account_id is None:
            raise invalid_client()
        return account_id
