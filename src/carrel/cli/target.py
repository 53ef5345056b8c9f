"""Which TRE does a command mean? The options that every command has."""

from dataclasses import dataclass
from pathlib import Path

import typer

from carrel.core.settings import Settings, load


@dataclass(slots=True)
class Given:
    """The global options as they were given."""

    home: Path | None = None
    url: str | None = None
    ca: Path | None = None


_given = Given()
HOISTED = ("--home", "--url", "--ca")
"""Options that may stand anywhere on the command line."""


def remember(home: Path | None, url: str | None, ca: Path | None) -> None:
    """Keep the global options for the command that follows."""
    _given.home = home.absolute() if home else None
    _given.url, _given.ca = url, ca


def given() -> Given:
    """Return the global options."""
    return _given


def settings() -> Settings:
    """Read the settings of the TRE on this machine. Raises `InvalidRequest`."""
    return load(_given.home)


def hoist(arguments: list[str]) -> list[str]:
    """Move the global options to the front, so that they may stand anywhere before `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments[:end])
    for word in words:
        if word in HOISTED:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith(tuple(f"{name}=" for name in HOISTED)):
            front.append(word)
        else:
            rest.append(word)
    return front + rest + arguments[end:]


HomeOption = typer.Option(
    None, "--home", help="Folder of the TRE on this machine (else CARREL_HOME, else the usual)."
)
UrlOption = typer.Option(None, "--url", help="Address of the portal.", envvar="CARREL_URL")
CaOption = typer.Option(
    None, "--ca", help="PEM file of the authority to trust.", envvar="CARREL_CA"
)
