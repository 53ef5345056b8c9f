"""The keys that sign access tokens: which there are, and a new one."""

from typing import Annotated

import typer

from carrel.choices import database_of
from carrel.cli.output import JsonFlag, remark, show, table
from carrel.cli.target import settings
from carrel.core.actors import system
from carrel.core.audit import Audit
from carrel.core.clock import SystemClock
from carrel.people.issuer.keys import SigningKeys

app = typer.Typer()


@app.command("list")
def list_all(json: JsonFlag = False) -> None:
    """List the keys of the TRE on this machine, the one that signs first."""
    keys = SigningKeys(settings().home, SystemClock()).public()
    found = {"keys": [{"kid": key["kid"], "signs": key is keys[0]} for key in keys]}
    rows = [(one["kid"], one["signs"]) for one in found["keys"]]
    show(found, as_json=json, human=table(("Key", "Signs"), rows, empty="No key yet."))


@app.command()
def rotate(
    at_once: Annotated[
        bool,
        typer.Option(
            "--at-once",
            help="Forget the old keys now, and every access token with them: for a key that "
            "somebody else may have seen.",
        ),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Sign with a new key from now on; nothing needs a restart."""
    local, clock = settings(), SystemClock()
    keys = SigningKeys(local.home, clock)
    database = database_of(local)
    with database.write() as connection:
        made = keys.rotate(at_once=at_once)
        Audit(clock).append(
            connection, system("command line"), "keys.rotated", made.kid, at_once=at_once
        )
    database.close()
    remark(
        "A new key signs. "
        + (
            "Every earlier access token is over."
            if at_once
            else "The old one counts until its last token is over, in about two hours."
        )
    )
    show({"kid": made.kid}, as_json=json)
