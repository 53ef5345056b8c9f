"""How does a lower feature tell a higher one that something happened, without importing it?"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Event:
    """Base of everything that features announce; subclasses are facts in the past tense."""


E = TypeVar("E", bound=Event)
Subscriber = Callable[[Connection, E], None]


class Events:
    """In-process announcements: subscribers run at once, inside the publisher's transaction.

    A subscriber that must do slow or outside work puts an item on the queue instead, through
    the connection it is given; so it happens if and only if the change is committed.
    """

    def __init__(self) -> None:
        self._subscribers: dict[type[Event], list[Callable[[Connection, Event], None]]] = (
            defaultdict(list)
        )

    def subscribe(self, kind: type[E], subscriber: Subscriber[E]) -> None:
        """Call `subscriber` for every later event of exactly this `kind`."""
        self._subscribers[kind].append(subscriber)  # type: ignore[arg-type]  # its own kind

    def publish(self, connection: Connection, event: Event) -> None:
        """Call every subscriber of the event's kind; their errors undo the transaction."""
        for subscriber in self._subscribers[type(event)]:
            subscriber(connection, event)
