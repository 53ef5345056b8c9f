"""Templates that resources are made from."""

from pathlib import Path
from typing import Annotated

import typer

from carrel.cli import client
from carrel.cli.output import JsonFlag, fields, remark, show, table
from carrel.cli.target import settings
from carrel.core.actors import system
from carrel.core.processes import account

app = typer.Typer()
KINDS = {
    "workspace": "/api/workspace-templates",
    "workspace-service": "/api/workspace-service-templates",
    "user-resource": "/api/workspace-service-templates/{parent}/user-resource-templates",
    "shared-service": "/api/shared-service-templates",
}
KindOption = Annotated[str, typer.Option(help=f"One of: {', '.join(KINDS)}.")]
ParentOption = Annotated[
    str, typer.Option(help="Service template, for the templates of user resources.")
]


@app.command("list")
def list_all(
    kind: KindOption = "workspace", parent: ParentOption = "notebooks", json: JsonFlag = False
) -> None:
    """List the current templates of one kind."""
    found = client.signed_in().get(_path(kind, parent))
    rows = [(one["name"], one["title"], one["description"]) for one in found["templates"]]
    columns = ("Name", "Title", "Description")
    show(found, as_json=json, human=table(columns, rows, empty="No template of this kind."))


@app.command("show")
def show_one(
    name: Annotated[str, typer.Argument(help="Name of the template.")],
    kind: KindOption = "workspace",
    parent: ParentOption = "notebooks",
    version: Annotated[str, typer.Option(help="Version; the current one if not given.")] = "",
    json: JsonFlag = False,
) -> None:
    """Show a template and the properties it takes."""
    api = client.signed_in()
    found = api.get(f"{_path(kind, parent)}/{name}", version=version or None)
    needed = set(found.get("required", ()))
    described = {
        f"{key}{' *' if key in needed else ''}": one.get("title") or one.get("description", "")
        for key, one in found.get("properties", {}).items()
    }
    head = {
        "Template": f"{found['name']} {found['version']}",
        "Title": found["title"],
        "Description": found["description"],
        "Properties": "(* needed)",
    }
    show(found, as_json=json, human=fields({**head, **described}))


@app.command()
def register(
    folder: Annotated[Path, typer.Argument(help="Folder of the bundle.", exists=True)],
    json: JsonFlag = False,
) -> None:
    """Check a bundle and register it with the TRE on this machine (run as its owner)."""
    from carrel.app import build  # noqa: PLC0415 - the whole application, only where needed
    from carrel.workspaces.service import Workspaces  # noqa: PLC0415

    given = settings()
    try:
        template = build(given).services.get(Workspaces).register(system("cli"), folder.absolute())
    finally:
        account.hand_over(given.home, account.current())
    result = {"name": template.name, "version": template.version, "kind": template.kind}
    if not json:
        remark(f"Registered {template.name} {template.version} ({template.kind}).")
    show(result, as_json=json)


def _path(kind: str, parent: str) -> str:
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of: {', '.join(KINDS)}.")
    return KINDS[kind].format(parent=parent)
