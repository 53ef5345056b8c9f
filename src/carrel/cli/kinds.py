"""What can be done with a resource of any kind? The commands that all four kinds share."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from carrel.cli import client, properties, refer
from carrel.cli.follow import NoWait, settle
from carrel.cli.inspect import show_history, show_operations, show_usage
from carrel.cli.output import JsonFlag, fields, moment, show, table

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would happen; nothing is changed.")
]
Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the four kinds of resource, as the command line names and finds it."""

    one: str
    """Key of one resource in an answer of the API."""
    noun: str
    references: Sequence[tuple[str, Any]]
    """Arguments that say which resource is meant: `(name, annotation)`."""
    find: Callable[..., refer.Found]
    """Takes the API, then the references."""
    asks_before_delete: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The resource that a command is about."""

    api: client.Api
    kind: Kind
    found: refer.Found

    @property
    def path(self) -> str:
        """Where it is in the API."""
        return f"/api{self.found['resourcePath']}"


def add_commands(app: typer.Typer, kind: Kind, *, actions: Mapping[str, str] | None = None) -> None:
    """Give a group of commands what every kind can do, and short names for some `actions`."""
    for name, command in COMMANDS.items():
        app.command(name)(_bound(command, kind))
    for name, says in (actions or {}).items():
        app.command(name, help=says)(_bound(partial(_invoke, action=name), kind))


def _bound(command: Command, kind: Kind) -> Command:
    """Return the command with the arguments by which a resource of this kind is found."""
    own = list(inspect.signature(command).parameters.values())[1:]
    own = [each for each in own if each.name not in getattr(command, "keywords", {})]
    references = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        for name, annotation in kind.references
    ]

    def run(**given: Any) -> None:
        words = [given.pop(name) for name, _ in kind.references]
        api = client.signed_in()
        command(Target(api, kind, kind.find(api, *words)), **given)

    parameters = [
        *references,
        *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
    ]
    run.__doc__ = (command.__doc__ or "").format(noun=kind.noun)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    return run


# The commands ---------------------------------------------------------------------------------


def show_one(target: Target, *, json: JsonFlag = False) -> None:
    """Show a {noun}."""
    show({target.kind.one: target.found}, as_json=json, human=fields(resource_fields(target.found)))


def update(
    target: Target,
    *,
    pairs: properties.PropertyOption = [],  # noqa: B006 - typer copies it
    file: properties.FileOption = None,
    template_version: Annotated[str, typer.Option(help="Template version to move to.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Allow a major upgrade or a downgrade.")
    ] = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Change properties of a {noun}, or its template's version."""
    body = patch_body(properties.read(pairs, file), template_version)
    _patch(target, body, force=force, dry_run=dry_run, no_wait=no_wait, json=json)


def enable(
    target: Target, *, dry_run: DryRun = False, no_wait: NoWait = False, json: JsonFlag = False
) -> None:
    """Enable a {noun} again."""
    _patch(target, {"isEnabled": True}, dry_run=dry_run, no_wait=no_wait, json=json)


def disable(
    target: Target, *, dry_run: DryRun = False, no_wait: NoWait = False, json: JsonFlag = False
) -> None:
    """Disable a {noun} and everything in it; nothing is lost."""
    _patch(target, {"isEnabled": False}, dry_run=dry_run, no_wait=no_wait, json=json)


