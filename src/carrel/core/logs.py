"""What do Carrel's processes write down, and what never? JSON lines on standard error."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, merge_contextvars, reset_contextvars

HIDDEN = "[redacted]"
_SECRET_NAME = re.compile(
    r"(pass(word|wd)?|secret|token|cookie|authorization|ticket|totp|csrf|api_?key|private_?key)",
    re.IGNORECASE,
)
_HARMLESS = frozenset({"ticket_minutes", "token_kind", "token_type"})
_SECRET_IN_QUERY = re.compile(
    r"([?&;](?:ticket|token|csrf_token|code|state|password|key|sig)=)[^&\s\"'#]+", re.IGNORECASE
)
_SECRET_IN_PATH = re.compile(r"(/(?:releases|tickets|enter)/)[A-Za-z0-9_-]{8,}")
_BEARER = re.compile(r"\b((?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_COOKIE = re.compile(r"(__Host-[a-z-]+=)[^;\s\"']+", re.IGNORECASE)
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+(@)", re.IGNORECASE)
_DEEPEST = 6
_WHO: ContextVar[dict[str, str] | None] = ContextVar("carrel_who", default=None)


def configure(role: str, level: str = "info") -> None:
    """Send every log of this process, foreign libraries included, to stderr as JSON lines.

    May be called twice; the last call holds.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        merge_contextvars,
        _add_who,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        _with_role(role),
        redact,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    logging.getLogger("httpx").setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


@contextmanager
def context(**ids: str | None) -> Iterator[None]:
    """Add ids (request_id, operation_id, workspace_id…) to every line logged inside."""
    tokens = bind_contextvars(**{name: value for name, value in ids.items() if value is not None})
    try:
        yield
    finally:
        reset_contextvars(**tokens)


@contextmanager
def one_request() -> Iterator[Mapping[str, str]]:
    """Let every line of this request say who asks, once `note_who` knows; yields what is known.

    The ids lie in one object, because what a thread binds is not seen outside of the thread.
    """
    who: dict[str, str] = {}
    token = _WHO.set(who)
    try:
        yield who
    finally:
        _WHO.reset(token)


def note_who(**ids: str) -> None:
    """Say who sends the present request (actor, audience); does nothing outside of one."""
    who = _WHO.get()
    if who is not None:
        who.update(ids)


def _add_who(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    for name, value in (_WHO.get() or {}).items():
        event.setdefault(name, value)
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out what must not be in a log: passwords, tokens, cookies, tickets in addresses."""
    event.pop("color_message", None)  # uvicorn's, for terminals
    for name, value in event.items():
        if not name.startswith("_"):
            event[name] = _redacted(name, value, 0)
    return event


def clean(text: str) -> str:
    """Return `text` without the secrets that addresses and headers may carry."""
    text = _SECRET_IN_QUERY.sub(rf"\1{HIDDEN}", text)
    text = _SECRET_IN_PATH.sub(rf"\1{HIDDEN}", text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    text = _COOKIE.sub(rf"\1{HIDDEN}", text)
    return _USER_INFO.sub(rf"\1{HIDDEN}\2", text)


def _redacted(name: str, value: Any, depth: int) -> Any:
    if name not in _HARMLESS and _SECRET_NAME.search(name) and not isinstance(value, bool):
        return HIDDEN
    if isinstance(value, str):
        return clean(value)
    if depth >= _DEEPEST:
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): _redacted(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item, depth + 1) for item in value]
    return value


def _with_role(role: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        event.setdefault("role", role)
        return event

    return add
