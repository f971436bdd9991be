"""A cache of the clients of a worker: one per location, created on first use.

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
"""For closing all clients: each would wait for a store that is unreachable."""
_MOST_IDLE: Final = 200
"""How many clients of idle locations are cached."""


class UnsharedClientError(ConfigurationError):
    """`client_for` returned a client that does not share its rate limit with other workers."""


class Clients:
    """The clients of one worker."""

    def __init__(self, client_for: ClientFor, most_idle: int = _MOST_IDLE, *, shared: bool = True) -> None:
        """`shared`: clients without a shared store are refused, as other workers would not see their requests."""
        self._client_for = client_for
        self._needs_store = shared
        self._most_idle = most_idle
        self._kept: dict[str, LeadConnector] = {}
        """In order of use, the most recent last."""
        self._used: Counter[str] = Counter()
        self._returned: dict[int, set[str]] = {}
        """The locations that each client was returned for, by its identity."""
        self._making: dict[str, asyncio.Lock] = {}

    async def take(self, location: str) -> LeadConnector:
        """Borrow the client of a location until `give_back`.

        Raises what `client_for` raises, and `ConfigurationError` for a client that cannot be used.
        """
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
        """End a use of the client; closes the least recently used clients if too many are idle."""
        self._release(location)
        idle = [one for one in self._kept if one not in self._used]
        for one in idle[: max(0, len(idle) - self._most_idle)]:
            client = self._kept.pop(one)
            if len(self._returned[id(client)]) == 1:  # otherwise `client_for` keeps it, and may return it again
                del self._returned[id(client)]
                await _close(client)

    async def aclose(self) -> None:
        """Close all clients at once, within half a second. Copies close no connections."""
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
        if self._needs_store and client.shared is None:
            raise UnsharedClientError(
                f"client_for('{escape(location)}') returned a client without a shared store; create it with"
                ' shared=Shared("postgresql://db/leads")'
            )
        self._returned.setdefault(id(client), set()).add(location)
        return client


def _check_client(given: object, location: str) -> LeadConnector:
    """Check the return value; only its type is shown, as it may be a token."""
    if not isinstance(given, LeadConnector):
        raise ConfigurationError(
            f"client_for('{escape(location)}') returned a {type(given).__name__}; it must be a LeadConnector"
        )
    return given


async def _close(client: LeadConnector) -> None:
    with suppress(LeadConnectorError, OSError):
        await client.aclose()
