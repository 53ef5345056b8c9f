"""How do tests get a running issuer, people at it, and foreign clients that trust it?"""

import re
import ssl
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msal
import requests

from carrel.core.actors import TreRole, system
from carrel.people.issuer.service import Issuer
from tests.browser.site import PASSWORD, Site


class Door:
    """What foreign clients must know of a running TRE, and the clients themselves."""

    def __init__(self, url: str, ca: Path) -> None:
        self.url, self.ca = url, str(ca)
        self.tls = ssl.create_default_context(cafile=self.ca)
        known = httpx.get(f"{url}/api/.metadata", verify=self.tls).json()
        self.tenant, self.client_id = known["aad_tenant_id"], known["api_client_id"]
        self.authority = f"{url}/{self.tenant}"
        self.http = requests.Session()  # else msal makes one that nobody can close
        self.http.verify, self.http.trust_env = self.ca, False
        self.core_scope = f"api://{self.client_id}/user_impersonation"

    def close(self) -> None:
        """Close the clients' connections."""
        self.http.close()

    def public(self, **given) -> msal.PublicClientApplication:
        """Return msal's client for people, as AzureTRE's own clients make it."""
        return msal.PublicClientApplication(
            self.client_id,
            authority=self.authority,
            http_client=self.http,
            instance_discovery=False,
            **given,
        )

    def confidential(self, client_id: str, secret: str) -> msal.ConfidentialClientApplication:
        """Return msal's client for programs."""
        return msal.ConfidentialClientApplication(
            client_id,
            client_credential=secret,
            authority=self.authority,
            http_client=self.http,
            instance_discovery=False,
        )

    def call(self, token: str, method: str, path: str, **rest) -> httpx.Response:
        """Call the API with a token."""
        headers = {"Authorization": f"Bearer {token}", **rest.pop("headers", {})}
        return httpx.request(
            method, self.url + path, headers=headers, verify=self.tls, timeout=30, **rest
        )


class Portal(Door):
    """A running portal in this process, with an administrator."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.url, site.settings.home / "tls" / "ca.pem")
        self.site = site
        self.issuer = site.carrel.services.get(Issuer)

    def application(
        self, name: str, roles: Sequence[TreRole] = (TreRole.USER,)
    ) -> tuple[str, str, str]:
        """Make an application; returns client id, secret and account id."""
        made, secret = self.site.people.create_application(
            ADMIN, name=name, tre_roles=frozenset(roles)
        )
        return made.client_id, secret, made.account_id


ADMIN = system("tests")


class BrowserPerson:
    """A signed-in person who uses the portal's forms."""

    def __init__(self, portal: Portal, username: str) -> None:
        self._http = httpx.Client(base_url=portal.url, verify=portal.tls, timeout=30)
        self.answer = self._http.post("/sign-in", data={"username": username, "password": PASSWORD})
        assert self.answer.status_code == 303, self.answer.text

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **rest) -> httpx.Response:
        """Open a page."""
        return self._http.get(path, **rest)

    def post(self, path: str, fields: Mapping[str, str], *, with_token: bool = True):
        """Send a form, as the page would."""
        sent = dict(fields)
        if with_token:
            sent["csrf_token"] = csrf_of(self._http.get("/account").text)
        return self._http.post(path, data=sent)

    def allow_device(self, user_code: str, choice: str = "allow") -> None:
        """Type a program's code and answer."""
        shown = self.post("/device", {"user_code": user_code})
        assert shown.status_code == 200, shown.text
        done = self.post("/device/answer", {"user_code": user_code, "choice": choice})
        assert done.status_code == 200, done.text


def csrf_of(page: str) -> str:
    """Return the token of the first form of a page."""
    match = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert match is not None
    return match[1]


def later(run) -> threading.Thread:
    """Run something beside the test, and return the thread to join."""
    thread = threading.Thread(target=run)
    thread.start()
    return thread
