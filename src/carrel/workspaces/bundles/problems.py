"""How is what is wrong with a bundle told: which file, which line, what would do?"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from carrel.core.errors import InvalidRequest
from carrel.workspaces.bundles.lines import Lines, line_of
from carrel.workspaces.bundles.lines import Path as ValuePath

FILE_BYTES_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a bundle."""

    file: str
    """Relative to the bundle's folder."""
    line: int
    """1 for the first; 0 if it is about the whole file."""
    sentence: str
    is_serious: bool = True
    """Whether the bundle cannot be registered with it; the rest has no effect."""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.sentence}"


class InvalidBundle(InvalidRequest):
    """A folder is no usable bundle; the message names the folder, the file and the cause."""

    code = "invalid_bundle"

    def __init__(self, folder: Path, problems: Iterable[Problem]) -> None:
        self.problems = [each for each in problems if each.is_serious]
        first, *rest = self.problems
        more = f" ({len(rest)} more; `carrel template validate` lists them.)" if rest else ""
        super().__init__(f"The bundle {folder.name!r} cannot be used: {first.file}: {first}{more}")
        self.folder = folder
        self.file = first.file
        self.cause = str(first)


class Findings:
    """The problems of one bundle as they are found, file by file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: list[Problem] = []
        self._lines: dict[str, Lines] = {}

    def know(self, file: str, lines: Lines) -> None:
        """Remember on which line the values of a file stand."""
        self._lines[file] = lines

    def add(self, file: str, sentence: str, path: ValuePath = (), *, serious: bool = True) -> None:
        """Note a problem with the value at `path` of a file."""
        lines = self._lines.get(file)
        line = line_of(lines, path) if lines is not None else 0
        named = ".".join(str(part) for part in path)
        self.found.append(
            Problem(file, line, f"{named}: {sentence}" if named else sentence, serious)
        )

    def add_at(self, file: str, line: int, sentence: str) -> None:
        """Note a problem of a file on a line that its reader told."""
        self.found.append(Problem(file, line, sentence))

    @property
    def are_serious(self) -> bool:
        """Whether one of them is in the way of registering."""
        return any(each.is_serious for each in self.found)

    def read(self, file: str, *, is_needed: bool = True) -> str | None:
        """Return the text of a file; None, and a problem, if there is none that can be read."""
        path = self.folder / file
        try:
            if path.stat().st_size > FILE_BYTES_LIMIT:
                self.add(file, f"is larger than {FILE_BYTES_LIMIT} bytes.")
                return None
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if is_needed:
                self.add(file, "is missing.")
        except (OSError, UnicodeDecodeError) as error:
            self.add(file, f"cannot be read: {error}.")
        return None
