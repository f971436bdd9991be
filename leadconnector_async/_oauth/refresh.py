"""Access tokens, refreshed before they expire: by one process at a time, shared through the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial
from typing import Final, TypeVar

from .._api.errors import redact
from ..exceptions import ConfigurationError, LeadConnectorError, ReconnectRequiredError, TokenStoreError
from ..token_stores import TokenStore
from ..tokens import StoredToken

Renew = Callable[[StoredToken], Awaitable[StoredToken]]
"""Gets the next token for one that is stored."""
Ask = Callable[[], Awaitable[tuple[str, StoredToken]]]
"""Gets a token by another way, and says under which key it belongs."""

_LOGGER: Final = logging.getLogger("leadconnector_async")
_PATIENCE: Final = 3.0
"""Seconds after an early renewal that failed, for which none is tried again. Few, so that the next one is
still within the refresh token's grace: the server may have used it up, and its answer is lost."""
_LATE_WINNER: Final = (0.0, 0.25)
"""Seconds to wait before each look whether another process has stored a newer token."""


class _Fresh:
    """A token that is not stored yet."""

    __slots__ = ("_used_up", "is_late", "token")

    def __init__(self, token: StoredToken, used_up: str | None = None) -> None:
        self.token = token
        self._used_up = used_up
        """The refresh token that brought it."""
        self.is_late = False
        """It came by another way and could not be stored, so the one that is known is not the newest."""

    def follows(self, stored: StoredToken | None) -> bool:
        """Whether nobody has stored a newer one meanwhile."""
        if self._used_up is not None:
            return stored is not None and stored.refresh_token == self._used_up
        return stored is None or stored.issued_at <= self.token.issued_at


