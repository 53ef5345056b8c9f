"""Dead letters: work that failed again and again and was put aside."""

from typing import Annotated

import typer

from carrel.cli import client
from carrel.cli.output import JsonFlag, moment, remark, show, table

app = typer.Typer()
LetterId = Annotated[str, typer.Argument(help="Id of the dead letter.")]


@app.command()
def dead(json: JsonFlag = False) -> None:
    """List the work that was put aside; administrators only."""
    found = client.signed_in().get("/api/dead-letters")
    rows = [
        (one["id"], one["kind"], one["failures"], moment(one["parkedWhen"]), one["error"])
        for one in found["deadLetters"]
    ]
    columns = ("ID", "Kind", "Failures", "Put aside (UTC)", "Error")
    show(found, as_json=json, human=table(columns, rows, empty="Nothing was put aside."))


@app.command()
def retry(letter: LetterId, json: JsonFlag = False) -> None:
    """Let work that was put aside be tried again; administrators only."""
    _settle(letter, "retry", "It will be tried again.", as_json=json)


@app.command()
def discard(letter: LetterId, json: JsonFlag = False) -> None:
    """Give work up that was put aside; its operation fails. Administrators only."""
    _settle(letter, "discard", "It was given up.", as_json=json)


def _settle(letter: str, verb: str, sentence: str, *, as_json: bool) -> None:
    answer = client.signed_in().post(f"/api/dead-letters/{letter}/{verb}")
    show(answer, as_json=as_json, human=lambda _: remark(sentence))
