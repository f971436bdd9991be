"""What is known of a row while its requests are under way.

The client tells what happens to a call; which row it happens to is told by the task that it happens in.

Must not import the client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from msgspec import Struct

from ..events import Answered, Broken, Event, EventHandler, Paused, Resumed, Sent

_WRITE: Final = "update_appointment"
_PAUSES: Final = (Paused, Resumed)
_SHORTEST: Final = 0.0001
"""What a loop whose clock counts in milliseconds takes for nothing; 0 says that nothing was answered."""


class Flight(Struct, gc=False):
    """One row on its way."""

    requests: int = 0
    left: bool = False
    """A write has left, or may have."""
    doubtful: bool = False
    """A write has left, and nobody knows what came of it."""
    repeated: bool = False
    """It was sent again after that."""
    seconds: float = 0.0
    """What the last answer took; 0 if there was none."""
    placed: bool = False
    """It has one of the places of those that are at the server at once."""


class Moment(Struct, frozen=True):
    """Something that happened to a whole location."""

    at: float
    """Seconds since the epoch."""
    location: str
    kind: str
    """`paused` or `resumed`."""
    seconds: float


FLIGHT: Final[ContextVar[Flight | None]] = ContextVar("leadconnector_flight", default=None)


def listen(
    location: str, tell: Callable[[Moment], None], also: EventHandler | None, clock: Callable[[], float] = time.time
) -> EventHandler:
    """A handler of events that keeps the flights; `also` is told of everything as well."""

    def handle(event: Event) -> None:
        if (flight := FLIGHT.get()) is not None:
            _note(flight, event)
        if isinstance(event, _PAUSES):
            kind = "paused" if isinstance(event, Paused) else "resumed"
            tell(Moment(clock(), location, kind, event.seconds))
        if also is not None:
            also(event)

    return handle


def _note(flight: Flight, event: Event) -> None:
    match event:
        case Sent(operation=operation):
            flight.requests += 1
            if operation == _WRITE:
                flight.left = True
                flight.repeated |= flight.doubtful
        case Answered(operation=operation, seconds=seconds, status=status):
            flight.seconds = max(seconds, _SHORTEST)
            flight.doubtful |= operation == _WRITE and status >= 500
        case Broken(operation=operation, sent=sent):
            flight.doubtful |= operation == _WRITE and sent
        case _:
            pass
