"""Which address does a request mean? Slashes are tidied; what no address may hold is refused."""

import re
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from carrel.core.errors import BadRequest

_SLASHES = re.compile(rb"/{2,}")
_FOR_PROGRAMS = {"/": "/ping", "/health": "/api/health"}
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def tidy(scope: Scope) -> None:
    """Fold doubled slashes into one and drop one at the end, in the path of a request.

    AzureTRE's clients join a base address and a path with two slashes.
    """
    path = _tidied(scope["path"].encode("utf-8", "surrogatepass"))
    scope["path"] = path.decode("utf-8", "surrogatepass")
    scope["raw_path"] = _tidied(scope.get("raw_path") or path)


def _tidied(path: bytes) -> bytes:
    return _SLASHES.sub(b"/", path).rstrip(b"/") or b"/"


def check(scope: Scope) -> None:
    """Raise `BadRequest` if path or query hold control characters or no valid UTF-8.

    Such an address is no typing mistake, and databases, logs and files read it differently.
    """
    parts = (("path", scope.get("raw_path") or b""), ("query", scope["query_string"]))
    for name, raw in parts:
        plain = unquote_to_bytes(raw)
        if _CONTROL.search(plain):
            raise BadRequest(f"The {name} of the address holds a control character. Leave it out.")
        try:
            plain.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"The {name} of the address is not text in UTF-8.") from error


def send_programs_on(scope: Scope, accept: str) -> None:
    """Give programs AzureTRE's answer where people get a page: at `/` and `/health`."""
    if "text/html" not in accept.lower():
        scope["path"] = _FOR_PROGRAMS.get(scope["path"], scope["path"])
