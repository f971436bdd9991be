"""Events: emitted to the user's `on_event` and to the standard library's log.

A failing handler cannot break a call. Events contain no secrets.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from ..events import Event, EventHandler

E = TypeVar("E")

LOGGER: Final = logging.getLogger("leadconnector_async")
is_logged: Final = partial(LOGGER.isEnabledFor, logging.DEBUG)
"""Whether events are logged. If not, and without a handler, none needs to be created."""


class EventEmitter:
    """Emits events. Never installs a handler on the logger."""

    __slots__ = ("handler",)

    def __init__(self, handler: EventHandler | None) -> None:
        self.handler: Callable[[Event], object] | None = handler

    def emit(self, event: Event) -> None:
        """Log the event and call the handler. An exception of the handler is logged and not raised."""
        if is_logged():
            LOGGER.debug("%s", event)
        if self.handler is not None:
            call_handler(self.handler, event)

    def warn(self, event: Event) -> None:
        """As `emit`, as a warning."""
        LOGGER.warning("%s", event)
        if self.handler is not None:
            call_handler(self.handler, event)


def call_handler(handler: Callable[[E], object], event: E) -> None:
    """Call a handler of the user. An exception that it raises is logged, not raised."""
    try:
        result = handler(event)
        if result is not None and inspect.iscoroutine(result):
            result.close()
            LOGGER.error("on_event returned a coroutine, which is never awaited: pass a function that is not async")
    except (Exception, asyncio.CancelledError):  # a function that is not async cannot be cancelled
        LOGGER.exception("on_event failed for %s", type(event).__name__)
