"""Is this a path that may name a file in an inbox or an outbox?"""

from carrel.core.errors import InvalidRequest
from carrel.runtime.launcher.names import path_problem


def check_box_path(path: str) -> None:
    """Raise `InvalidRequest` unless `path` is relative, clean and printable."""
    if problem := path_problem(path):
        raise InvalidRequest(f"{path!r} cannot be used: {problem}.", field="path")
