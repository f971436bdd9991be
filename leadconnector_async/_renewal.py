"""Tokens, kept fresh: remembered, shared through the store, and renewed by one at a time.

Rule: a refresh token works once [doc], so all who need a new token wait for the same renewal: the tasks of a
process for one task, the processes for the store's lock, under which the store is read again first. The new
pair is stored before anybody uses it. A caller that goes away does not take the renewal along.

A token is renewed a while before it expires; if that fails, the old one serves until it does expire.

Knows the token endpoint and the store. Must not know the pipeline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Final

from ._errors import redact
from .exceptions import LeadConnectorError, ReconnectRequiredError, TokenStoreError
from .token_stores import TokenStore
from .tokens import StoredToken

Renew = Callable[[StoredToken], Awaitable[StoredToken]]
"""Gets the next token for one that is stored."""

_LOGGER: Final = logging.getLogger("leadconnector_async")
_PATIENCE: Final = 5.0
"""Seconds after an early renewal that failed, for which none is tried again. Far less than a refresh token's grace: the
server may have used it up, and its answer is lost."""
_LATE_WINNER: Final = (0.0, 0.25)
"""Seconds to wait before each look whether another process has stored a newer token."""


class Renewals:
    """The tokens of one app."""

    def __init__(
        self, store: TokenStore, renew: Renew, *, clock: Callable[[], float], ahead_seconds: float
    ) -> None:
        self._store = store
        self._renew = renew
        self._clock = clock
        self._ahead_seconds = ahead_seconds
        self._known: dict[str, StoredToken] = {}
        self._flights: dict[str, asyncio.Task[StoredToken | LeadConnectorError]] = {}
        self._used_up: dict[str, str] = {}
        self._unsaved: dict[str, StoredToken] = {}
        self._patient_until: dict[str, float] = {}

    async def get(self, key: str) -> str:
        """The access token to use now."""
        known = self._known.get(key)
        if known is not None and not self._is_due(known):
            return known.access_token
        now = self._clock()
        if known is None or now >= known.expires_at:
            return (await self._fly(key, None)).access_token
        if now < self._patient_until.get(key, 0.0):
            return known.access_token
        try:
            return (await self._fly(key, None)).access_token
        except LeadConnectorError as error:
            self._patient_until[key] = self._clock() + _PATIENCE
            _LOGGER.warning("a token could not be renewed ahead of time, and serves on: %s", error)
        return known.access_token

    async def replace(self, key: str, rejected: str) -> str:
        """An access token other than the rejected one."""
        known = self._known.get(key)
        if known is None or known.access_token == rejected:
            known = await self._fly(key, rejected)
        if known.access_token == rejected:  # it was somebody else's renewal, which found this one still good
            known = await self._fly(key, rejected)
        return known.access_token

    async def keep(self, key: str, token: StoredToken) -> None:
        """Store a token that came by another way."""
        try:
            async with self._store.lock(key):
                await self._save(key, token)
        except LeadConnectorError:
            raise
        except Exception as error:
            raise _blame_store(error, token) from None

    async def _fly(self, key: str, rejected: str | None) -> StoredToken:
        """Wait for the renewal that is under way, or begin one."""
        flight = self._flights.get(key)
        if flight is None or flight.done():
            flight = asyncio.get_running_loop().create_task(self._run(key, rejected))
            self._flights[key] = flight
        outcome = await asyncio.shield(flight)
        if isinstance(outcome, StoredToken):
            return outcome
        raise copy(outcome)  # each waiter its own: what one call writes on it is not for the others

    async def _run(self, key: str, rejected: str | None) -> StoredToken | LeadConnectorError:
        try:
            token = await self._find(key, rejected)
        except LeadConnectorError as error:
            return error.with_traceback(None)
        except Exception as error:
            return _blame_store(error)
        self._known[key] = token
        return token

    async def _find(self, key: str, rejected: str | None) -> StoredToken:
        stored = await self._store.load(key)
        if stored is not None and self._serves(stored, rejected):
            return stored
        async with self._store.lock(key):
            stored = await self._store.load(key)
            if stored is None:
                raise _ask_to_connect(key)
            if self._serves(stored, rejected):
                return stored
            return await self._replace(key, stored, rejected)

    async def _replace(self, key: str, stored: StoredToken, rejected: str | None) -> StoredToken:
        if unsaved := self._take_unsaved(key, stored):
            await self._save(key, unsaved, stored)
            return unsaved
        try:
            token = await self._renew_once(key, stored)
        except ReconnectRequiredError:
            newer = await self._look_again(key, stored)
            if newer is None:
                raise
            if self._serves(newer, rejected):
                return newer
            stored, token = newer, await self._renew_once(key, newer)
        await self._save(key, token, stored)
        _LOGGER.debug("the token of %s was renewed", key)
        return token

    async def _renew_once(self, key: str, stored: StoredToken) -> StoredToken:
        """Renew, unless the server has said already that this refresh token is used up."""
        refresh_token = stored.refresh_token or ""
        if refresh_token and self._used_up.get(key) == refresh_token:
            raise _ask_to_connect(key)
        try:
            return await self._renew(stored)
        except ReconnectRequiredError:
            self._used_up[key] = refresh_token
            raise

    async def _look_again(self, key: str, stored: StoredToken) -> StoredToken | None:
        """What another process has stored meanwhile, in spite of the lock."""
        for seconds in _LATE_WINNER:
            await asyncio.sleep(seconds)
            newer = await self._store.load(key)
            if newer is not None and newer.access_token != stored.access_token:
                return newer
        return None

    async def _save(self, key: str, token: StoredToken, before: StoredToken | None = None) -> None:
        """Store a token, and only then let it be used. One that cannot be stored is not forgotten."""
        try:
            await self._store.save(key, token)
        except Exception as error:
            if before is not None and before.refresh_token:
                self._unsaved[before.refresh_token] = token
            raise _blame_store(error, token) from None
        self._known[key] = token
        self._patient_until.pop(key, None)

    def _take_unsaved(self, key: str, stored: StoredToken) -> StoredToken | None:
        return self._unsaved.pop(stored.refresh_token, None) if stored.refresh_token else None

    def _serves(self, token: StoredToken, rejected: str | None) -> bool:
        return token.access_token != rejected and not self._is_due(token)

    def _is_due(self, token: StoredToken) -> bool:
        """Whether it is time to renew; a token that lives for less than twice the lead is renewed half-way."""
        half = (token.expires_at - token.issued_at) / 2
        return self._clock() >= token.expires_at - min(self._ahead_seconds, half)


def _ask_to_connect(key: str) -> ReconnectRequiredError:
    return ReconnectRequiredError(
        f"No token of {key} works, or none is stored: send a user through authorize_url(…), and give the code "
        "to exchange_code(…)."
    )


def _blame_store(error: Exception, token: StoredToken | None = None) -> LeadConnectorError:
    if isinstance(error, LeadConnectorError):
        return error
    text = f"{type(error).__name__}: {error}"
    for secret in (token.access_token, token.refresh_token) if token is not None else ():
        text = redact(text, secret or "")
    return TokenStoreError(f"the token store failed: {text}")
