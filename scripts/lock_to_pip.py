# ruff: noqa: INP001 - a script, not a package
"""Which versions does uv.lock name? Constraints for pip, for machines without uv.

`lock_to_pip.py run|dev` writes the constraints to standard output, and what is needed beside
Carrel itself (the development tools) to file descriptor 3. Standard library only.
"""

import os
import sys
import tomllib
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Write constraints and extra requirements."""
    versions: dict[str, set[str]] = defaultdict(set)
    for package in tomllib.loads(Path("uv.lock").read_text(encoding="utf-8"))["package"]:
        if "registry" in package["source"]:
            versions[package["name"]].add(package["version"])
    for name, found in sorted(versions.items()):
        if len(found) == 1:  # several: the marker decides, and so may pip
            sys.stdout.write(f"{name}=={found.pop()}\n")
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    extra = project["dependency-groups"]["dev"] if sys.argv[1] == "dev" else []
    with os.fdopen(3, "w") as out:
        out.writelines(f"{line}\n" for line in extra)


if __name__ == "__main__":
    main()