class TokenRefresher:
    """The tokens of one app."""

    def __init__(
        self,
        client_id: str,
        store: TokenStore,
        renew: Renew,
        *,
        clock: Callable[[], float],
        ahead_seconds: float,
    ) -> None:
        self._client_id = client_id
        self._store = store
        self._renew = renew
        self._clock = clock
        self._ahead_seconds = ahead_seconds
        self._known: dict[str, StoredToken] = {}
        self._flights: dict[str, asyncio.Task[StoredToken | LeadConnectorError]] = {}
        self._used_up: dict[str, str] = {}
        self._errands: set[asyncio.Task[StoredToken]] = set()
        self._unsaved: dict[str, _Fresh] = {}
        self._patient_until: dict[str, float] = {}

    async def get(self, key: str) -> str:
        """The access token to use now."""
        known = self._known.get(key)
        if known is not None and not self._is_due(known) and not self._is_late(key):
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

    async def obtain(self, ask: Ask) -> StoredToken:
        """Get a token by another way, and store it; once begun, this goes on even if the caller goes away."""
        errand = asyncio.get_running_loop().create_task(self._run_errand(ask))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)
        try:
            return await asyncio.shield(errand)
        except asyncio.CancelledError:
            errand.add_done_callback(_tell)
            raise

    async def _run_errand(self, ask: Ask) -> StoredToken:
        came: list[tuple[str, _Fresh]] = []

        async def fetch() -> StoredToken:
            if not came:
                key, token = await ask()
                fresh = self._unsaved[key] = _Fresh(token)
                came.append((key, fresh))
            key, fresh = came[0]
            await self._keep(key, fresh)
            return fresh.token

        return await shield(fetch)

    async def _keep(self, key: str, fresh: _Fresh) -> None:
        failure: LeadConnectorError | None = None
        try:
            async with self._store.lock(key):
                await self._load(key)
                if self._unsaved.get(key) is fresh:  # else a renewal has stored it already
                    await self._save(key, fresh)
        except Exception as error:
            fresh.is_late = True
            failure = _blame_store(error)
        if failure is not None:
            raise failure

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
        stored = await self._load(key)
        if stored is not None and not self._is_late(key) and self._serves(stored, rejected):
            return stored
        async with self._store.lock(key):
            return await shield(partial(self._find_alone, key, rejected))

    async def _find_alone(self, key: str, rejected: str | None) -> StoredToken:
        stored = await self._settle(key)
        if stored is None:
            raise _ask_to_connect(key)
        if self._serves(stored, rejected):
            return stored
        return await self._replace(key, stored, rejected)

    async def _load(self, key: str) -> StoredToken | None:
        stored = await self._store.load(key)
        if stored is not None and stored.client_id not in ("", self._client_id):
            raise ConfigurationError(
                f"this store holds the tokens of another app for {key}: give each app a store of its own, or "
                "remove what an app that is gone has left in it"
            )
        return stored

    async def _settle(self, key: str) -> StoredToken | None:
        """What is stored, after what could not be stored before."""
        stored = await self._load(key)
        fresh = self._unsaved.get(key)
        if fresh is None:
            return stored
        if not fresh.follows(stored):
            del self._unsaved[key]
            return stored
        await self._save(key, fresh)
        return fresh.token

    async def _replace(self, key: str, stored: StoredToken, rejected: str | None) -> StoredToken:
        try:
            token = await self._renew_once(key, stored)
        except ReconnectRequiredError:
            newer = await self._look_again(key, stored)
            if newer is None:
                raise
            if self._serves(newer, rejected):
                return newer
            stored, token = newer, await self._renew_once(key, newer)
        await self._save(key, _Fresh(token, stored.refresh_token))
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
            newer = await self._load(key)
            if newer is not None and newer.access_token != stored.access_token:
                return newer
        return None

    async def _save(self, key: str, fresh: _Fresh) -> None:
        """Store a token, and only then let it be used. Until it is stored it is remembered, whatever happens."""
        self._unsaved.setdefault(key, fresh)  # one that came by another way meanwhile is the newer one
        failure: LeadConnectorError | None = None
        try:
            await self._store.save(key, fresh.token)
        except Exception as error:
            failure = _blame_store(error, fresh.token)
        if failure is not None:
            raise failure
        if self._unsaved.get(key) is fresh:
            del self._unsaved[key]
        self._known[key] = fresh.token
        self._patient_until.pop(key, None)

    def _is_late(self, key: str) -> bool:
        fresh = self._unsaved.get(key)
        return fresh is not None and fresh.is_late

    def _serves(self, token: StoredToken, rejected: str | None) -> bool:
        return token.access_token != rejected and not self._is_due(token)

    def _is_due(self, token: StoredToken) -> bool:
        """Whether it is time to renew; a token that lives for less than twice the lead is renewed half-way."""
        half = (token.expires_at - token.issued_at) / 2
        return self._clock() >= token.expires_at - min(self._ahead_seconds, half)


def _tell(errand: asyncio.Task[StoredToken]) -> None:
    """Log how an errand failed whose caller went away."""
    error = None if errand.cancelled() else errand.exception()
    if error is not None:
        reason = error if isinstance(error, LeadConnectorError) else type(error).__name__
        _LOGGER.warning("a token that nobody waited for any more could not be had or stored: %s", reason)


def _ask_to_connect(key: str) -> ReconnectRequiredError:
    return ReconnectRequiredError(
        f"No token of {key} works, or none is stored: send a user through authorize_url(…), and give the code "
        "to exchange_code(…).",
        outcome="not_applied",
    )


def _blame_store(error: Exception, token: StoredToken | None = None) -> LeadConnectorError:
    """What to raise for an error of the store, outside of its `except`: the error itself may hold tokens.

    Its text is told only where the tokens that it may hold are known, and cut out.
    """
    if isinstance(error, LeadConnectorError):
        return error
    text = type(error).__name__
    if token is not None:
        text = redact(f"{text}: {error}", token.access_token, token.refresh_token or "")
    return TokenStoreError(f"the token store failed: {text}")


T = TypeVar("T")
_LAST_SECONDS: Final = 30.0
"""A refresh token's grace: later nothing of it can be saved."""


async def shield(act: Callable[[], Awaitable[T]]) -> T:
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
