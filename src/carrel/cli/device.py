"""How does `carrel login` sign in without seeing a password? By a code typed in the browser."""

import time
from typing import Any

from carrel.cli.client import Api
from carrel.cli.output import remark
from carrel.core.clock import monotonic
from carrel.core.errors import NotAuthenticated, OutsideFailure
from carrel.people.issuer.rules import CLI_CLIENT_ID, CLI_SCOPE
from carrel.people.issuer.service import DEVICE_GRANT

_ENDPOINTS = "/common/oauth2/v2.0"
_GO_ON = frozenset({"authorization_pending", "slow_down"})


def token_by_device(api: Api) -> str:
    """Show an address and a code, and wait until the person has let this program in.

    Raises `NotAuthenticated` if they refuse or do not answer in time.
    """
    begun = _checked(
        *api.send_form(f"{_ENDPOINTS}/devicecode", client_id=CLI_CLIENT_ID, scope=CLI_SCOPE)
    )
    remark(f"Open {begun['verification_uri']} in a browser and type the code {begun['user_code']}")
    pause = float(begun["interval"])
    until = monotonic() + float(begun["expires_in"])
    while monotonic() < until:
        time.sleep(pause)
        status, answer = api.send_form(
            f"{_ENDPOINTS}/token",
            grant_type=DEVICE_GRANT,
            client_id=CLI_CLIENT_ID,
            device_code=begun["device_code"],
        )
        error = answer.get("error")
        if error == "slow_down":
            pause += 5
        if error not in _GO_ON:
            return str(_checked(status, answer)["access_token"])
    raise NotAuthenticated("Nobody answered in time. Run: carrel login")


def _checked(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    if status == 200:
        return answer
    sentence = str(answer.get("error_description") or answer.get("detail") or "")
    if answer.get("error") == "authorization_declined":
        raise NotAuthenticated("You refused this program in the browser. Nobody is signed in.")
    if 400 <= status < 500 and sentence:
        raise NotAuthenticated(sentence.partition(": ")[2] or sentence)
    raise OutsideFailure(
        f"The TRE does not offer this kind of sign-in (status {status}). "
        "Try: carrel login --username NAME"
    )
