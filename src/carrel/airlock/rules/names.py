"""Which file names may cross the boundary?

A name is read on Linux inside and on any system outside, shown to a reviewer, and must mean one
file only. What the runtime's boxes refuse is refused here too; the rest is for the world outside.
"""

import re
import unicodedata

from carrel.core.errors import InvalidRequest
from carrel.runtime.launcher.names import path_problem

MANIFEST_NAME = "carrel-manifest.json"
CRATE_NAME = "ro-crate-metadata.json"
SIGNATURE_NAME = f"{CRATE_NAME}.sig"
KEY_NAME = "carrel-signing-key.pem"
PAPERS = frozenset({MANIFEST_NAME, CRATE_NAME, SIGNATURE_NAME, KEY_NAME})
"""Names at the top of a released archive that are Carrel's own; no file of a request has one."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_FOREIGN = frozenset('<>:"|?*\\')
_SLUG = re.compile(r"[^a-z0-9]+")


def clean_name(name: str) -> str:
    """Return `name` in Unicode's composed form. Raises `InvalidRequest` if it may not cross."""
    composed = unicodedata.normalize("NFC", name)
    if problem := name_problem(composed):
        shown = ascii(composed[:80])
        raise InvalidRequest(
            f"The file name {shown} cannot be used: {problem}. Rename the file and try again.",
            field="name",
        )
    return composed


def name_problem(name: str) -> str:
    """Say why a composed, relative, `/`-separated name may not cross; empty if it may."""
    if problem := path_problem(name):
        return problem
    if fold(name.split("/", 1)[0]) in PAPERS:
        return "the name is kept for the release's own manifest"
    return next((problem for part in name.split("/") if (problem := _part_problem(part))), "")


def _part_problem(part: str) -> str:
    if not part.isprintable():
        return "a name holds a character that cannot be seen, such as a foreign space"
    if part.startswith("."):
        return "a name begins with a dot, which hides the file"
    if part.endswith("."):
        return "a name ends with a dot"
    if _RESERVED.fullmatch(part):
        return "a name is reserved on Windows"
    if found := sorted(_FOREIGN.intersection(part)):
        return f"a name holds {found[0]}, which other systems do not allow"
    return ""


def fold(name: str) -> str:
    """Return the form under which two names are the same file to somebody."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def inbox_folder(title: str, request_id: str) -> str:
    """Return the folder of an import below `/inbox`: readable, and unique to the request."""
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    slug = _SLUG.sub("-", ascii_title.lower()).strip("-")[:40].strip("-")
    return f"{slug or 'files'}-{request_id[:8]}"
