"""Events: emitted to the user's `on_event` and to the standard library's log.

A failing handler cannot break a call. Events contain no secrets.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from os import urandom
from typing import Final, Protocol, TypeAlias, TypeVar, cast

from ..events import CallStarted, Event, EventHandler, Stamped

E = TypeVar("E", bound=Stamped)

LOGGER: Final = logging.getLogger("leadconnector_async")
is_logged: Final = partial(LOGGER.isEnabledFor, logging.DEBUG)
"""Whether all events are logged. If not, and without a handler, a call that succeeds at once creates none."""
LEVELS: Final = {
    "call_started": logging.DEBUG,
    "waiting_for_slot": logging.DEBUG,
    "slot_acquired": logging.DEBUG,
    "request_sent": logging.DEBUG,
    "response_received": logging.DEBUG,
    "request_failed": logging.DEBUG,
    "retrying": logging.DEBUG,
    "paused": logging.WARNING,
    "resumed": logging.DEBUG,
    "write_repeated": logging.WARNING,
    "reconciled": logging.DEBUG,
    "unexpected_id": logging.WARNING,
    "token_refreshed": logging.DEBUG,
    "call_succeeded": logging.DEBUG,
    "call_failed": logging.DEBUG,
    "outcome_unknown": logging.WARNING,
    "worker_started": logging.DEBUG,
    "worker_stopped": logging.DEBUG,
    "database_lost": logging.WARNING,
    "database_back": logging.DEBUG,
    "location_taken": logging.DEBUG,
    "location_finished": logging.DEBUG,
    "location_handed_back": logging.DEBUG,
    "location_lost": logging.DEBUG,
    "job_changed": logging.DEBUG,
}
"""The level at which each kind of event is logged, those of workers included."""

Mark: TypeAlias = tuple[str | None, str, int, str]
"""The fields that every event of a call begins with."""


class Subject(Protocol):
    """The call that an event belongs to."""

    attempts: int
    call_id: str
    name: str


class RequestMeter(Protocol):
    """Counts requests without events, of which each costs a row as much as its payload; `operation` is its name."""

    def count_sent(self, operation: str) -> None:
        """A request is about to be sent."""

    def count_response(self, operation: str, status: int, seconds: float) -> None:
        """A response arrived, so long after that."""

    def count_failure(self, operation: str, *, sent: bool) -> None:
        """No complete response arrived. `sent`: the request may have reached the server."""


class EventEmitter:
    """Emits the events of one location. Never installs a handler on the logger."""

    __slots__ = ("handler", "hears_calls", "location_id", "meter")

    def __init__(self, handler: EventHandler | None, location_id: str | None = None) -> None:
        self.handler: Callable[[Event], object] | None = handler
        self.hears_calls = handler is not None and bool(getattr(handler, "hears_calls", True))
        """Whether the handler hears of every call; that of a job does only if the user's own does."""
        self.meter: RequestMeter | None = getattr(handler, "meter", None)
        self.location_id = location_id

    def mark(self, call: Subject) -> Mark:
        """The first fields of its next event. The call gets its id with the first one."""
        if not call.call_id:
            call.call_id = urandom(8).hex()
        return self.location_id, call.name, call.attempts, call.call_id

    def begin(self, call: Subject) -> None:
        """Give a call its id, because somebody listens: from now on, its attempts emit events."""
        self.emit(CallStarted(*self.mark(call)))

    def emit(self, event: Event) -> None:
        """Log the event and call the handler. An exception of the handler is logged and not raised."""
        if LOGGER.isEnabledFor(LEVELS[cast("str", event.__struct_config__.tag)]):  # the usual case ends here
            log_event(event)
        if self.handler is not None:
            call_handler(self.handler, event)


def log_event(event: Stamped) -> None:
    """Log the event, which is also the attribute `event` of the log record."""
    level = LEVELS[event.kind]
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s", event, extra={"event": event})


def call_handler(handler: Callable[[E], object], event: E) -> None:
    """Call a handler of the user. An exception that it raises is logged, not raised."""
    try:
        result = handler(event)
        if result is not None and inspect.iscoroutine(result):
            result.close()
            LOGGER.error("on_event returned a coroutine, which is never awaited: pass a function that is not async")
    except (Exception, asyncio.CancelledError):  # a function that is not async cannot be cancelled
        LOGGER.exception("on_event failed for %s", type(event).__name__)
