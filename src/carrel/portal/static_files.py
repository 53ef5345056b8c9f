"""Where are the portal's style, script and font files, and how may browsers keep them?

All of them lie below `/static/<digest>/`, where the digest covers every file. So they may be
kept for ever, and files that name each other (the style its fonts) stay of one version.
"""

import hashlib
import mimetypes
from functools import cache
from pathlib import Path

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static"
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("text/javascript", ".js")


@cache
def digest() -> str:
    """Return a short hash over the names and contents of all static files."""
    whole = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(FOLDER).as_posix().encode() + b"\0")
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


def static_url(name: str) -> str:
    """Return the address of a static file, for instance `carrel.css`."""
    return f"{PREFIX}/{digest()}/{name}"


class _KeptFiles(StaticFiles):
    """Static files whose address changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with the file, to be kept for a year."""
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def static_mount() -> Mount:
    """Return the route that serves the static files of this version."""
    files = GZipMiddleware(_KeptFiles(directory=FOLDER), minimum_size=2048)
    return Mount(f"{PREFIX}/{digest()}", files, name="static")
