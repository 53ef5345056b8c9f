"""What do the reference pages say? They are written from the code.

`python -m carrel.cli.reference` writes them; a test fails if docs/reference holds anything else.
"""

import tempfile
import types
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from carrel.cli import groups
from carrel.core.settings import CONFIG_NAME, Settings, load

_WRITTEN = "<!-- Written by `python -m carrel.cli.reference`. Change the code, not this page. -->"
_SETTINGS = f"""\
A TRE reads its settings from `{CONFIG_NAME}` in its home folder (TOML, one `name = value` a line).
An environment variable `CARREL_<NAME>` goes before the file. All have defaults that give a working
single machine; a wrong one stops the start with its name and the reason. After a change:
`carrel restart`.
"""
_COMMANDS = """\
Results go to standard output, everything else to standard error; with `--json` the result is one
JSON document. Exit status: 0 done, 1 failed (or the answer is no), 2 wrong usage or input, 3 not
signed in, 4 denied, 5 not found, 6 conflict, 130 interrupted. These options may stand anywhere:
"""
_API = """\
The whole contract, with every field: `carrel openapi`, or `/api/openapi.json` of a TRE; to try it
out: `/api/docs`. How it treats errors, addresses and bodies: [The API's manners](api-manners.md).
"""
_METHODS = ("get", "post", "put", "patch", "delete")


def settings_page() -> str:
    """Return the page on every setting."""
    lines = [
        "# Settings",
        "",
        _WRITTEN,
        "",
        _SETTINGS,
        "| Setting | Type | Default | Means |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        kind, default = _type_name(field.annotation), _default(name, field)
        lines.append(f"| `{name}` | {kind} | {default} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the page on every command."""
    whole: Any = typer.main.get_command(groups.build())
    lines = [
        "# Commands",
        "",
        _WRITTEN,
        "",
        _COMMANDS,
        *_options(whole.params),
    ]
    for path, command in _walk("carrel", whole):
        usage = " ".join([path, *_arguments(command.params)])
        lines += ["", f"## `{path}`", "", command.help or "", "", f"    {usage}"]
        if options := _options(command.params):
            lines += ["", *options]
    return "\n".join(lines) + "\n"


def api_page(document: Mapping[str, Any]) -> str:
    """Return the page on every route, from the OpenAPI document of the API."""
    lines = [
        "# HTTP API",
        "",
        _WRITTEN,
        "",
        _API,
        "| Route | Does |",
        "| --- | --- |",
    ]
    for path, methods in sorted(document["paths"].items()):
        for method in _METHODS:
            if method in methods:
                route = methods[method]
                first = (route.get("description") or route.get("summary", "")).split("\n")[0]
                lines.append(f"| `{method.upper()} {path}` | {_cell(first)} |")
    return "\n".join(lines) + "\n"


def pages() -> Mapping[str, str]:
    """Return the text of every generated page, by file name."""
    from carrel.app import openapi_document  # noqa: PLC0415 - the whole app is slow to import

    with tempfile.TemporaryDirectory() as home:
        document = openapi_document(load(Path(home)))
    return {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "api.md": api_page(document),
    }


def main() -> None:
    """Write the pages into docs/reference of this checkout."""
    folder = Path(__file__).parents[3] / "docs" / "reference"
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _walk(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _walk(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _arguments(parameters: Sequence[Any]) -> list[str]:
    shown = []
    for one in parameters:
        if one.param_type_name == "argument":
            name = one.name.upper() + ("…" if one.nargs == -1 else "")
            shown.append(name if one.required else f"[{name}]")
    return shown


def _options(parameters: Sequence[Any]) -> list[str]:
    rows = []
    for one in parameters:
        names = ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])
        if one.param_type_name == "argument":
            names = f"`{one.name.upper()}`"
        if "--help" not in one.opts:
            rows.append(f"| {names} | {_cell(one.help or '')} |")
    return ["| Option | Means |", "| --- | --- |", *rows] if rows else []


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is types.UnionType:
        return _type_name(next(one for one in get_args(annotation) if one is not types.NoneType))
    if get_origin(annotation) is list:
        return f"list of {_type_name(get_args(annotation)[0])}"
    if choices := [repr(one) for one in get_args(annotation)]:
        return "one of " + ", ".join(f"`{one}`" for one in choices)
    names = {
        str: "text",
        int: "number",
        float: "number",
        bool: "yes or no",
        Path: "path",
        IPv4Network: "range of addresses",
    }
    return names.get(annotation, str(annotation))


def _default(name: str, field: FieldInfo) -> str:
    if name == "home":
        return "root: `/var/lib/carrel`; else `~/.local/share/carrel`"
    default = field.default
    if field.default_factory is not None or default is PydanticUndefined:
        default = []
    if default in (None, "", []):
        return "(none)"
    return f"`{default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
