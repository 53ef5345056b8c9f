"""How several people review one request; `carrel airlock` offers these too."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from carrel.cli import client, properties, refer
from carrel.cli.output import JsonFlag, fields, moment, remark, show, table
from carrel.cli.requests import RequestId, path_of
from carrel.cli.workspaces import Reference
from carrel.core.errors import Conflict, InvalidRequest

Manifest = Annotated[
    str,
    typer.Option(help="SHA-256 of the manifest that you looked at (see show), or its start."),
]
_SEEN_LEAST = 12
"""So many characters of a manifest's hash stand for it."""


def seen_manifest(seen: str, in_force: str | None) -> str:
    """Return the whole hash that the reviewer saw. Raises `Conflict` if it is not in force."""
    seen = seen.strip().lower()
    if len(seen) < _SEEN_LEAST:
        raise InvalidRequest(
            f"Give at least {_SEEN_LEAST} characters of the manifest that you looked at. "
            "See: carrel airlock show"
        )
    if in_force is None:
        return seen  # the TRE says why there is nothing to decide
    if not in_force.startswith(seen):
        raise Conflict(
            "Another seal is in force now than the one you looked at. "
            "Look at the files again: carrel airlock show, findings and view"
        )
    return in_force


def policy(
    workspace: Reference,
    changes: Annotated[
        list[str],
        typer.Option("--set", "-s", help="NAME=VALUE, for instance reviewers=2 or blinded=true."),
    ] = [],  # noqa: B006 - typer copies it
    json: JsonFlag = False,
) -> None:
    """Show the policy of a workspace's airlock; with --set decide it anew, as administrator."""
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/airlock-policy"
    found = api.get(path)
    if changes:
        body = {**found["policy"], **properties.read(changes), "version": found["version"]}
        if isinstance(body["exportTypes"], str):
            body["exportTypes"] = body["exportTypes"].split(",")
        found = api.send("PUT", path, json=body)
    pairs = {key: _word(value) for key, value in found["policy"].items()}
    by = f"{found['decidedBy']}, {moment(found['decidedWhen'])}" if found["decidedBy"] else ""
    last = {"version": str(found["version"]), "sha256": found["sha256"], "decided": by}
    show(found, as_json=json, human=fields({**pairs, **last}))


def bench(workspace: Reference, request: RequestId, json: JsonFlag = False) -> None:
    """Show a review as you may see it now: votes, comments, groups and what changed."""
    api = client.signed_in()
    _show_bench(api.get(f"{path_of(api, workspace, request)}/bench"), as_json=json)


def group(
    workspace: Reference,
    request: RequestId,
    name: Annotated[str, typer.Argument(help="Of the group.")],
    files: Annotated[list[str] | None, typer.Argument(help="Files of your draft.")] = None,
    context: Annotated[str, typer.Option(help="What the files show, and of whom.")] = "",
    controls: Annotated[str, typer.Option(help="What protects the people in them.")] = "",
    dissolve: Annotated[bool, typer.Option("--dissolve", help="Dissolve it instead.")] = False,
    json: JsonFlag = False,
) -> None:
    """Put files of your draft into a group, with its context and controls."""
    api = client.signed_in()
    base = path_of(api, workspace, request)
    path = f"{base}/groups/{quote(name, safe='')}"
    if dissolve:
        api.send("DELETE", path)
        remark(f"The group {name} is dissolved.")
        return
    body = {"files": files or [], "context": context, "controls": controls}
    found = api.send("PUT", path, json=body)
    rows = [
        (one["name"], ", ".join(one["files"]), one["context"], one["controls"])
        for one in found["groups"]
    ]
    columns = ("Group", "Files", "Context", "Controls")
    show(found, as_json=json, human=table(columns, rows, empty="No group yet."))


def vote(
    workspace: Reference,
    request: RequestId,
    file: Annotated[str, typer.Argument(help="Name of the file in the request.")],
    word: Annotated[str, typer.Argument(help="approve, change, or none to take it back.")],
    json: JsonFlag = False,
) -> None:
    """Vote on one file of a request that you review."""
    words = {"approve": "approved", "change": "changes_requested", "none": None}
    if word not in words:
        raise typer.BadParameter(f"{word!r} is none of approve, change and none.")
    api = client.signed_in()
    path = f"{path_of(api, workspace, request)}/votes"
    _show_bench(api.send("PUT", path, json={"file": file, "vote": words[word]}), as_json=json)


