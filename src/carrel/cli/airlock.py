"""Files in and out of a workspace, checked by a person."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.progress import Progress

from carrel.cli import client, properties, refer, requests, reviews, transfer, uploads
from carrel.cli.output import (
    JsonFlag,
    fields,
    messages,
    moment,
    printable,
    remark,
    show,
    size,
    table,
)
from carrel.cli.requests import RequestId
from carrel.cli.workspaces import Reference
from carrel.core.errors import Conflict, InvalidRequest

app = typer.Typer()
Explanation = Annotated[str, typer.Option("--explanation", "-m", help="Why; others read it.")]
OwnWords = Annotated[
    str,
    typer.Option(
        "--explanation", "-m", help="Why; others read it. To reject, or in spite of a flag, say it."
    ),
]
FileName = Annotated[str, typer.Argument(help="Name of the file in the request.")]


@app.command("list")
def list_all(
    workspace: Reference,
    kind: Annotated[str, typer.Option("--type", help="Only import or export.")] = "",
    status: Annotated[str, typer.Option(help="Only with this status.")] = "",
    json: JsonFlag = False,
) -> None:
    """List the airlock requests of a workspace."""
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/requests"
    found = api.get(path, type=kind or None, status=status or None)
    rows = [
        (one["id"], one["type"], one["title"], one["status"],
         (one.get("createdBy") or {}).get("name"))
        for one in (row["airlockRequest"] for row in found["airlockRequests"])
    ]  # fmt: skip
    columns = ("ID", "Type", "Title", "Status", "Author")
    show(found, as_json=json, human=table(columns, rows, empty="No request yet."))


@app.command()
def new(
    workspace: Reference,
    kind: Annotated[str, typer.Argument(help="import or export.")],
    title: Annotated[str, typer.Argument(help="What it is about.")],
    justification: Annotated[
        str, typer.Option(help="Why the files must cross; submitting needs it.")
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Open a draft. Then: upload (import) or collect (export), and submit."""
    if kind not in ("import", "export"):
        raise typer.BadParameter(f"{kind!r} is neither import nor export.")
    api = client.signed_in()
    path = f"/api{refer.workspace(api, workspace)['resourcePath']}/requests"
    body = {"type": kind, "title": title, "businessJustification": justification}
    found = api.post(path, body)
    show(
        found,
        as_json=json,
        human=lambda _console: typer.echo(found["airlockRequest"]["id"]),
    )


@app.command()
def amend(
    workspace: Reference,
    request: RequestId,
    title: Annotated[str | None, typer.Option(help="What it is about.")] = None,
    justification: Annotated[str | None, typer.Option(help="Why the files must cross.")] = None,
    json: JsonFlag = False,
) -> None:
    """Write the title or the justification of your draft anew."""
    if title is None and justification is None:
        raise InvalidRequest("Nothing to change. Give --title, --justification or both.")
    api = client.signed_in()
    path = requests.path_of(api, workspace, request)
    now = api.get(path)["airlockRequest"]
    body = {
        "title": now["title"] if title is None else title,
        "businessJustification": (
            now["businessJustification"] if justification is None else justification
        ),
    }
    _display(api.send("PATCH", path, json=body), as_json=json)


@app.command()
def upload(
    workspace: Reference,
    request: RequestId,
    files: Annotated[list[Path], typer.Argument(help="Files and folders.", exists=True)],
    json: JsonFlag = False,
) -> None:
    """Put files and folders into an import draft; goes on where an earlier try stopped."""
    api = client.signed_in()
    base = requests.path_of(api, workspace, request)
    with Progress(console=messages(), transient=True) as progress:
        for file, name in uploads.named(files):
            task = progress.add_task(name, total=file.stat().st_size)
            uploads.send(api, base, file, name, partial(progress.advance, task))
    _display(api.get(base), as_json=json)


@app.command()
def outbox(workspace: Reference, json: JsonFlag = False) -> None:
    """List what lies in the workspace's outbox, ready to be collected."""
    api = client.signed_in()
    found = api.get(f"/api{refer.workspace(api, workspace)['resourcePath']}/outbox")
    rows = [(one["path"], size(one["size"]), one.get("refused", "")) for one in found["files"]]
    columns = ("Path", "Size", "Refused because")
    empty = "The outbox is empty. Inside the workspace, put files into /outbox."
    show(found, as_json=json, human=table(columns, rows, empty=empty))


