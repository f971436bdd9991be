"""Access tokens: a fixed one, or a provider of them.

A token is validated before it is used, and never shown: not in a repr, an error, an event or a log line.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, cast, runtime_checkable

from ._secret import Held, Secret, conceal
from .exceptions import ConfigurationError

TokenProvider: TypeAlias = Callable[[], Awaitable[str]]
"""An async function that returns a valid token. It is called for every attempt, before the wait for a slot and
again after it, so it should cache its token. Each call is bounded by `Timeouts.total`, and no slot is held then.
After a 401 that an expired token may have caused, it is called once more, and a new token is tried once."""


@runtime_checkable
class RefreshingProvider(Protocol):
    """A provider that is told which token was refused. Any `TokenProvider` may be one."""

    async def __call__(self) -> str:
        """A valid token; called for every attempt."""
        ...

    async def refresh(self, rejected: str) -> str:
        """A token other than `rejected`, which the server has just refused.

        The result is used without calling the provider again. Calls that were refused with the same token share
        one refresh.
        """
        ...


@runtime_checkable
class LocationProvider(Protocol):
    """A provider that has the tokens of other locations too."""

    def for_location(self, location_id: str) -> TokenProvider:
        """The provider of another location's tokens.

        `location_id` is the location.
        """
        ...


@runtime_checkable
class AppProvider(Protocol):
    """A provider that knows the app whose tokens it returns."""

    @property
    def client_id(self) -> str:
        """The OAuth client id of the app: HighLevel counts the requests of each app by themselves."""
        ...


_MOMENT: Final = 0.1
"""Seconds for which a token that the provider returned is used without asking it again."""


def check_token(token: object) -> Secret:
    """Return the token, or raise `ConfigurationError` without showing it."""
    token = conceal(token)
    if not isinstance(token, Secret):
        raise ConfigurationError(f"the token is a {token.kind}; it must be a string")
    if not token:
        raise ConfigurationError("the token is empty; pass a Private Integration Token or an access token")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(
            "the token contains a line break, a space or another character that is not allowed in a header; "
            "copy the token alone"
        )
    if token.lower().startswith("bearer"):
        raise ConfigurationError("the token begins with 'Bearer'; pass the token without that prefix")
    return token


class TokenSource:
    """A fixed token, or a provider of tokens."""

    __slots__ = (
        "_check",
        "_newest",
        "_newest_at",
        "_provider",
        "_refresh_lock",
        "_refreshing",
        "_rejected",
        "_replacement",
        "_root",
        "fixed",
    )

    def __init__(self, token: str | TokenProvider | LocationProvider | Held) -> None:
        token = conceal_token(token)
        self._root = token if isinstance(token, LocationProvider) and not callable(token) else None
        self._provider = _check_provider(token) if callable(token) else None
        self._refreshing = _find_refreshing(token)
        self.fixed = None if callable(token) or self.is_root else check_token(token)
        self._newest = self.fixed or Secret()
        self._newest_at = -math.inf
        self._check: asyncio.Task[str] | None = None
        self._refresh_lock = asyncio.Lock()
        self._rejected, self._replacement = Secret(), Secret()
        """The last token that was refreshed, and its replacement."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'fixed' if getattr(self, 'fixed', None) is not None else 'provider'}>"

    @property
    def is_root(self) -> bool:
        """Whether there are only tokens of locations, and none to use without one."""
        return self._root is not None

    @property
    def client_id(self) -> str | None:
        """The OAuth client id of the app, if the provider knows it."""
        provider: object = self._root or self._provider
        return provider.client_id if isinstance(provider, AppProvider) else None

    async def fetch(self) -> str:
        """The token to use now."""
        if self._root is not None:
            raise explain_root()
        if self._provider is None:
            return check_token(self.fixed)
        return self._record(conceal(await _await_token(self._provider())))

    async def replace(self, rejected: str) -> str:
        """The token to use now that the server has refused this one; it may be the same again.

        What `refresh` returns is used, whatever the provider returns in the meantime, and calls that were refused
        with the same token share one refresh.
        """
        rejected = check_token(rejected)
        if self._refreshing is None:
            return await self.fetch()
        async with self._refresh_lock:
            if rejected == self._rejected:
                return self._record(self._replacement)
            token = self._record(conceal(await _await_token(self._refreshing.refresh(rejected))))
            if token != rejected:
                self._rejected, self._replacement = rejected, check_token(token)
            return token

    def find_newest(self, now: float) -> str | None:
        """The newest token that the provider returned to any call, if that was a moment ago."""
        return self._newest if now - self._newest_at < _MOMENT else None

    def check(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[str]:
        """Ask the provider again, once for all calls that want it at this time.

        A provider with a cached token is done within one iteration of the loop.
        """
        if self._check is None or self._check.done():
            self._check = loop.create_task(self.fetch())
            self._check.add_done_callback(_retrieve_error)
        return self._check

    async def join(self, check: asyncio.Task[str], known: str) -> str:
        """Wait for a `check`. A cancelled caller ends it, as it may hang; the others keep their token."""
        try:
            await asyncio.wait([check])
        except asyncio.CancelledError:
            check.cancel()
            raise
        if check.cancelled():
            return known
        return await self.fetch() if check.exception() else check.result()

    def for_location(self, location_id: str) -> TokenSource:
        """The tokens of another location. Raises `ConfigurationError` if only one location's are known."""
        provider: object = self._root or self._provider
        if not isinstance(provider, LocationProvider):
            raise ConfigurationError(
                "the client's token is for one location only; use for_location(location_id, token=…)"
            )
        return TokenSource(provider.for_location(location_id))

    def _record(self, token: Secret | Held) -> str:
        token = check_token(token)
        self._newest = self._replacement if token == self._rejected else token
        self._newest_at = asyncio.get_running_loop().time()
        return self._newest


def conceal_token(
    token: str | TokenProvider | LocationProvider | Held,
) -> Secret | Held | TokenProvider | LocationProvider:
    """Mask a token that a user passed; a provider stays as it is."""
    return token if callable(token) or isinstance(token, LocationProvider) else conceal(token)


def explain_root() -> ConfigurationError:
    """The error of a call that needs a location."""
    return ConfigurationError(
        "this client has no location, so nothing was sent; use client.for_location(location_id)"
    )


def _check_provider(provider: TokenProvider) -> TokenProvider:
    """Raise `ConfigurationError` for one that cannot be called without arguments."""
    try:
        signature = inspect.signature(provider)
    except Exception:  # a function written in C may have none, and a callable object may fail to show its own
        return provider
    try:
        signature.bind()
    except TypeError:
        raise ConfigurationError(
            "the token provider takes arguments; it must be an async function without parameters"
        ) from None
    return provider


async def _await_token(given: object) -> object:
    """Await what a provider returned. If it is not async, that is the token itself, which must not be shown."""
    if not inspect.isawaitable(given):
        kind = type(given).__name__
        del given  # or the traceback would hold it
        raise ConfigurationError(
            f"the token provider returned {kind}, which is not awaitable; it must be an async function"
        )
    return await cast("Awaitable[object]", given)


def _find_refreshing(provider: object) -> RefreshingProvider | None:
    return provider if isinstance(provider, RefreshingProvider) else None


def _retrieve_error(check: asyncio.Task[str]) -> None:
    """Retrieve its error: each waiter asks again, so asyncio need not report that it was never retrieved."""
    if not check.cancelled():
        check.exception()
