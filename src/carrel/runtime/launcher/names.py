"""Is this a name that may touch the host?"""

import re
import unicodedata
import uuid

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255
MAX_DEPTH = 32

USER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)


def is_id(text: str) -> bool:
    """Say whether `text` is a UUID in its canonical form, so that it is safe in any path."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def path_problem(path: str) -> str:
    """Say why `path` may not name a file in a box; empty if it may."""
    if not path:
        return "it is empty"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    if size > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        return f"it is more than {MAX_DEPTH} folders deep"
    return next((problem for part in parts if (problem := _part_problem(part))), "")


def _part_problem(part: str) -> str:
    if part in {"", ".", ".."}:
        return "it must be relative, without empty parts, `.` or `..`"
    if part != part.strip():
        return "a name begins or ends with a space"
    if len(part.encode()) > MAX_NAME_BYTES:
        return f"a name is longer than {MAX_NAME_BYTES} bytes"
    # Cc control, Cf invisible or direction-changing, Zl/Zp line ends, Co/Cn unassigned.
    if any(unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Co", "Cn"} for char in part):
        return "a name holds control or invisible characters"
    return ""
