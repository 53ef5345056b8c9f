"""Which part of a list does somebody want, and where does the next part begin?

Lists are paged by key: a cursor holds the sort key and the id of the last line that was sent, so
that lines which come or go in the meantime neither hide nor repeat others, and a page far behind
costs what the first one costs. Without `limit` and `cursor` a list is sent whole, as AzureTRE's
clients expect.
"""

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import Query, Request, Response
from sqlalchemy import ColumnElement, Row, Select, String, literal, tuple_, type_coerce

from carrel.core.database import Moment
from carrel.core.errors import InvalidRequest

MOST = 1000
"""So many lines can be asked for at once."""
Key = str | int
Position = tuple[Key, str]
"""Where a line stands in a list: its sort key and its id."""
T = TypeVar("T")
O = TypeVar("O", bound=StrEnum)  # noqa: E741 - an order
_INTEGER_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Wanted(Generic[O]):
    """The part of a list that a request asks for."""

    order: O
    is_ascending: bool = True
    limit: int | None = None
    """The most lines of the part; None: all."""
    after: Position | None = None
    """The last line that the client has; None: it begins."""
    path: str = ""
    query: Sequence[tuple[str, str]] = ()

    def cursor(self, position: Position) -> str:
        """Return the opaque text that continues this list behind `position`."""
        told = [_place(self.path), self.order.value, self.is_ascending, *position]
        return base64.urlsafe_b64encode(orjson.dumps(told)).rstrip(b"=").decode()


class Page(list[T]):
    """A part of a list in its order, or the whole of it."""

    def __init__(self, lines: Iterable[T] = (), next_cursor: str | None = None) -> None:
        super().__init__(lines)
        self.next_cursor = next_cursor
        """Continues behind the last line; None if there is nothing more."""

    def map(self, change: Callable[[T], Any]) -> "Page[Any]":
        """Return the page with every line changed."""
        return Page(map(change, self), self.next_cursor)


def wanted(
    orders: type[O], default: O, *, is_ascending: bool = True, default_limit: int | None = None
) -> Callable[..., Awaitable[Wanted[O]]]:
    """Return the FastAPI dependency for one list, which may be sorted by `orders`.

    `default_limit` is for lists that grow without an end and are none of AzureTRE's.
    """

    async def dependency(
        request: Request,
        limit: Annotated[
            int | None, Query(ge=1, le=MOST, description="The most lines to send.")
        ] = default_limit,
        cursor: Annotated[
            str | None,
            Query(max_length=1000, description="`nextCursor` of the page before."),
        ] = None,
        order_by: Any = default,
        order_ascending: Annotated[
            bool | None, Query(description="Smallest, or oldest, first.")
        ] = None,
    ) -> Wanted[O]:
        if order_ascending is None:
            order_ascending = "order_by" in request.query_params or is_ascending
        begun = Wanted(
            order_by,
            order_ascending,
            limit,
            path=request.url.path,
            query=request.query_params.multi_items(),
        )
        return begun if cursor is None else _continued(begun, cursor)

    dependency.__annotations__["order_by"] = Annotated[
        orders, Query(description="What the list is sorted by.")
    ]
    return dependency


def _continued(begun: Wanted[O], cursor: str) -> Wanted[O]:
    place, order, is_ascending, key, line = _read(cursor)
    if place != _place(begun.path):
        raise InvalidRequest(
            "This cursor belongs to another list. Begin this list without a cursor.",
            field="cursor",
        )
    asked = dict(begun.query)
    same = order == begun.order.value or "order_by" not in asked
    same = same and (is_ascending == begun.is_ascending or "order_ascending" not in asked)
    if not same:
        raise InvalidRequest(
            "This cursor belongs to another order of the list. Keep order_by and order_ascending "
            "as they were, or begin without a cursor.",
            field="cursor",
        )
    try:
        known = type(begun.order)(order)
    except ValueError as error:
        raise _damaged() from error
    return Wanted(known, is_ascending, begun.limit, (key, line), begun.path, begun.query)


