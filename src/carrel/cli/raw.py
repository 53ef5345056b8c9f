"""The API itself: any route by its path, and the health of a TRE from afar."""

import json as json_text
from pathlib import Path
from typing import Annotated, Any

import typer

from carrel.cli import client
from carrel.cli.output import JsonFlag, show, table
from carrel.core.errors import InvalidRequest

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def api(
    method: Annotated[str, typer.Argument(help=f"One of: {', '.join(METHODS)}.")],
    path: Annotated[str, typer.Argument(help="Path of the route, for instance /workspaces.")],
    body: Annotated[
        str, typer.Option(help="JSON to send, or @FILE with it, or @- for standard input.")
    ] = "",
    parameter: Annotated[
        list[str], typer.Option("--parameter", "-q", help="NAME=VALUE of the query; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    etag: Annotated[str, typer.Option(help="The state that a change was made from, or *.")] = "",
) -> None:
    """Call any route of the API and print the answer as it is."""
    word = method.upper()
    if word not in METHODS:
        raise typer.BadParameter(f"{method!r} is none of: {', '.join(METHODS)}.")
    address = path if path.startswith("/api/") else f"/api/{path.lstrip('/')}"
    rest: dict[str, Any] = {"params": _pairs(parameter)}
    if etag:
        rest["headers"] = {"etag": etag}
    if body:
        rest["json"] = _body(body)
    answer = client.signed_in().send(word, address, **rest)
    if answer is not None:
        show(answer, as_json=True)


def health(json: JsonFlag = False) -> None:
    """Show whether the TRE is well, as it says itself; status 1 if it is not."""
    there = client.signed_in() if client.current_login() else client.anonymous()
    found = there.get("/api/health")
    rows = [(one["service"], one["status"], one["message"]) for one in found["services"]]
    show(found, as_json=json, human=table(("Part", "Status", "Message"), rows, empty=""))
    if any(one["status"] != "OK" for one in found["services"]):
        raise typer.Exit(1)


def _pairs(given: list[str]) -> dict[str, str]:
    found = {}
    for pair in given:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise InvalidRequest(f"{pair!r} is not of the form NAME=VALUE.", field="parameter")
        found[name] = value
    return found


def _body(given: str) -> Any:
    text = given
    try:
        if given == "@-":
            text = typer.get_text_stream("stdin").read()
        elif given.startswith("@"):
            text = Path(given[1:]).read_text(encoding="utf-8")
        return json_text.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"The body cannot be read as JSON: {error}.", field="body") from error
