"""Which commands are there? Each is imported only when the command line names it."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from carrel.cli.target import HOISTED, CaOption, HomeOption, UrlOption, remember


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command, or a group of commands, is written."""

    module: str
    """Module below `carrel`."""
    attribute: str
    """A command function, or the Typer app of a group."""
    help: str = ""


COMMANDS = {
    "init": _Place("cli.host", "init"),
    "up": _Place("cli.host", "up"),
    "down": _Place("cli.host", "down"),
    "destroy": _Place("cli.host", "destroy"),
    "restart": _Place("cli.host", "restart"),
    "status": _Place("cli.status", "status"),
    "login": _Place("cli.session", "login"),
    "logout": _Place("cli.session", "logout"),
    "whoami": _Place("cli.session", "whoami"),
    "health": _Place("cli.raw", "health"),
    "costs": _Place("cli.costs", "costs"),
    "api": _Place("cli.raw", "api"),
    "completion": _Place("cli.completion", "completion"),
    "demo": _Place("cli.demo", "demo"),
    "prove": _Place("cli.prove", "prove"),
    "rebuild": _Place("cli.rebuild", "rebuild_files"),
    "openapi": _Place("cli.roles", "openapi"),
    "serve": _Place("cli.roles", "serve"),
    "work": _Place("cli.roles", "work"),
    "gateway": _Place("cli.roles", "gateway"),
    "packages": _Place("cli.roles", "packages"),
}
GROUPS = {
    "account": _Place("cli.accounts", "app", "Accounts of people (TRE administrators)."),
    "application": _Place(
        "cli.applications", "app", "Programs with an account of their own (TRE administrators)."
    ),
    "workspace": _Place("cli.workspaces", "app", "Workspaces and their members."),
    "service": _Place("cli.services", "app", "Workspace services: the tools of a workspace."),
    "resource": _Place("cli.resources", "app", "User resources: your own sessions in a service."),
    "shared-service": _Place("cli.shared", "app", "Shared services: one for the whole TRE."),
    "operation": _Place("cli.operations", "app", "Operations: what changes, step by step."),
    "queue": _Place("cli.queue", "app", "Work that failed again and again (administrators)."),
    "template": _Place("cli.templates", "app", "Templates that resources are made from."),
    "airlock": _Place("cli.airlock", "app", "Files in and out, checked by a person."),
    "release": _Place("cli.releases", "app", "What left: is it what was released?"),
    "keys": _Place("cli.keys", "app", "Keys that sign access tokens, on this machine."),
    "evidence": _Place("cli.evidence", "app", "Proofs of isolation that the TRE keeps."),
    "audit": _Place("cli.audit", "app", "The record of who did what, and its proof."),
}


def build(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command line: whole, or just the command that hoisted `words` name."""
    named = _named(words)
    app = typer.Typer(
        name="carrel",
        no_args_is_help=True,
        add_completion=named is None,  # a shell that asks for completions names no command
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="A Trusted Research Environment that runs on one machine and proves its isolation.",
        epilog="Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 not signed in, "
        "4 denied, 5 not found, 6 conflict.",
    )
    app.callback()(_options)
    for name, place in COMMANDS.items():
        if named in (None, name):
            app.command(name)(_find(place))
    for name, place in GROUPS.items():
        if named in (None, name):
            app.add_typer(_find(place), name=name, help=place.help, no_args_is_help=True)
    return app


def _options(
    home: Path | None = HomeOption, url: str | None = UrlOption, ca: Path | None = CaOption
) -> None:
    remember(home, url, ca)


def _named(words: Sequence[str]) -> str | None:
    """Return the first word that is neither a global option nor its value, if it is known."""
    rest = iter(words)
    for word in rest:
        if word in HOISTED:
            next(rest, None)
        elif not word.startswith("--"):
            return word if word in COMMANDS or word in GROUPS else None
        elif word == "--help":
            return None
    return None


def _find(place: _Place) -> Any:
    return getattr(importlib.import_module(f"carrel.{place.module}"), place.attribute)
