"""Templates that resources are made from."""

from pathlib import Path
from typing import Annotated

import typer

from carrel.cli import client
from carrel.cli.output import JsonFlag, fields, remark, show, table
from carrel.cli.target import settings
from carrel.core.actors import system
from carrel.core.processes import account
from carrel.workspaces.rules import ResourceKind

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


FolderArgument = Annotated[Path, typer.Argument(help="Folder of the bundle.", exists=True)]
KindOfBundle = Annotated[
    str, typer.Option("--kind", help="Kind of an AzureTRE bundle outside AzureTRE's folders.")
]
ParentOfBundle = Annotated[
    str, typer.Option("--parent", help="Service template of an AzureTRE user resource.")
]


@app.command()
def register(
    folder: FolderArgument,
    kind: KindOfBundle = "",
    parent: ParentOfBundle = "",
    channel: Annotated[str, typer.Option(help="current or testing.")] = "current",
    dry_run: Annotated[
        bool, typer.Option(help="Only print what would be registered, and every problem.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Check a bundle, ours or AzureTRE's, and register it here (run as the TRE's owner)."""
    if channel not in {"current", "testing"}:
        raise typer.BadParameter("The channel is current or testing.")
    if dry_run:
        _inspect(folder, kind, parent, as_json=json)
        return
    from carrel.app import build  # noqa: PLC0415 - the whole application, only where needed
    from carrel.workspaces.service import Workspaces  # noqa: PLC0415

    given = settings()
    try:
        template = (
            build(given)
            .services.get(Workspaces)
            .register(
                system("cli"),
                folder.absolute(),
                kind=_kind(kind),
                parent=parent or None,
                channel="testing" if channel == "testing" else "current",
            )
        )
    finally:
        account.hand_over(given.home, account.current())
    result = {"name": template.name, "version": template.version, "kind": template.kind}
    if not json:
        remark(f"Registered {template.name} {template.version} ({template.kind}).")
        if template.missing_driver:
            remark(template.missing_driver)
    show(result, as_json=json)


@app.command()
def validate(
    folder: FolderArgument,
    kind: KindOfBundle = "",
    parent: ParentOfBundle = "",
    json: JsonFlag = False,
) -> None:
    """Name everything that is wrong with a bundle, with file and line; changes nothing."""
    _inspect(folder, kind, parent, as_json=json)


def _inspect(folder: Path, kind: str, parent: str, *, as_json: bool) -> None:
    from carrel.workspaces.bundles import inspect  # noqa: PLC0415 - a quick start of the others

    found = inspect(folder.absolute(), kind=_kind(kind), parent=parent or None)
    template, registration = found.template, found.registration
    problems = [
        {
            "file": one.file,
            "line": one.line,
            "problem": one.sentence,
            "serious": one.is_serious,
        }
        for one in found.problems
    ]
    payload = None
    if template and registration:
        payload = registration.payload(template.kind, is_current=True)
    result = {"valid": template is not None, "problems": problems, "payload": payload}
    rows = [
        (f"{one['file']}:{one['line']}", "error" if one["serious"] else "note", one["problem"])
        for one in problems
    ]
    show(result, as_json=as_json, human=table(("Where", "", "What"), rows, empty="No problem."))
    if template is None:
        raise typer.Exit(1)


def _kind(text: str) -> ResourceKind | None:
    if text and text not in list(ResourceKind):
        raise typer.BadParameter(f"{text!r} is none of: {', '.join(ResourceKind)}.")
    return ResourceKind(text) if text else None


@app.command()
def versions(
    name: Annotated[str, typer.Argument(help="Name of the template.")],
    kind: KindOption = "workspace",
    parent: ParentOption = "",
    json: JsonFlag = False,
) -> None:
    """List every version of a template: current, in testing, withdrawn."""
    found = client.signed_in().get(_versions(kind, name), parent=parent or None)
    rows = [
        (
            one["version"],
            "current" if one["current"] else one["channel"],
            one["withdrawal"],
            one["driver"] or one["missingDriver"],
        )
        for one in found["versions"]
    ]
    columns = ("Version", "Offered as", "Withdrawn because", "Driver")
    show(found, as_json=json, human=table(columns, rows, empty="No version."))


@app.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="Name of the template.")],
    version: Annotated[str, typer.Argument(help="The version.")],
    reason: Annotated[str, typer.Option(help="Why; people read it.")],
    kind: KindOption = "workspace",
    parent: ParentOption = "",
    json: JsonFlag = False,
) -> None:
    """Let nothing new be made of a version; what was made of it stays."""
    path = f"{_versions(kind, name)}/{version}/withdraw{_query(parent)}"
    found = client.signed_in().post(path, {"reason": reason})
    show(found, as_json=json, human=fields({"Withdrawn": f"{name} {version}"}))


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="Name of the template.")],
    version: Annotated[str, typer.Argument(help="The version.")],
    kind: KindOption = "workspace",
    parent: ParentOption = "",
    json: JsonFlag = False,
) -> None:
    """Make a version the current one of its name."""
    path = f"{_versions(kind, name)}/{version}/promote{_query(parent)}"
    found = client.signed_in().post(path, {})
    show(found, as_json=json, human=fields({"Current": f"{name} {version}"}))


def _versions(kind: str, name: str) -> str:
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of: {', '.join(KINDS)}.")
    return f"/api/templates/{kind}/{name}/versions"


def _query(parent: str) -> str:
    return f"?parent={parent}" if parent else ""


def _path(kind: str, parent: str) -> str:
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of: {', '.join(KINDS)}.")
    return KINDS[kind].format(parent=parent)
