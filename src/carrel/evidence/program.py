"""How do the attempts get inside? As one program text for the sandbox's own Python."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

_PACKAGE = "carrel.evidence.inside"
_PARTS = ("ground", "files", "kernel", "limits", "network", "stand", "hostile", "main")
"""In the order of their imports."""

_LOADER = """
import base64, json, sys, types, zlib
for name in {parents!r}:
    package = types.ModuleType(name)
    package.__path__ = []
    sys.modules[name] = package
for name, text in json.loads(zlib.decompress(base64.b64decode({parts!r}))).items():
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules[{package!r}], name.rpartition(".")[2], module)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules[{package!r} + ".main"].main(json.loads(sys.argv[1]))
"""


@cache
def program_text() -> str:
    """Return the whole program: self-contained, standard library only, about 20 kB."""
    folder = resources.files(_PACKAGE)
    parts = {f"{_PACKAGE}.{name}": (folder / f"{name}.py").read_text() for name in _PARTS}
    packed = base64.b64encode(zlib.compress(json.dumps(parts).encode(), 9)).decode()
    parents = ["carrel", "carrel.evidence", _PACKAGE]
    return _LOADER.format(parents=parents, parts=packed, package=_PACKAGE)


def command(orders: Mapping[str, Any], *, python: str = "/usr/bin/python3") -> Sequence[str]:
    """Return the command that carries out `orders` (see inside/main.py) anywhere."""
    return [python, "-I", "-S", "-c", program_text(), json.dumps(orders)]
