"""The clients of a service: copies of the one it was given, or what `client_for` returns."""

from __future__ import annotations

import inspect
from functools import partial

from .._validation.text import show
from ..client import LeadConnector
from ..exceptions import ConfigurationError, LeadConnectorError
from .clients import Clients
from .unit import ClientFor, choose_client


def check_client(client: LeadConnector | ClientFor) -> None:
    """Raise `ConfigurationError` for what is neither a client nor a function."""
    if not isinstance(client, LeadConnector) and (not callable(client) or inspect.isclass(client)):
        raise ConfigurationError(
            f"client is {show(client)}; it must be a LeadConnector, or a function that returns that of a location"
        )


def make_client_for(given: LeadConnector | ClientFor) -> ClientFor:
    """Return a function that returns a copy of the client for each location, or awaits the one that was given.

    Of foreign errors only the type is shown: the text may hold secrets.
    """
    return partial(_copy_client, given) if isinstance(given, LeadConnector) else partial(_await_client, given)


def _copy_client(client: LeadConnector, location: str) -> LeadConnector:
    chosen = choose_client(client, location)
    return client.with_options() if chosen is client else chosen


async def _await_client(client_for: ClientFor, location: str) -> LeadConnector:
    try:
        found = client_for(location)
        return await found if inspect.isawaitable(found) else found
    except LeadConnectorError:
        raise
    except Exception as error:
        raise ConfigurationError(f"client_for raised {type(error).__name__}") from error


class Borrowed:
    """The clients that one job uses, until `give_back`."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._taken: dict[str, LeadConnector] = {}

    async def find(self, location: str) -> LeadConnector:
        """Return the client of a location. Raises what `client_for` raises."""
        if location not in self._taken:
            client = await self._clients.take(location)
            if location in self._taken:  # another task was as quick
                await self._clients.give_back(location)
            else:
                self._taken[location] = client
        return self._taken[location]

    async def give_back(self) -> None:
        """Give all of them back."""
        while self._taken:
            location, _ = self._taken.popitem()
            await self._clients.give_back(location)