@app.command()
def collect(
    workspace: Reference,
    request: RequestId,
    paths: Annotated[list[str], typer.Argument(help="Paths below the outbox.")],
    json: JsonFlag = False,
) -> None:
    """Take files from the outbox into an export draft."""
    api = client.signed_in()
    base = requests.path_of(api, workspace, request)
    api.post(f"{base}/collect", {"paths": paths})
    _display(api.get(base), as_json=json)


@app.command()
def adopt(
    workspace: Reference,
    request: RequestId,
    folder: Annotated[str, typer.Argument(help="Of the draft, where results.json lies.")] = "",
    json: JsonFlag = False,
) -> None:
    """Turn an ACRO session in your draft into its outputs, with what it says of them."""
    api = client.signed_in()
    base = requests.path_of(api, workspace, request)
    api.post(f"{base}/adopt-session", {"folder": folder})
    _display(api.get(base), as_json=json)


@app.command()
def describe(
    workspace: Reference,
    request: RequestId,
    file: FileName,
    pairs: Annotated[
        list[str], typer.Option("--column", "-c", help="HEADER=STATISTIC, for instance age=mean.")
    ] = [],  # noqa: B006 - typer copies it
    text: Annotated[str, typer.Option(help="Words for the reviewer.")] = "",
    json: JsonFlag = False,
) -> None:
    """Declare what a file in your draft shows."""
    columns = {key: str(value) for key, value in properties.read(pairs).items()}
    api = client.signed_in()
    path = f"{requests.path_of(api, workspace, request)}/files/{quote(file, safe='')}"
    found = api.send("PATCH", path, json={"columns": columns, "text": text})
    if not json:
        remark(f"{file} is described.")
    show(found, as_json=json)


@app.command()
def remove(
    workspace: Reference, request: RequestId, file: FileName, json: JsonFlag = False
) -> None:
    """Take a file out of your draft."""
    api = client.signed_in()
    base = requests.path_of(api, workspace, request)
    api.send("DELETE", f"{base}/files/{quote(file, safe='')}")
    _display(api.get(base), as_json=json)


@app.command()
def manifest(workspace: Reference, request: RequestId) -> None:
    """Print the sealed manifest, byte for byte: its SHA-256 is what a review names."""
    api = client.signed_in()
    with api.stream(f"{requests.path_of(api, workspace, request)}/manifest") as answer:
        typer.echo(answer.read(), nl=False)


@app.command()
def submit(workspace: Reference, request: RequestId, json: JsonFlag = False) -> None:
    """Seal the files by their hashes and ask for a review."""
    _move(workspace, request, "submit", {}, as_json=json)


@app.command("show")
def show_one(workspace: Reference, request: RequestId, json: JsonFlag = False) -> None:
    """Show a request, its files with their hashes, and what you may do now."""
    api = client.signed_in()
    _display(api.get(requests.path_of(api, workspace, request)), as_json=json)


@app.command()
def findings(workspace: Reference, request: RequestId, json: JsonFlag = False) -> None:
    """Show what the scanners found in the sealed files."""
    api = client.signed_in()
    found = api.get(f"{requests.path_of(api, workspace, request)}/findings")
    rows = [
        (one.get("file"), one.get("row"), one.get("column"), one.get("sentence"))
        for one in found["findings"]
    ]
    columns = ("File", "Row", "Column", "Finding")
    show(found, as_json=json, human=table(columns, rows, empty="Nothing was found."))


@app.command()
def view(
    workspace: Reference,
    request: RequestId,
    file: FileName,
    save: Annotated[
        Path | None, typer.Option(help="Write to this new file instead of printing.")
    ] = None,
) -> None:
    """Show a sealed file to its reviewer: its text, or with --save an image too."""
    if save is not None and save.exists():
        raise Conflict(f"{save} exists already. Move it away first.")
    api = client.signed_in()
    path = f"{requests.path_of(api, workspace, request)}/files/{quote(file, safe='')}/content"
    with api.stream(path) as answer:
        if save is not None:
            transfer.write(answer, save)
        elif answer.headers.get("content-type", "").startswith("image/"):
            raise InvalidRequest(f"{file} is an image. Write it to a file with --save.")
        else:
            typer.echo(printable(answer.read().decode(errors="replace")), nl=False)
        cut = answer.headers.get("x-carrel-truncated")
    if cut:
        remark(f"{file} is longer: this is its beginning ({size(int(cut))}).")


