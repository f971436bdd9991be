"""Access tokens, refreshed before they expire: by one process at a time, shared through the store.

What happens next is decided in `refresh_steps`; here it is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from copy import copy
from functools import partial
from typing import Final, TypeAlias, TypeVar

from msgspec import structs

from .._api.errors import redact
from .._validation.text import clean_line
from ..exceptions import ConfigurationError, LeadConnectorError, ReconnectRequiredError, TokenStoreError
from ..token_stores import TokenStore
from ..tokens import StoredToken
from .refresh_steps import (
    Event,
    Fail,
    Load,
    Loaded,
    Lock,
    Refresh,
    Refreshed,
    RefreshState,
    Refused,
    Save,
    Saved,
    TokenState,
    Unsaved,
    Use,
    decide_use,
    next_step,
)

RefreshToken: TypeAlias = Callable[[StoredToken], Awaitable[StoredToken]]
"""Gets the token that follows a stored one."""
Obtain: TypeAlias = Callable[[], Awaitable[tuple[str, StoredToken]]]
"""Gets a token in another way, with the key under which it is stored."""

_LOGGER: Final = logging.getLogger("leadconnector_async")
_RETRY_AFTER: Final = 3.0
"""Seconds between two early refreshes when the first one failed. Few, so that the next one is still within the
refresh token's grace: the server may have used it up, and the response was lost."""


class _KeyState(TokenState):
    task: asyncio.Task[StoredToken | LeadConnectorError] | None = None
    """The refresh in progress, or the last one."""


class OwnTokens:
    """The tokens of one app in a store."""

    def __init__(self, store: TokenStore, client_id: str) -> None:
        self._store = store
        self._client_id = client_id

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """The lock of the store."""
        return self._store.lock(key)

    async def load(self, key: str) -> StoredToken | None:
        """The token of a key; `None` if there is none, or it was forgotten. Raises what the store raises."""
        stored = await self._store.load(key)
        if stored is not None and stored.client_id not in ("", self._client_id):
            raise ConfigurationError(
                f"this store holds the tokens of another app for {clean_line(key)}: give each app its own store, "
                "or delete what an old app left in it"
            )
        return stored if stored is not None and stored.access_token else None

    async def save(self, key: str, token: StoredToken) -> None:
        """Save a token. Raises `LeadConnectorError`, whatever the store raises."""
        failure: LeadConnectorError | None = None
        try:
            await self._store.save(key, token)
        except Exception as error:
            failure = _blame_store(error, token)
        if failure is not None:
            raise failure


