"""Is Carrel taken for Entra itself? To be run in a network and mount namespace of its own.

There `login.microsoftonline.com` is this machine: the libraries use it without any option.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msal
import requests
from azure.identity import ClientSecretCredential, DeviceCodeCredential

from carrel.core.ids import new_id
from tests.browser.site import Site, running
from tests.compat.issuer import BrowserPerson, Portal

HOST = "login.microsoftonline.com"


def become_entra(folder: Path) -> None:
    """Let the name lead to this namespace's own loopback, and nowhere else."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n")
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "--bind", str(hosts), "/etc/hosts"],
        ["ip", "link", "set", "lo", "up"],
    ):
        subprocess.run(command, check=True)
    os.environ["CARREL_AUTHORITY_URL"] = f"https://{HOST}"
    os.environ["CARREL_CERTIFICATE_NAMES"] = f'["{HOST}"]'


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    become_entra(folder)
    with running(Site(folder / "home", 443)) as site:
        site.add_person("ada", "Ada Okafor", is_admin=True)
        portal = Portal(site)
        authority = f"https://{HOST}/{portal.tenant}"
        person = BrowserPerson(portal, "ada")
        app = msal.PublicClientApplication(
            portal.client_id, authority=authority, http_client=portal.http
        )
        flow = app.initiate_device_flow([portal.core_scope])
        person.allow_device(flow["user_code"])
        token = app.acquire_token_by_device_flow(flow)["access_token"]
        [account] = app.get_accounts()
        again = app.acquire_token_silent([portal.core_scope], account, force_refresh=True)
        client_id, secret, _ = portal.application("Nightly")
        with DeviceCodeCredential(
            portal.client_id,
            tenant_id=portal.tenant,
            connection_verify=portal.ca,
            prompt_callback=lambda _page, code, _until: person.allow_device(code),
        ) as device:
            by_device = device.get_token(portal.core_scope).token
        with ClientSecretCredential(
            portal.tenant, client_id, secret, connection_verify=portal.ca
        ) as application:
            by_secret = application.get_token(f"api://{portal.client_id}/.default").token
        for one in (token, again["access_token"], by_device, by_secret):
            assert portal.call(one, "GET", "/api/workspaces").status_code == 200
        other = msal.PublicClientApplication(
            portal.client_id,
            authority=f"https://localhost/{portal.tenant}",
            http_client=portal.http,
        )  # asks login.microsoftonline.com whether it knows this host
        assert other.authority.tenant == portal.tenant
        with requests.get(
            f"https://{HOST}/{new_id()}/v2.0/.well-known/openid-configuration",
            verify=portal.ca,
            timeout=10,
        ) as stranger:
            assert stranger.status_code == 400
        person.close()
        portal.close()
    sys.stdout.write("taken for Entra\n")


if __name__ == "__main__":
    main()
