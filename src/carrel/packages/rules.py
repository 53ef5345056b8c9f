"""Which request for software may a workspace send, and which file may it have?"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import unquote

from carrel.core.errors import Denied

TARGET_LIMIT = 512
"""Longest request target in bytes: a path is a channel to the outside, so it is short."""
NAME_LIMIT = 64
"""Longest package name; 125 of PyPI's 886,000 names are longer."""
FILENAME_LIMIT = 255
MISSES_PER_DAY = 50
"""Names unknown upstream that one workspace may ask for in 24 hours; each leaks its letters."""


class Reason(StrEnum):
    """Why a request got no package."""

    METHOD = "method_refused"
    TARGET = "target_refused"
    QUERY = "query_refused"
    BODY = "body_refused"
    TOO_LONG = "target_too_long"
    NO_SUCH_PATH = "no_such_path"
    BAD_NAME = "name_not_canonical"
    UNKNOWN = "name_unknown"
    TOO_MANY_UNKNOWN = "too_many_unknown_names"
    NOT_PUBLISHED = "file_not_published"
    NOT_A_WHEEL = "source_distribution"
    TOO_YOUNG = "release_too_young"
    QUARANTINED = "project_quarantined"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_AWAY = "upstream_away"
    TAMPERED = "file_tampered"
    STORE_FULL = "store_full"
    RECORD_AWAY = "record_away"


STATUS: dict[Reason, int] = {
    Reason.METHOD: 405,
    Reason.TARGET: 400,
    Reason.QUERY: 400,
    Reason.BODY: 400,
    Reason.TOO_LONG: 400,
    Reason.NO_SUCH_PATH: 404,
    Reason.BAD_NAME: 404,
    Reason.UNKNOWN: 404,
    Reason.TOO_MANY_UNKNOWN: 403,
    Reason.NOT_PUBLISHED: 404,
    Reason.NOT_A_WHEEL: 403,
    Reason.TOO_YOUNG: 403,
    Reason.QUARANTINED: 403,
    Reason.UPSTREAM_REFUSED: 403,
    Reason.UPSTREAM_AWAY: 503,
    Reason.TAMPERED: 502,
    Reason.STORE_FULL: 503,
    Reason.RECORD_AWAY: 503,
}
"""HTTP status by reason. Never 401: pip would ask the researcher for a password."""


class Refusal(Denied):
    """The package gateway says no; the sentence is what pip prints."""

    def __init__(self, reason: Reason, sentence: str, *, log_detail: str = "") -> None:
        super().__init__(sentence, log_detail=log_detail)
        self.reason = reason

    @property
    def http_status(self) -> int:
        """The status to answer with."""
        return STATUS[self.reason]


@dataclass(frozen=True, slots=True)
class IndexFile:
    """One file of a project, as the upstream index describes it."""

    name: str
    """Canonical name of the project."""
    version: str
    filename: str
    digest: str
    """SHA-256, hex."""
    url: str
    is_wheel: bool
    size_bytes: int | None = None
    uploaded_at: datetime | None = None
    requires: str | None = None
    """What the client must be, in the ecosystem's words (PyPI: `Requires-Python`)."""
    yanked: bool | str = False
    metadata_digest: str | None = None
    """SHA-256 of the separate metadata file (PEP 658), if upstream publishes one."""


@dataclass(frozen=True, slots=True)
class Index:
    """Everything one project offers; files without a SHA-256 are not in it."""

    name: str
    files: tuple[IndexFile, ...]
    is_quarantined: bool = False
    _by_address: dict[tuple[str, str], IndexFile] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_address = {(file.digest, file.filename): file for file in self.files}
        object.__setattr__(self, "_by_address", by_address)

    def find(self, digest: str, filename: str) -> IndexFile | None:
        """Return the file of exactly this digest and name, or None."""
        return self._by_address.get((digest, filename))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a workspace may see of an index."""

    minimum_age: timedelta = timedelta(0)
    wheels_only: bool = True
    """Source distributions run their authors' code while they are built."""


@dataclass(frozen=True, slots=True)
class IndexAsk:
    """A request for the list of a project's files."""

    ecosystem: str
    name: str