def delete(
    target: Target,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Delete a disabled {noun} with everything in it; nothing is left."""
    if target.kind.asks_before_delete and not (yes or dry_run):
        question = f"Delete {refer.name_of(target.found)} with every file in it, for ever?"
        typer.confirm(question, abort=True, err=True)
    answer = target.api.send("DELETE", target.path, params=_asking(dry_run=dry_run))
    _conclude(target.api, answer, no_wait=no_wait, json=json)


def action(
    target: Target,
    *,
    action: Annotated[str, typer.Argument(help="Name of an action that the template offers.")],
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    """Invoke an action that the template of a {noun} offers."""
    _invoke(target, action=action, dry_run=dry_run, no_wait=no_wait, json=json)


def operations(target: Target, *, json: JsonFlag = False) -> None:
    """List the operations of a {noun}, oldest first."""
    show_operations(target.api, target.found, as_json=json)


def history(target: Target, *, json: JsonFlag = False) -> None:
    """Show the former states of a {noun}."""
    show_history(target.api, target.found, as_json=json)


def usage(target: Target, *, json: JsonFlag = False) -> None:
    """Show what a {noun} has used so far."""
    show_usage(target.api, target.found, as_json=json)


COMMANDS: Mapping[str, Command] = {
    "show": show_one,
    "update": update,
    "enable": enable,
    "disable": disable,
    "delete": delete,
    "action": action,
    "operations": operations,
    "history": history,
    "usage": usage,
}


# What they are made of ------------------------------------------------------------------------


def create(
    api: client.Api,
    path: str,
    template: str,
    given: Mapping[str, Any],
    *,
    dry_run: bool,
    no_wait: bool,
    json: bool,
) -> None:
    """Create a resource and watch it come up."""
    body = {"templateName": template, "properties": dict(given)}
    answer = api.send("POST", path, json=body, params=_asking(dry_run=dry_run))
    _conclude(api, answer, no_wait=no_wait, json=json)


def patch_body(given: Mapping[str, Any], template_version: str) -> dict[str, Any]:
    """Return the body of a change of properties and version."""
    body: dict[str, Any] = {"properties": dict(given)} if given else {}
    if template_version:
        body["templateVersion"] = template_version
    if not body:
        raise typer.BadParameter("Say what to change: -p NAME=VALUE or --template-version.")
    return body


def resource_fields(found: refer.Found) -> dict[str, Any]:
    """Return what a person wants to know of any resource, name by name."""
    given = dict(found.get("properties", {}))
    upgrades = [
        one["version"] + (" (needs --force)" if one.get("forceUpdateRequired") else "")
        for one in found.get("availableUpgrades", ())
    ]
    return {
        "Name": given.pop("display_name", ""),
        "ID": found["id"],
        "Template": f"{found['templateName']} {found['templateVersion']}",
        "Newer versions": upgrades,
        "Status": found.get("deploymentStatus"),
        "Enabled": found.get("isEnabled"),
        "Description": given.pop("description", ""),
        **{name: value for name, value in given.items() if name != "overview"},
        "Differs from what runs": [one.get("message", one) for one in found.get("drift", ())],
        "Changed": moment(found.get("updatedWhen")),
        "Changed by": (found.get("user") or {}).get("name"),
    }


def _patch(
    target: Target,
    body: Mapping[str, Any],
    *,
    force: bool = False,
    dry_run: bool,
    no_wait: bool,
    json: bool,
) -> None:
    """Send a change of a resource as it was just seen; a newer state is a conflict."""
    asking = _asking(dry_run=dry_run) | ({"force_version_update": "true"} if force else {})
    seen = {"etag": target.found["_etag"]}
    answer = target.api.send("PATCH", target.path, json=body, headers=seen, params=asking)
    _conclude(target.api, answer, no_wait=no_wait, json=json)


def _invoke(
    target: Target,
    *,
    action: str,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    json: JsonFlag = False,
) -> None:
    asking = {"action": action} | _asking(dry_run=dry_run)
    answer = target.api.send("POST", f"{target.path}/invoke-action", params=asking)
    _conclude(target.api, answer, no_wait=no_wait, json=json)


def _asking(*, dry_run: bool) -> dict[str, str]:
    return {"dry_run": "true"} if dry_run else {}


def _conclude(api: client.Api, answer: Mapping[str, Any], *, no_wait: bool, json: bool) -> None:
    if "plan" in answer:
        show(answer, as_json=json, human=_plan(answer["plan"]))
    else:
        settle(api, answer, no_wait=no_wait, as_json=json)


def _plan(plan: Mapping[str, Any]) -> Callable[[Console], None]:
    """Return a function that prints what a change would do."""
    changes = [
        (one["property"], _brief(one.get("from")), _brief(one.get("to")))
        for one in plan.get("changes", ())
    ]
    steps = [(one["stepTitle"], one.get("resourceId", "")) for one in plan.get("steps", ())]

    def draw(console: Console) -> None:
        console.print(f"This {escape(str(plan.get('action', 'change')))} would do the following.")
        table(("Step", "On resource"), steps, empty="Nothing has to be done on the host.")(console)
        if changes:
            table(("Property", "Now", "Then"), changes, empty="")(console)
        for warning in plan.get("warnings", ()):
            console.print(f"Note: {escape(str(warning))}", highlight=False)

    return draw


def _brief(value: Any) -> str:
    return "" if value is None else str(value)
