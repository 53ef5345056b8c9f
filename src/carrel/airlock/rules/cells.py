"""What does one cell of a table say: a number, a hidden value, nothing, or words?"""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Kind(StrEnum):
    """What a cell holds."""

    BLANK = "blank"
    HIDDEN = "hidden"
    """A mark of suppression, such as `[redacted]` or `<10`."""
    NUMBER = "number"
    COUNTS = "counts"
    """A count written together with something else: `12 (30%)`, `12/40`, `n=12`."""
    PERCENT = "percent"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, read."""

    kind: Kind
    values: tuple[Decimal, ...] = ()
    """The numbers it shows; for a hidden cell the bound it admits, where it admits one."""
    holds_number: bool = False
    """Whether words hold a digit or a small number in letters."""

    @property
    def is_whole(self) -> bool:
        """Whether it holds numbers, all of them whole and not negative."""
        return bool(self.values) and all(v >= 0 and v == v.to_integral_value() for v in self.values)


MISSING = frozenset({"", "none", "null", "nan"})
HIDDEN_MARKS = frozenset(
    {"[redacted]", "redacted", "[suppressed]", "suppressed", "na", "n/a", "[c]", "[x]", "[z]",
     "*", "**", "-", "\N{EN DASH}", "\N{EM DASH}", "..", "...", "x"}
)  # fmt: skip

_DIGITS = r"(?:\d{1,3}(?:[, ']\d{3})+|\d{1,18})"
_NUMBER = rf"[+-]?(?:{_DIGITS}(?:\.\d{{0,18}})?|\.\d{{1,18}})"
_ALONE = re.compile(rf"({_NUMBER})(?:[eE]([+-]?\d{{1,2}}))?", re.ASCII)
_PERCENT = re.compile(rf"{_NUMBER}\s*%", re.ASCII)
_BOUND = re.compile(rf"(<|<=|≤|=<)\s*({_DIGITS})")
_WITH_SHARE = re.compile(
    rf"(?:n\s*=\s*)?({_DIGITS})\s*[(\[]\s*{_NUMBER}\s*%?\s*[)\]]", re.IGNORECASE | re.ASCII
)
_OF = re.compile(rf"({_DIGITS})\s*(?:/|of|out of)\s*({_DIGITS})", re.IGNORECASE | re.ASCII)
_N_IS = re.compile(rf"n\s*=\s*({_DIGITS})", re.IGNORECASE | re.ASCII)
_COUNTED = re.compile(rf"({_DIGITS})\s*([a-z]+)", re.ASCII)
_NUMBER_WORDS = frozenset(
    "one two three four five six seven eight nine ten".split()  # noqa: SIM905 reads better as words
)
_GROUPING = re.compile(r"[, ']")


def read_cell(raw: str) -> Cell:
    """Return what a cell says. Never raises; what is not understood is text."""
    text = _plain(raw)
    if text in MISSING:
        return Cell(Kind.BLANK)
    if text in HIDDEN_MARKS:
        return Cell(Kind.HIDDEN)
    if _PERCENT.fullmatch(text):
        return Cell(Kind.PERCENT)
    return _bound(text) or _number(text) or _composite(text) or _words_of(text)


def _plain(raw: str) -> str:
    """Undo what hides a number from a program and not from a reader."""
    text = "".join(
        str(unicodedata.decimal(char, char))
        for char in unicodedata.normalize("NFKC", raw)
        if unicodedata.category(char) != "Cf"
    )
    return text.strip().lstrip("'").lower()


def _words_of(text: str) -> Cell:
    holds = any(char.isdigit() for char in text) or bool(_NUMBER_WORDS & _words(text))
    return Cell(Kind.TEXT, holds_number=holds)


def _bound(text: str) -> Cell | None:
    """Read a mark that admits a bound: `<10` and `<=9` both say "below 10"."""
    if match := _BOUND.fullmatch(text):
        limit = _decimal(match[2]) + (0 if match[1] == "<" else 1)
        return Cell(Kind.HIDDEN, (limit,))
    return None


def _number(text: str) -> Cell | None:
    match = _ALONE.fullmatch(text)
    return Cell(Kind.NUMBER, (_decimal(match[1], match[2]),)) if match else None


def _composite(text: str) -> Cell | None:
    for pattern in (_WITH_SHARE, _OF, _N_IS):
        if match := pattern.fullmatch(text):
            return Cell(Kind.COUNTS, tuple(_decimal(group) for group in match.groups()))
    if (match := _COUNTED.fullmatch(text)) and match[2] in COUNT_WORDS:
        return Cell(Kind.COUNTS, (_decimal(match[1]),))
    return None


def _decimal(digits: str, exponent: str | None = None) -> Decimal:
    return Decimal(_GROUPING.sub("", digits)).scaleb(int(exponent or 0))


COUNT_WORDS = frozenset(
    """
    n count counts cnt freq frequency frequencies event events death deaths case cases control
    controls patient patients people person persons participant participants subject subjects
    individual individuals number numbers num nobs obs observed observation observations
    censored exposed total totals woman women man men children births admissions visits episodes
    all
    """.split()  # noqa: SIM905 reads better as words
)
_ROW_WORDS = frozenset(
    {"n", "count", "counts", "number", "freq", "frequency", "events", "deaths", "nobs"}
)
"""Fewer than for columns: a row is often named after its group, "women" for instance."""
_PAIRS = (frozenset({"at", "risk"}), frozenset({"sample", "size"}), frozenset({"group", "size"}))
_OTHER_STATISTICS = frozenset(
    """
    rate rates pct percent percentage proportion prop ratio mean median average sd se ci p pvalue
    hr prob probability fraction per effect
    """.split()  # noqa: SIM905 reads better as words
)
"""A name that holds one of these speaks of another statistic, whatever else it says."""
_TOTAL_WORDS = frozenset({"total", "totals", "all", "overall", "sum"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[a-z]+|#")


def _words(name: str) -> frozenset[str]:
    split = _CAMEL.sub(" ", unicodedata.normalize("NFKC", name))
    return frozenset(_WORD.findall(split.lower()))


def says_count(name: str) -> bool:
    """Whether a column's name says that its numbers count something."""
    return _says(name, COUNT_WORDS)


def row_says_count(name: str) -> bool:
    """Whether a row's name says that its numbers count something."""
    return _says(name, _ROW_WORDS)


def _says(name: str, count_words: frozenset[str]) -> bool:
    words = _words(name)
    if words & _OTHER_STATISTICS:
        return False
    return bool(words & count_words) or "#" in words or any(pair <= words for pair in _PAIRS)


def says_total(name: str) -> bool:
    """Whether a row's name says that it is the sum of the others."""
    return bool(_words(name) & _TOTAL_WORDS)


def says_midpoint(name: str) -> bool:
    """Whether a column's name claims midpoint-6 rounding."""
    squeezed = re.sub(r"[^a-z0-9]", "", name.lower())
    return "midpoint6" in squeezed and "derived" not in squeezed


def says_row_number(name: str) -> bool:
    """Whether a column's name is that of the running number that tools put before a table."""
    return name.strip().lower() in {"", "index", "row", "unnamed: 0", "rownames"}