@dataclass(frozen=True, slots=True)
class FileAsk:
    """A request for one file by the digest that the gateway published."""

    ecosystem: str
    digest: str
    filename: str


_CANONICAL = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(
    r"/(?P<eco>[a-z]+)/(?:simple/(?P<name>[^/]+)/|files/(?P<digest>[^/]+)/(?P<file>[^/]+))"
)


def canonical_name(name: str) -> str | None:
    """Return the PEP 503 form of a project's name, or None if it is none or too long."""
    text = re.sub(r"[-_.]+", "-", name).lower()
    return text if is_canonical(text) else None


def is_canonical(name: str) -> bool:
    """Whether `name` is in PEP 503 form and short enough."""
    return len(name) <= NAME_LIMIT and _CANONICAL.fullmatch(name) is not None


def is_filename(name: str) -> bool:
    """Whether `name` can be the name of a distribution file."""
    return len(name) <= FILENAME_LIMIT and _FILENAME.fullmatch(name) is not None


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def check_shape(method: str, target: str, *, has_body: bool) -> None:
    """Raise `Refusal` unless the request carries a short path and nothing else.

    `target` is the request target as sent, before any decoding (RFC 9112, section 3.2).
    """
    if method not in {"GET", "HEAD"}:
        raise Refusal(Reason.METHOD, "Packages can only be read here: use GET or HEAD.")
    if not target.startswith("/") or target.startswith("//"):
        raise Refusal(Reason.TARGET, "The package gateway forwards nothing: send a plain path.")
    if has_body:
        raise Refusal(Reason.BODY, "A request for a package has no body: send none.")
    if "?" in target or "#" in target:
        raise Refusal(Reason.QUERY, "A request for a package has no query: leave it out.")
    if len(target) > TARGET_LIMIT:
        raise Refusal(Reason.TOO_LONG, f"The path is longer than {TARGET_LIMIT} characters.")


def read_path(target: str) -> IndexAsk | FileAsk:
    """Say what the target (of checked shape) asks for. Raises `Refusal`."""
    found = _PATH.fullmatch(unquote(target, errors="replace"))
    if found is None:
        raise Refusal(
            Reason.NO_SUCH_PATH,
            "There is nothing here: ask for /pypi/simple/NAME/ with the final slash.",
        )
    if found["name"] is not None:
        if not is_canonical(found["name"]):
            raise Refusal(
                Reason.BAD_NAME,
                "This is not the normalised name of a package (lower case, single dashes, "
                f"at most {NAME_LIMIT} characters).",
            )
        return IndexAsk(found["eco"], found["name"])
    if not is_digest(found["digest"]) or not is_filename(found["file"]):
        raise not_published()
    return FileAsk(found["eco"], found["digest"], found["file"])


def not_published() -> Refusal:
    """Return the answer for a file that the gateway never offered."""
    return Refusal(
        Reason.NOT_PUBLISHED,
        "The gateway never offered this file: ask for the package's page first.",
    )


def hidden_because(file: IndexFile, policy: Policy, now: datetime) -> Reason | None:
    """Return why the policy hides `file`, or None if a workspace may have it.

    With an age gate, a file whose upload time upstream does not tell counts as too young.
    """
    if policy.wheels_only and not file.is_wheel:
        return Reason.NOT_A_WHEEL
    if policy.minimum_age and (
        file.uploaded_at is None or now - file.uploaded_at < policy.minimum_age
    ):
        return Reason.TOO_YOUNG
    return None


def hidden_refusal(file: IndexFile, reason: Reason, policy: Policy) -> Refusal:
    """Return the refusal of a file that `hidden_because` hides."""
    if reason is Reason.NOT_A_WHEEL:
        return Refusal(
            reason, f"{file.filename} is a source distribution; only wheels may come in."
        )
    return Refusal(
        reason,
        f"{file.filename} is younger than {policy.minimum_age.days} days; take an older release.",
    )


def check_project(index: Index) -> None:
    """Raise `Refusal` for a project that the upstream index has quarantined (PEP 792)."""
    if index.is_quarantined:
        raise Refusal(
            Reason.QUARANTINED,
            f"{index.name} is quarantined by the package index: nobody may install it now.",
        )
