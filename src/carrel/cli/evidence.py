"""Proofs of isolation that the TRE keeps."""

from typing import Annotated

import typer

from carrel.cli import client
from carrel.cli.output import JsonFlag, fields, show, table

app = typer.Typer()


@app.command("list")
def list_all(json: JsonFlag = False) -> None:
    """List the proofs of isolation, newest first."""
    found = client.signed_in().get("/api/evidence/proofs")
    columns = ("ID", "Proof")
    rows = [(one["id"], _summary(one)) for one in found["proofs"]]
    show(found, as_json=json, human=table(columns, rows, empty="None yet. Run: carrel prove"))


@app.command("show")
def show_one(
    proof: Annotated[str, typer.Argument(help="Id of the proof.")], json: JsonFlag = False
) -> None:
    """Show one proof with every probe and what was observed."""
    found = client.signed_in().get(f"/api/evidence/proofs/{proof}")
    show(found, as_json=json, human=fields(found.get("proof", found)))


def _summary(proof: dict[str, object]) -> str:
    return ", ".join(
        f"{name} {value}"
        for name, value in proof.items()
        if name != "id" and isinstance(value, str | int | float)
    )