class TokenRefresher:
    """The tokens of one app."""

    def __init__(
        self,
        client_id: str,
        store: TokenStore,
        refresh: RefreshToken,
        *,
        clock: Callable[[], float],
        lead: float,
    ) -> None:
        self.client_id = client_id
        self._store = OwnTokens(store, client_id)
        self._refresh_token = refresh
        self._clock = clock
        self._lead = lead
        """How many seconds before it expires a token is refreshed."""
        self._states: dict[str, _KeyState] = {}
        self._tasks: set[asyncio.Task[StoredToken]] = set()
        """Those that obtain a token, held so that they are not collected."""

    async def get(self, key: str) -> str:
        """The access token to use now."""
        state = self._find_state(key)
        decision = decide_use(state, self._clock(), self._lead)
        saved = state.saved
        if saved is None or decision == "refresh":
            return (await self._refresh(key, None)).access_token
        if decision == "refresh_early":
            try:
                return (await self._refresh(key, None)).access_token
            except LeadConnectorError as error:
                state.retry_at = self._clock() + _RETRY_AFTER
                _LOGGER.warning("a token could not be refreshed early and stays in use: %s", error)
        return saved.access_token

    async def replace(self, key: str, rejected: str) -> str:
        """An access token other than the rejected one."""
        token = self._find_state(key).saved
        if token is None or token.access_token == rejected:
            token = await self._refresh(key, rejected)
        if token.access_token == rejected:  # a refresh that began for another reason found this one still good
            token = await self._refresh(key, rejected)
        return token.access_token

    async def obtain(self, obtain: Obtain) -> StoredToken:
        """Get a token in another way and save it. Once begun, this is finished even if the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(self._obtain(obtain))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def find(self, key: str) -> StoredToken | None:
        """The token of a key, whether or not it has expired; `None` if there is none."""
        known = self._states.get(key)
        if known is not None and known.unsaved is not None:
            return known.unsaved.token
        failure: LeadConnectorError
        try:
            return await self._store.load(key)
        except Exception as error:
            failure = _blame_store(error)
        raise failure

    async def forget(self, key: str, issued_before: float) -> bool:
        """Replace the token of a key by an empty one, if it is older; returns whether it was."""
        failure: LeadConnectorError
        try:
            async with self._store.lock(key):
                return await shield(partial(self._forget_locked, key, issued_before))
        except Exception as error:
            failure = _blame_store(error)
        raise failure

    async def _forget_locked(self, key: str, issued_before: float) -> bool:
        stored, known = await self._store.load(key), self._states.get(key)
        unsaved = None if known is None or known.unsaved is None else known.unsaved.token
        found = [one for one in (stored, unsaved) if one is not None]
        if not found or any(one.issued_at > issued_before for one in found):
            return False
        await self._store.save(key, structs.replace(found[0], access_token="", refresh_token=None, expires_at=0.0))
        if known is not None:
            known.saved = known.unsaved = None
            self._states.pop(key, None)  # or what is still being loaded would be remembered
        return True

    def _find_state(self, key: str) -> _KeyState:
        return self._states.get(key) or self._states.setdefault(key, _KeyState())

    async def _obtain(self, obtain: Obtain) -> StoredToken:
        obtained: list[tuple[str, Unsaved]] = []

        async def run() -> StoredToken:
            if not obtained:
                key, token = await obtain()
                unsaved = self._find_state(key).unsaved = Unsaved(token)
                obtained.append((key, unsaved))
            key, unsaved = obtained[0]
            await self._save_obtained(key, unsaved)
            return unsaved.token

        return await shield(run)

    async def _save_obtained(self, key: str, unsaved: Unsaved) -> None:
        state = self._find_state(key)
        failure: LeadConnectorError | None = None
        try:
            async with self._store.lock(key):
                await self._store.load(key)
                if state.unsaved is unsaved:  # else a refresh has saved it already
                    await self._store.save(key, unsaved.token)
                    state.end_save(unsaved)
        except Exception as error:
            unsaved.late = True
            failure = _blame_store(error)
        if failure is not None:
            raise failure

    async def _refresh(self, key: str, rejected: str | None) -> StoredToken:
        """Wait for the refresh in progress, or begin one."""
        state = self._find_state(key)
        task = state.task
        if task is None or task.done():
            task = state.task = asyncio.get_running_loop().create_task(self._run(key, rejected))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, StoredToken):
            return outcome
        raise copy(outcome)  # one for each waiter: what a call adds to its own must not show in the others'

    async def _run(self, key: str, rejected: str | None) -> StoredToken | LeadConnectorError:
        state = self._find_state(key)  # before it is forgotten, if it is
        try:
            token = await self._run_steps(key, rejected)
        except LeadConnectorError as error:
            return error.with_traceback(None)
        except Exception as error:
            return _blame_store(error)
        state.saved = token
        return token

    async def _run_steps(self, key: str, rejected: str | None) -> StoredToken:
        state = RefreshState(key, self._find_state(key), rejected, self._lead)
        action = next_step(state, Loaded(await self._store.load(key)), self._clock())
        if isinstance(action, Use):
            return action.token
        async with self._store.lock(key):
            return await shield(partial(self._run_locked, key, rejected))

    async def _run_locked(self, key: str, rejected: str | None) -> StoredToken:
        state = RefreshState(key, self._find_state(key), rejected, self._lead, phase="check")
        action, asked = next_step(state, Loaded(await self._store.load(key)), self._clock()), False
        while not isinstance(action, Use):
            if isinstance(action, Fail) and asked and state.refusal is not None:  # once, not for every later call
                _LOGGER.error("the refresh token of %s was refused: %s", clean_line(key), action.error)
            asked = asked or isinstance(action, Refresh)
            event = await self._perform(key, action)
            action = next_step(state, event, self._clock())
        if state.phase == "save":
            _LOGGER.debug("the token of %s was refreshed", clean_line(key))
        return action.token

    async def _perform(self, key: str, action: Load | Lock | Refresh | Save | Fail) -> Event:
        """Carry out an action; returns what came of it."""
        if isinstance(action, Fail):
            raise action.error
        if isinstance(action, Refresh):
            try:
                return Refreshed(await self._refresh_token(action.token))
            except ReconnectRequiredError as error:
                return Refused(error)
        if isinstance(action, Save):
            await _save(self._store, key, action.unsaved)
            return Saved(action.unsaved)
        if isinstance(action, Load):
            await asyncio.sleep(action.delay)
        return Loaded(await self._store.load(key))


async def _save(store: OwnTokens, key: str, unsaved: Unsaved) -> None:
    """Save a token. A failure is logged once: whoever sees it could restart the program, and lose the token."""
    try:
        await store.save(key, unsaved.token)
    except LeadConnectorError as error:
        if not unsaved.is_told:
            text = "the new token of %s is lost if this process ends before a later call can save it (%s)"
            _LOGGER.warning(text, clean_line(key), error)
        unsaved.is_told = True
        raise
    if unsaved.is_told:
        _LOGGER.warning("the new token of %s is saved now", clean_line(key))


def _log_failure(task: asyncio.Task[StoredToken]) -> None:
    """Log why a token could not be obtained whose caller was cancelled."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        reason = error if isinstance(error, LeadConnectorError) else type(error).__name__
        _LOGGER.warning("after its caller was cancelled, a token could not be obtained or saved: %s", reason)


def _blame_store(error: Exception, token: StoredToken | None = None) -> LeadConnectorError:
    """What to raise for an error of the store, outside of its `except`: the error itself may hold tokens.

    Its text is shown only where the tokens that it may hold are known and cut out.
    """
    if isinstance(error, LeadConnectorError):
        return error
    text = type(error).__name__
    if token is not None:
        text = redact(f"{text}: {error}", token.access_token, token.refresh_token or "")
    return TokenStoreError(f"the token store failed: {text}")


T = TypeVar("T")
_LAST_SECONDS: Final = 30.0
"""A refresh token's grace: after that, nothing of it can be saved."""


async def shield(act: Callable[[], Awaitable[T]]) -> T:
    """Do it; if it is cancelled, do it once more from its beginning, and only then be cancelled.

    A failure of the second run is logged. A second cancellation ends it at once.
    """
    try:
        return await act()
    except asyncio.CancelledError:
        # A task of its own: in one that has been cancelled, timeouts may not work.
        await asyncio.get_running_loop().create_task(_run_once_more(act))
        raise


async def _run_once_more(act: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            await act()
    except Exception as error:
        reason = error if isinstance(error, LeadConnectorError) else type(error).__name__
        _LOGGER.warning("a token in transit at shutdown may be lost: %s", reason)