def _read(cursor: str) -> tuple[str, str, bool, Key, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place, order, is_ascending, key, line = orjson.loads(
            base64.b64decode(padded.encode("ascii"), b"-_", validate=True)
        )
    except (ValueError, TypeError, binascii.Error) as error:
        raise _damaged() from error
    texts = (place, order, line, key if isinstance(key, str) else "")
    fits = (
        all(isinstance(text, str) and "\x00" not in text for text in texts)
        and isinstance(is_ascending, bool)
        and (isinstance(key, str) or _is_integer(key))
    )
    if not fits:
        raise _damaged()
    return place, order, is_ascending, key, line


def _is_integer(key: Any) -> bool:
    return type(key) is int and abs(key) < _INTEGER_LIMIT


def _damaged() -> InvalidRequest:
    return InvalidRequest(
        "This cursor is damaged. Take `nextCursor` of the page before as it is, or begin without.",
        field="cursor",
    )


def _place(path: str) -> str:
    """Return which list a path names, short."""
    return hashlib.sha256(path.encode()).hexdigest()[:12]


# Pages out of a table -------------------------------------------------------------------------


def ordered(
    query: Select[Any],
    part: Wanted[O],
    keys: Mapping[O, ColumnElement[Any]],
    line_id: ColumnElement[str],
) -> Select[Any]:
    """Return the query for the wanted part; its rows go to `page_of`.

    `keys` gives the column of each order, none of them nullable; `line_id` is unique text. An
    index on what the query's conditions fix, then the key, then the id, makes a page cheap.
    """
    key = keys[part.order]
    if isinstance(key.type, Moment):
        key = type_coerce(key, String)  # as it lies in the table
    query = query.add_columns(key.label("sort_key"), line_id.label("sort_id"))
    if part.after is not None:
        query = query.where(_behind(part, key, line_id))
    columns = (key, line_id) if part.is_ascending else (key.desc(), line_id.desc())
    query = query.order_by(*columns)
    return query if part.limit is None else query.limit(part.limit + 1)


def _behind(
    part: Wanted[O], key: ColumnElement[Any], line_id: ColumnElement[str]
) -> ColumnElement[bool]:
    assert part.after is not None
    value, line = part.after
    if not isinstance(value, key.type.python_type):
        raise _damaged()
    here, there = tuple_(key, line_id), tuple_(literal(value, key.type), literal(line, String))
    return here > there if part.is_ascending else here < there


def page_of(rows: Sequence[Row[Any]], part: Wanted[O], read: Callable[[Row[Any]], T]) -> Page[T]:
    """Return the page that the rows of an `ordered` query make."""
    if part.limit is None or len(rows) <= part.limit:
        return Page(map(read, rows))
    shown = rows[: part.limit]
    last = shown[-1]
    return Page(map(read, shown), part.cursor((last.sort_key, last.sort_id)))


# Pages out of what is in memory anyway ---------------------------------------------------------


def slice_of(lines: Iterable[T], part: Wanted[O], position: Callable[[T], Position]) -> Page[T]:
    """Return the wanted part of a list that is short, and read whole anyway."""
    found = sorted(lines, key=position, reverse=not part.is_ascending)
    if part.after is not None:
        after = part.after
        if found and not isinstance(after[0], type(position(found[0])[0])):
            raise _damaged()
        found = [
            line
            for line in found
            if (position(line) > after if part.is_ascending else position(line) < after)
        ]
    if part.limit is None or len(found) <= part.limit:
        return Page(found)
    shown = found[: part.limit]
    return Page(shown, part.cursor(position(shown[-1])))


# The answer -----------------------------------------------------------------------------------


def listed(part: Wanted[O], name: str, page: Page[Any], **more: Any) -> Response:
    """Return the JSON answer `{name: lines, "nextCursor"}` and the `Link` to the next page.

    Without a name the answer is the bare array. Source of the header: RFC 8288.
    """
    body: Any = list(page)
    if name:
        body = {name: body, **more}
        if page.next_cursor is not None:
            body["nextCursor"] = page.next_cursor
    headers = {}
    if page.next_cursor is not None:
        query = [(key, value) for key, value in part.query if key != "cursor"]
        address = f"{part.path}?{urlencode([*query, ('cursor', page.next_cursor)])}"
        headers["Link"] = f'<{address}>; rel="next"'
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
