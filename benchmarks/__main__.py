"""How are the promises measured? `python -m benchmarks AREA|all [--json]`."""

import argparse
import importlib
import json
import pkgutil
import sys
from typing import Any

import benchmarks
from carrel.core import logs


def areas() -> list[str]:
    """Return the name of every area, in alphabetical order."""
    names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def measure(names: list[str]) -> list[dict[str, Any]]:
    """Run each area alone, one after the other; returns all promises."""
    promises: list[dict[str, Any]] = []
    for name in names:
        sys.stderr.write(f"measuring {name} …\n")
        promises += importlib.import_module(f"benchmarks.{name}").run()
    return promises


def _print(promises: list[dict[str, Any]]) -> None:
    for one in promises:
        print(
            f"{'met ' if one['met'] else 'MISS'}  {one['name']}: {one['measured']} {one['unit']}"
            f" beside {one['reference']} (ratio {one['ratio']}; goal {one['goal']})"
        )


def main() -> int:
    """Measure what was asked for; the exit status is 1 if a promise is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("area", nargs="+", choices=[*areas(), "all"])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    logs.configure("benchmark", "warning")  # to standard error: the figures have the other one
    promises = measure(areas() if "all" in given.area else given.area)
    if given.json:
        print(json.dumps({"promises": promises}))
    else:
        _print(promises)
    return 0 if all(one["met"] for one in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