@app.command()
def review(
    workspace: Reference,
    request: RequestId,
    approve: Annotated[bool, typer.Option("--approve/--reject", help="Your decision.")],
    manifest: reviews.Manifest,
    explanation: OwnWords = "",
    json: JsonFlag = False,
) -> None:
    """Decide on somebody else's request, having looked at its files."""
    api = client.signed_in()
    path = requests.path_of(api, workspace, request)
    in_force = api.get(path)["airlockRequest"].get("manifestSha256")
    seen = reviews.seen_manifest(manifest, in_force)
    body = {"approval": approve, "decisionExplanation": explanation, "manifestSha256": seen}
    _display(api.post(f"{path}/review", body), as_json=json)


@app.command("return")
def send_back(
    workspace: Reference, request: RequestId, explanation: Explanation, json: JsonFlag = False
) -> None:
    """Give a request back to its author, saying what to change."""
    _move(workspace, request, "return", {"explanation": explanation}, as_json=json)


@app.command()
def cancel(workspace: Reference, request: RequestId, json: JsonFlag = False) -> None:
    """Withdraw your own request before it is decided."""
    _move(workspace, request, "cancel", {}, as_json=json)


@app.command()
def revoke(
    workspace: Reference, request: RequestId, explanation: Explanation, json: JsonFlag = False
) -> None:
    """Withdraw an approval; download tickets end at once."""
    _move(workspace, request, "revoke", {"reason": explanation}, as_json=json)


@app.command()
def release(workspace: Reference, request: RequestId, json: JsonFlag = False) -> None:
    """Print a single-use address for downloading an approved export."""
    api = client.signed_in()
    ticket = api.post(f"{requests.path_of(api, workspace, request)}/release")
    url = _absolute(api, ticket["url"])
    human = lambda _console: typer.echo(url)  # noqa: E731 - one line for one line
    show({**ticket, "url": url}, as_json=json, human=human)


@app.command()
def download(
    workspace: Reference,
    request: RequestId,
    folder: Annotated[Path, typer.Argument(help="Existing folder to write into.")] = Path(),
    json: JsonFlag = False,
) -> None:
    """Download an approved export to this machine; an existing file is never replaced."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is not a folder.")
    target = folder / f"release-{request}.zip"
    if target.exists():
        raise Conflict(f"{target} exists already. Move it away first.")
    api = client.signed_in()
    ticket = api.post(f"{requests.path_of(api, workspace, request)}/release")
    digest = transfer.save(api, _absolute(api, ticket["url"]), target)
    if not json:
        remark(f"SHA-256 {digest}")
    result = {"file": str(target), "sha256": digest}
    show(result, as_json=json, human=lambda _console: typer.echo(target))


def _move(workspace: str, request: str, verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    api = client.signed_in()
    _display(api.post(f"{requests.path_of(api, workspace, request)}/{verb}", body), as_json=as_json)


def _display(found: Any, *, as_json: bool) -> None:
    request = found["airlockRequest"]
    pairs = {
        "Title": request["title"],
        "ID": request["id"],
        "Type": request["type"],
        "Status": request["status"],
        "Message": request.get("statusMessage"),
        "Author": (request.get("createdBy") or {}).get("name"),
        "Changed (UTC)": moment(request.get("updatedWhen")),
        "Manifest": request.get("manifestSha256"),
        "You may": found.get("allowedUserActions"),
    }
    for file in request.get("files", ()):
        pairs[f"File {file['name']}"] = f"{size(file['size'])} {file.get('sha256') or ''}"
    for decision in request.get("reviews", ()):
        name = (decision.get("reviewer") or {}).get("name", "")
        pairs[f"Review by {name}"] = (
            f"{decision['reviewDecision']}: {decision['decisionExplanation']}"
        )
    show(found, as_json=as_json, human=fields(pairs))


def _absolute(api: client.Api, url: str) -> str:
    return url if url.startswith("https://") else f"{api.url}{url}"


for _name, _command in {**requests.COMMANDS, **reviews.COMMANDS}.items():
    app.command(_name)(_command)
