"""Telling what happens: to the user's `on_event` and to the standard library's log.

Nobody who listens can break a call, and nobody is told a secret: events hold none.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from ..events import Event, EventHandler

LOGGER: Final = logging.getLogger("leadconnector_async")
is_logged: Final = partial(LOGGER.isEnabledFor, logging.DEBUG)
"""Whether events go to the log. If they do not, and nobody handles them, none needs to be made."""


class EventEmitter:
    """Passes events on. No handler of ours is ever installed on the logger."""

    __slots__ = ("handler",)

    def __init__(self, handler: EventHandler | None) -> None:
        self.handler = handler

    def tell(self, event: Event) -> None:
        """Log the event and hand it to the handler, whose failure is logged and goes no further."""
        LOGGER.debug("%s", event)
        self._hand_over(event)

    def warn(self, event: Event) -> None:
        """As `tell`, for what somebody should look at."""
        LOGGER.warning("%s", event)
        self._hand_over(event)

    def _hand_over(self, event: Event) -> None:
        if self.handler is None:
            return
        try:
            answer = cast("Callable[[Event], object]", self.handler)(event)
            if inspect.iscoroutine(answer):
                answer.close()
                LOGGER.error("on_event returned a coroutine, which is never awaited: pass a plain function")
        except (Exception, asyncio.CancelledError):  # nobody can cancel a plain function: the call goes on
            LOGGER.exception("on_event failed on %s", type(event).__name__)
