"""The clients of a worker: one for each location, made when it is first needed, and kept while it may be again.

`client_for` belongs to the user: it may read a token from somewhere, wait, fail, or return copies of one client.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from contextlib import suppress
from typing import Final

from .._validation.text import escape
from ..client import LeadConnector
from ..exceptions import ConfigurationError, LeadConnectorError
from .unit import ClientFor

_CLOSE_SECONDS: Final = 0.5
"""For all of them: a store that is away would be waited for by each."""
_MOST_IDLE: Final = 200
"""Clients that are kept although their locations are not worked on."""


class UnsharedClientError(ConfigurationError):
    """`client_for` has returned a client whose limits other workers do not know."""


class Clients:
    """Those of one worker."""

    def __init__(self, client_for: ClientFor, most_idle: int = _MOST_IDLE) -> None:
        self._client_for = client_for
        self._most_idle = most_idle
        self._kept: dict[str, LeadConnector] = {}
        """The one that was used last is the last one."""
        self._used: Counter[str] = Counter()
        self._returned: dict[int, set[str]] = {}
        """For which locations each of them was returned, by identity."""
        self._making: dict[str, asyncio.Lock] = {}

    async def take(self, location: str) -> LeadConnector:
        """The client of a location, until `give_back`. Raises what `client_for` raises, or `ConfigurationError`."""
        self._used[location] += 1
        try:
            async with self._making.setdefault(location, asyncio.Lock()):
                client = self._kept.pop(location, None) or await self._make(location)
                self._kept[location] = client
        except BaseException:
            self._release(location)
            raise
        return client

    async def give_back(self, location: str) -> None:
        """It is not used any more; closes those that were not used for longest, if there are too many."""
        self._release(location)
        idle = [one for one in self._kept if one not in self._used]
        for one in idle[: max(0, len(idle) - self._most_idle)]:
            client = self._kept.pop(one)
            if len(self._returned[id(client)]) == 1:  # otherwise `client_for` keeps it, and may return it again
                del self._returned[id(client)]
                await _close(client)

    async def aclose(self) -> None:
        """Close all of them, at once and not for long: the worker is to end. Copies close nothing."""
        kept, self._kept = {id(client): client for client in self._kept.values()}, {}
        self._returned.clear()
        closing = [asyncio.ensure_future(_close(client)) for client in kept.values()]
        if closing:
            _, late = await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
            for one in late:
                one.cancel()

    def _release(self, location: str) -> None:
        self._used[location] -= 1
        if not self._used[location]:
            del self._used[location]
            self._making.pop(location, None)

    async def _make(self, location: str) -> LeadConnector:
        found = self._client_for(location)
        given = await found if inspect.isawaitable(found) else found
        client = _check_client(given, location)
        if client.shared is None:
            raise UnsharedClientError(
                f"client_for('{escape(location)}') returned a client without a shared store; create it with"
                ' shared=Shared("postgresql://db/leads")'
            )
        self._returned.setdefault(id(client), set()).add(location)
        return client


def _check_client(given: object, location: str) -> LeadConnector:
    """What is not a client may be its token, so only its type is shown."""
    if not isinstance(given, LeadConnector):
        raise ConfigurationError(
            f"client_for('{escape(location)}') returned a {type(given).__name__}; it must be a LeadConnector"
        )
    return given


async def _close(client: LeadConnector) -> None:
    with suppress(LeadConnectorError, OSError):
        await client.aclose()
