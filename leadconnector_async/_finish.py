"""Finishing what must not be left half done, when it is cancelled by the end of `asyncio.run`.

Rule: at most once, for a bounded time, and not against a second cancellation.

Must not know what is finished.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from .exceptions import LeadConnectorError

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("leadconnector_async")
_LAST_SECONDS: Final = 30.0
"""A refresh token's grace: later nothing of it can be saved."""


async def insist(act: Callable[[], Awaitable[T]]) -> T:
    """Do it; if it is cancelled, do it once more from its beginning, and only then be cancelled.

    What fails on that second time goes to the log. A second cancellation ends it at once.
    """
    try:
        return await act()
    except asyncio.CancelledError:
        # A task of its own: in one that has been cancelled, bounds of time may not work.
        await asyncio.get_running_loop().create_task(_do_once_more(act))
        raise


async def _do_once_more(act: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            await act()
    except Exception as error:
        reason = error if isinstance(error, LeadConnectorError) else type(error).__name__
        _LOGGER.warning("a token that was under way at the end may be lost: %s", reason)