def comment(
    workspace: Reference,
    request: RequestId,
    text: Annotated[str, typer.Argument(help="What you say; or the id of a comment of yours.")],
    group: Annotated[str, typer.Option(help="About this group of files.")] = "",
    public: Annotated[bool, typer.Option("--public", help="The author reads it later.")] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="TEXT is an id: make it public.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="TEXT is an id: take it back.")] = False,
    json: JsonFlag = False,
) -> None:
    """Comment on a request, as its reviewer or its author."""
    api = client.signed_in()
    path = f"{path_of(api, workspace, request)}/comments"
    mine = f"{path}/{quote(text, safe='')}"
    if drop:
        api.send("DELETE", mine)
        remark("The comment is taken back.")
        return
    body = {"text": text, "group": group, "public": public}
    found = api.post(f"{mine}/publish") if publish else api.post(path, body)
    show(found, as_json=json, human=lambda _console: typer.echo(found["comment"]["id"]))


def submit_review(
    workspace: Reference,
    request: RequestId,
    manifest: Manifest,
    explanation: Annotated[
        str, typer.Option("--explanation", "-m", help="Why; the author reads it afterwards.")
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Submit your review, having voted on every file."""
    api = client.signed_in()
    path = path_of(api, workspace, request)
    in_force = api.get(path)["airlockRequest"].get("manifestSha256")
    body = {"explanation": explanation, "manifestSha256": seen_manifest(manifest, in_force)}
    found = api.post(f"{path}/submitted-review", body)
    if not json:
        remark(f"Submitted. The request is {_words(found)}.")
    show(found, as_json=json)


def decide(
    workspace: Reference,
    request: RequestId,
    decision: Annotated[str, typer.Argument(help="approve, return or reject.")],
    manifest: Manifest,
    explanation: Annotated[str, typer.Option("--explanation", "-m", help="Why.")] = "",
    json: JsonFlag = False,
) -> None:
    """Do what the reviews amount to, once every review is there."""
    if decision not in ("approve", "return", "reject"):
        raise typer.BadParameter(f"{decision!r} is none of approve, return and reject.")
    api = client.signed_in()
    path = path_of(api, workspace, request)
    in_force = api.get(path)["airlockRequest"].get("manifestSha256")
    seen = seen_manifest(manifest, in_force)
    body = {"decision": decision, "explanation": explanation, "manifestSha256": seen}
    found = api.post(f"{path}/decide", body)
    if not json:
        remark(f"The request is {_words(found)}.")
    show(found, as_json=json)


def _words(found: Mapping[str, Any]) -> str:
    return str(found["airlockRequest"]["detailedStatus"]).replace("_", " ")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _show_bench(found: Mapping[str, Any], *, as_json: bool) -> None:
    rows = [
        (
            one["name"],
            one["change"],
            _said(one["vote"]),
            ", ".join(f"{who}: {_said(vote)}" for who, vote in one["others"].items()),
            _said(one["outcome"]),
        )
        for one in found["files"]
    ]
    if not as_json:
        submitted = ", ".join(one["reviewer"]["name"] for one in found["submitted"]) or "nobody"
        remark(
            f"Turn: {found['turn']}. Reviews wanted: {found['reviewers']}; submitted: {submitted}."
        )
        for one in found["comments"]:
            about = one["group"] or "the request"
            kind = "public" if one["public"] else "private"
            remark(f"{one['author']['name']} on {about} ({kind}): {one['text']}")
    columns = ("File", "Changed", "Your vote", "Others", "Together")
    show(found, as_json=as_json, human=table(columns, rows, empty="No file yet."))


def _said(word: str | None) -> str:
    return (word or "").replace("_", " ")


COMMANDS: Mapping[str, Callable[..., None]] = {
    "policy": policy,
    "bench": bench,
    "group": group,
    "vote": vote,
    "comment": comment,
    "submit-review": submit_review,
    "decide": decide,
}
