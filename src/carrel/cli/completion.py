"""How does a shell learn to complete commands, and the names that stand in them?"""

from collections.abc import Sequence
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from carrel.cli import client, refer
from carrel.core.errors import CarrelError

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[str, typer.Argument(help=f"One of: {', '.join(SHELLS)}.")],
) -> None:
    """Print what makes a shell complete `carrel`: source it, or put it where the shell looks."""
    if shell not in SHELLS:
        raise typer.BadParameter(f"{shell!r} is none of: {', '.join(SHELLS)}.")
    typer.echo(
        get_completion_script(prog_name="carrel", complete_var="_CARREL_COMPLETE", shell=shell)
    )


def workspaces(incomplete: str) -> Sequence[str]:
    """Return the names of the workspaces that begin so; none if nobody is signed in."""
    return _named("/api/workspaces", "workspaces", incomplete)


def shared_services(incomplete: str) -> Sequence[str]:
    """Return the names of the shared services that begin so."""
    return _named("/api/shared-services", "sharedServices", incomplete)


def _named(path: str, key: str, incomplete: str) -> Sequence[str]:
    try:
        found = client.signed_in().get(path)[key]
    except CarrelError:  # a completion that cannot be had must not spoil the line being typed
        return []
    names = [refer.name_of(one) for one in found]
    return [name for name in names if name.casefold().startswith(incomplete.casefold())]
