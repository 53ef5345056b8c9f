"""On which line of a file does each of its values stand?

Values are named by their path, for instance `("properties", "size", "minimum")`.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

import yaml

Path = tuple[str | int, ...]
Lines = Mapping[Path, int]
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_TOML_TABLE = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]")
_TOML_KEY = re.compile(r"\s*([\w-]+)\s*=")


def line_of(lines: Lines, path: Path) -> int:
    """Return the line of a value, or of the nearest one around it that is there; 1 at worst."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def json_lines(text: str) -> Lines:
    """Return the lines of a JSON document that was found to be one."""
    return _JsonWalk(text).lines


class _JsonWalk:
    """One walk over the tokens of a JSON document."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._tokens = list(_placed(text))
        self._at = 0
        self._value(())

    def _next(self) -> tuple[str, int]:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _value(self, path: Path, line: int = 0) -> None:
        mark, own_line = self._next()
        self.lines[path] = line or own_line
        if mark == "{":
            self._group(path)
        elif mark == "[":
            self._list(path)

    def _group(self, path: Path) -> None:
        while (token := self._next())[0] != "}":
            if token[0] != ",":
                self._next()
                self._value((*path, token[0][1:-1]), token[1])

    def _list(self, path: Path) -> None:
        place = 0
        while self._tokens[self._at][0] != "]":
            if self._tokens[self._at][0] == ",":
                self._at += 1
                continue
            self._value((*path, place))
            place += 1
        self._at += 1


def _placed(text: str) -> Iterator[tuple[str, int]]:
    line, seen = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        yield match.group(), line


def yaml_lines(text: str) -> Lines:
    """Return the lines of a YAML document that was found to be one."""
    lines: dict[Path, int] = {}
    seen: set[int] = set()

    def walk(node: yaml.Node, path: Path, line: int) -> None:
        lines[path] = line
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                walk(value, (*path, str(key.value)), key.start_mark.line + 1)
        elif isinstance(node, yaml.SequenceNode):
            for place, each in enumerate(node.value):
                walk(each, (*path, place), each.start_mark.line + 1)

    if (root := yaml.compose(text, Loader=yaml.SafeLoader)) is not None:
        walk(root, (), 1)
    return lines


def repeated_keys(text: str) -> Iterator[tuple[str, int]]:
    """Yield every key that stands twice in one group of a YAML or JSON document, with its line."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    waiting, seen = [root] if root is not None else [], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = sorted((str(key.value), key.start_mark.line + 1) for key, _ in node.value)
            yield from (after for before, after in pairwise(keys) if before[0] == after[0])
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def toml_lines(text: str) -> Lines:
    """Return the lines of the keys and tables of a TOML document that was found to be one."""
    lines: dict[Path, int] = {}
    table: Path = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TOML_TABLE.match(line):
            name = match.group(2)
            table = tuple(name.split("."))
            lines.setdefault(table, number)
            if match.group(1) == "[[":
                table = (*table, counts.get(name, 0))
                counts[name] = counts.get(name, 0) + 1
                lines[table] = number
        elif match := _TOML_KEY.match(line):
            lines[*table, match.group(1)] = number
    return lines
