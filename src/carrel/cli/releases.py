"""What left a TRE: is it what was released, and by whose key is it signed?"""

from pathlib import Path
from typing import Annotated

import typer

from carrel.airlock.verifying import fingerprint_of, verify_release
from carrel.cli import client
from carrel.cli.output import JsonFlag, fields, remark, show
from carrel.core.errors import Conflict, InvalidRequest, OutsideFailure

app = typer.Typer()


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The downloaded archive.", exists=True)],
    key: Annotated[
        Path | None, typer.Option("--key", help="PEM file of the key that the TRE publishes.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Check a downloaded release: signature, hashes, nothing beside. Needs no TRE."""
    found = verify_release(file, None if key is None else _read(key))
    result = {
        "intact": True,
        "keyChecked": found.is_key_given,
        "keySha256": found.key_sha256,
        "request": found.request_id,
        "title": found.title,
        "tre": found.tre,
        "files": found.files,
        "manifestSha256": found.manifest_sha256,
        "policySha256": found.policy_sha256,
    }
    shown = {
        "Intact": f"{found.files} files, as {found.tre} released them",
        "Title": found.title,
        "Request": found.request_id,
        "Manifest": found.manifest_sha256,
        "Policy": found.policy_sha256,
        "Signed by key": found.key_sha256,
    }
    show(result, as_json=json, human=fields(shown))
    if not found.is_key_given:
        remark(
            "The key came with the archive, so this does not say who signed it. Compare its "
            "fingerprint with the TRE's, or give the TRE's key with --key."
        )


@app.command("key")
def show_key(
    out: Annotated[Path | None, typer.Option("--out", help="New file to write the key to.")] = None,
    json: JsonFlag = False,
) -> None:
    """Print or save the public key with which the TRE signs releases; needs no account."""
    found = client.anonymous().get("/api/airlock/signing-key")
    if fingerprint_of(found["publicKey"].encode()) != found["sha256"]:
        raise OutsideFailure("The TRE's key does not fit its fingerprint. Tell an administrator.")
    if out is not None:
        _save(out, found["publicKey"])
        remark(f"Fingerprint {found['sha256']}")
    human = lambda _console: typer.echo(out or found["publicKey"].strip())  # noqa: E731 - one line
    show(found, as_json=json, human=human)


def _read(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{key} cannot be read: {error.strerror}.", field="key") from error


def _save(out: Path, key: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(key)
    except FileExistsError as error:
        raise Conflict(f"{out} exists already. Move it away first.") from error
    except OSError as error:
        raise InvalidRequest(f"{out} cannot be written: {error.strerror}.", field="out") from error
