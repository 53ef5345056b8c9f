"""The roles of a TRE as processes of their own, for `carrel up`, systemd and pods."""

import typer

from carrel.cli.target import settings
from carrel.core import logs
from carrel.core.settings import Settings


def _begin(role: str) -> Settings:
    read = settings()
    logs.configure(role, read.log_level)
    return read


def serve() -> None:
    """Run the portal and the API, in the foreground."""
    from carrel.app import run_serve  # noqa: PLC0415 - each role imports only what it runs

    run_serve(_begin("serve"))


def work() -> None:
    """Run a worker: it takes the steps of operations, in the foreground."""
    from carrel.app import run_work  # noqa: PLC0415 - each role imports only what it runs

    run_work(_begin("work"))


def gateway() -> None:
    """Run the gateway, the only way in for people, in the foreground."""
    from carrel.app import run_gateway  # noqa: PLC0415 - each role imports only what it runs

    run_gateway(_begin("gateway"))


def packages() -> None:
    """Run the package gateway, the only way for software, in the foreground."""
    from carrel.app import run_packages  # noqa: PLC0415 - each role imports only what it runs

    run_packages(_begin("packages"))


def openapi() -> None:
    """Print the OpenAPI document of the API."""
    from carrel.app import openapi_document  # noqa: PLC0415 - the whole app is slow to import
    from carrel.core.database import canonical_json  # noqa: PLC0415

    typer.echo(canonical_json(openapi_document(settings())))
