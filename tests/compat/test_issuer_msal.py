"""Does Microsoft's own library for Python get tokens from Carrel, unmodified?"""

import base64
import json
import warnings
from collections.abc import Iterator

import pytest

from carrel.people.issuer.rules import unpadded
from tests.compat.issuer import BrowserPerson, Portal, later


def claims_of(token: str) -> dict:
    """Return the claims of a token, unchecked."""
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.fixture
def ada(portal: Portal) -> Iterator[BrowserPerson]:
    person = BrowserPerson(portal, "ada")
    yield person
    person.close()


def signed_in(portal: Portal, person: BrowserPerson):
    """Return msal's client after a device sign-in, and its answer."""
    app = portal.public()
    flow = app.initiate_device_flow([portal.core_scope])
    person.allow_device(flow["user_code"])
    return app, app.acquire_token_by_device_flow(flow)


def test_a_device_code_brings_a_core_token_that_the_api_takes(portal: Portal, ada: BrowserPerson):
    _, answer = signed_in(portal, ada)
    claims = claims_of(answer["access_token"])
    assert claims["iss"] == f"{portal.authority}/v2.0"
    assert (claims["aud"], claims["tid"]) == (portal.client_id, portal.tenant)
    assert (claims["ver"], claims["scp"]) == ("2.0", "user_impersonation")
    assert claims["roles"] == ["TREAdmin", "TREUser"]
    assert (claims["name"], claims["preferred_username"]) == ("Ada Okafor", "ada")
    assert answer["id_token_claims"]["oid"] == claims["oid"]
    shown = portal.call(answer["access_token"], "GET", "/api/workspaces")
    assert shown.status_code == 200, shown.text


def test_a_device_waits_until_the_person_answers(portal: Portal, ada: BrowserPerson):
    app = portal.public()
    flow = app.initiate_device_flow([portal.core_scope])
    first = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert first["error"] == "authorization_pending"
    thread = later(lambda: ada.allow_device(flow["user_code"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # msal's own, about asking again so soon
        answer = app.acquire_token_by_device_flow(flow)
    thread.join()
    assert "access_token" in answer, answer


def test_a_refused_device_gets_nothing(portal: Portal, ada: BrowserPerson):
    app = portal.public()
    flow = app.initiate_device_flow([portal.core_scope])
    ada.allow_device(flow["user_code"], choice="deny")
    answer = app.acquire_token_by_device_flow(flow)
    assert answer["error"] == "authorization_declined"


def test_msal_refreshes_silently(portal: Portal, ada: BrowserPerson):
    app, first = signed_in(portal, ada)
    (account,) = app.get_accounts()
    assert account["username"] == "ada"
    assert (
        account["home_account_id"] == f"{claims_of(first['access_token'])['oid']}.{portal.tenant}"
    )
    cached = app.acquire_token_silent([portal.core_scope], account=account)
    assert cached["access_token"] == first["access_token"]
    second = app.acquire_token_silent([portal.core_scope], account=account, force_refresh=True)
    assert second["access_token"] != first["access_token"]
    third = app.acquire_token_silent([portal.core_scope], account=account, force_refresh=True)
    assert "access_token" in third, third


def test_an_application_gets_a_core_token_by_its_secret(portal: Portal):
    client_id, secret, account_id = portal.application("Nightly")
    app = portal.confidential(client_id, secret)
    answer = app.acquire_token_for_client([f"api://{portal.client_id}/.default"])
    claims = claims_of(answer["access_token"])
    assert (claims["oid"], claims["azp"], claims["idtyp"]) == (account_id, client_id, "app")
    assert claims["roles"] == ["TREUser"]
    assert "refresh_token" not in answer
    shown = portal.call(answer["access_token"], "GET", "/api/workspaces")
    assert shown.status_code == 200, shown.text


def test_a_wrong_secret_gets_nothing(portal: Portal):
    client_id, _, _ = portal.application("Wrong")
    app = portal.confidential(client_id, unpadded(b"not the secret at all, but as long"))
    answer = app.acquire_token_for_client([f"api://{portal.client_id}/.default"])
    assert answer["error"] == "invalid_client"
    assert answer["error_codes"] == [7000215]
