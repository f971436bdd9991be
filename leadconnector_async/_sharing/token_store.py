"""Tokens in a store that processes share: encrypted, and each refreshed under a lock that is a lease.

A lease is renewed while it is held. A holder that is killed keeps the others waiting for 3 s at most: SQLite and
Postgres notice it at once, and leases in Redis are that short. One that is frozen or cut off keeps them for 5 s at
most. When it continues, it does no harm: a save replaces only what the holder itself has loaded under the lock.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import ClassVar, Final, Protocol, Self
from urllib.parse import quote

import msgspec

from .._secret import InOneProcess, SecretBytes
from .._validation.settings import check_kind, check_line, check_seconds
from ..exceptions import LeadConnectorError, StoreUnavailableError, TokenStoreError
from ..tokens import StoredToken
from .crypto import VARIABLE, Cipher, show_row

_RENEWALS: Final = 5
"""Of a lease, before it ends."""
_FIRST_DELAY: Final = 0.01
_LONGEST_DELAY: Final = 0.2
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_LOGGER: Final = logging.getLogger("leadconnector_async")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(StoredToken).decode


class TokenRows(Protocol):
    """Rows of a store, by their names. Raises `StoreUnavailableError` in bounded time, and `ConfigurationError`."""

    lease_seconds: ClassVar[float]
    """How long a holder that lives, but does not renew its lease, keeps the others waiting."""

    async def read(self, name: str) -> bytes | None:
        """The value of a row."""
        ...

    async def write(self, name: str, value: bytes, known: bytes | None) -> bool:
        """Write a row durably, unless it has a value other than `known`; returns whether it was written."""
        ...

    async def replace(self, name: str, value: bytes) -> None:
        """Write a row durably, whatever its value."""
        ...

    async def take(self, name: str, holder: str) -> bool:
        """Take a lease, or renew the holder's own; `False` if somebody else has it.

        One that would end later than `lease_seconds` from now is void: the clock was set back.
        """
        ...

    async def release(self, name: str, holder: str) -> None:
        """End a lease, if it is still the holder's."""
        ...

    async def aclose(self) -> None:
        """Close the connections; the next use opens them again."""
        ...


class _Hold:
    """A lock of a row that is held, and what its holder knows of the row."""

    __slots__ = ("has_read", "is_held", "known", "row", "store")

    def __init__(self, store: SharedTokenStore, row: str) -> None:
        self.store = store
        self.row = row
        self.is_held = True
        self.has_read = False
        self.known: SecretBytes | None = None
        """What was loaded or saved last under this lock."""

    def learn(self, value: SecretBytes | None) -> None:
        """Remember what the row holds."""
        self.has_read, self.known = True, value


_HOLDS: Final[ContextVar[tuple[_Hold, ...]]] = ContextVar("leadconnector_token_holds", default=())
"""Those of the current task and of the tasks that began it. Others of the process may read the same row without its
lock, or take the lock when this one was lost: what they know must not pass for what the holder has seen."""


def _find_hold(store: SharedTokenStore, row: str) -> _Hold | None:
    """The current task's hold of this row."""
    return next((one for one in _HOLDS.get() if one.store is store and one.row == row and one.is_held), None)


class SharedTokenStore(InOneProcess):
    """A `TokenStore` over rows. Without a cipher, values are stored as they are.

    `plain_readable` also accepts values that were stored without encryption before there was a key.
    """

    def __init__(
        self,
        rows: TokenRows,
        shown: str,
        cipher: Cipher | None,
        *,
        app: str,
        lock_seconds: float,
        plain_readable: bool = False,
    ) -> None:
        check_seconds("lock_seconds", lock_seconds)
        self._rows = rows
        self._shown = shown
        self._prefix = f"{quote(check_line('app', app), safe='') if app else ''}/"
        self._cipher = cipher
        self._lock_seconds = lock_seconds
        self._plain_readable = plain_readable

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {vars(self).get('_shown', '')}>"  # incomplete while a setting is refused

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. A later use opens them again."""
        await self._rows.aclose()

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that any process saved."""
        row = self._name_row(key)
        found = await self._read(row)
        if (hold := _find_hold(self, row)) is not None:
            hold.learn(found)
        return None if found is None else self._decode(row, found)

    async def save(self, key: str, token: StoredToken) -> None:
        """Save a token: the store has it when this returns.

        Raises `TokenStoreError` if the lock was lost and another process has saved another token in the meantime.
        """
        row = self._name_row(key)
        value = self._encode(row, check_kind("token", token, StoredToken))
        hold = _find_hold(self, row)
        with _explain(row, "saved"):
            if hold is None or not hold.has_read:
                return await self._rows.replace(row, value)
            written = await self._rows.write(row, value, hold.known)
        if not written:
            await self._check_same(row, value, token)
        return hold.learn(value)

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncGenerator[None]:
        """Excludes all other tasks and processes. Waiting does not block the event loop."""
        row, holder, ended = self._name_row(key), secrets.token_hex(8), asyncio.Event()
        hold = _Hold(self, row)
        renewing: asyncio.Task[None] | None = None
        try:
            await self._wait(row, holder)
            _HOLDS.set((*_HOLDS.get(), hold))
            renewing = asyncio.get_running_loop().create_task(self._renew(row, holder, ended))
            yield
        finally:
            hold.is_held = False
            _HOLDS.set(tuple(one for one in _HOLDS.get() if one is not hold))
            ended.set()
            if renewing is not None:
                await asyncio.wait([renewing])  # or it might take the lease again after it was released
            with suppress(LeadConnectorError):  # it ends by itself
                await self._rows.release(row, holder)

    async def _wait(self, row: str, holder: str) -> None:
        now = asyncio.get_running_loop().time
        until, delay = now() + self._lock_seconds, _FIRST_DELAY
        with _explain(row, "locked"):
            while not await self._rows.take(row, holder):
                if now() >= until:
                    seconds = f"{self._lock_seconds:g} s"
                    raise TokenStoreError(
                        f"the token of {show_row(row)} is still locked by another process after {seconds}"
                    )
                await asyncio.sleep(delay * random.uniform(0.7, 1.0))  # noqa: S311 - it only spreads the processes
                delay = min(delay * 1.5, _LONGEST_DELAY)

    async def _renew(self, row: str, holder: str, ended: asyncio.Event) -> None:
        while not await _wait_for(ended, self._rows.lease_seconds / _RENEWALS):
            try:
                if not await self._rows.take(row, holder):
                    _LOGGER.debug("the lock of the token of %s was lost: it was not renewed in time", show_row(row))
                    return
            except LeadConnectorError as error:
                _LOGGER.debug("the lock of the token of %s was not renewed: %s", show_row(row), error)

    async def _read(self, row: str) -> SecretBytes | None:
        with _explain(row, "read"):
            found = await self._rows.read(row)
        return None if found is None else SecretBytes(found)

    async def _check_same(self, row: str, value: SecretBytes, token: StoredToken) -> None:
        """Raise if a save that was refused lost to another token.

        A save whose response was lost finds its own value. Others that used the same refresh token within its
        grace were given the same pair.
        """
        found = await self._read(row)
        if found is None or found == value:
            return
        other = self._decode(row, found)
        if (other.access_token, other.refresh_token) != (token.access_token, token.refresh_token):
            raise TokenStoreError(
                f"the token of {show_row(row)} was not saved: this process was stopped or cut off, and another one "
                "has saved a newer token in the meantime"
            )

    def _name_row(self, key: str) -> str:
        return self._prefix + check_line("key", key)

    def _encode(self, row: str, token: StoredToken) -> SecretBytes:
        content = SecretBytes(_try_encode(token) or b"")
        if _try_decode(content) is None:
            raise TokenStoreError(
                f"the token of {show_row(row)} cannot be stored: every field must have its declared type, and "
                "times must be finite"
            )
        return content if self._cipher is None else SecretBytes(self._cipher.encrypt(row, content))

    def _decode(self, row: str, value: SecretBytes) -> StoredToken:
        is_plain = value.startswith(b"{")
        if is_plain and self._cipher is not None and not self._plain_readable:
            raise TokenStoreError(
                f"the token of {show_row(row)} is not encrypted, so this library did not store it: delete it and "
                "connect again"
            )
        if not is_plain and self._cipher is None:
            raise TokenStoreError(
                f"the token of {show_row(row)} is encrypted: set {VARIABLE} to the key that it was encrypted with"
            )
        content = value if is_plain or self._cipher is None else self._cipher.decrypt(row, value)
        token = _try_decode(content)
        if token is None:
            raise TokenStoreError(f"the token of {show_row(row)} is not valid: delete it and connect again")
        return token


@contextmanager
def _explain(row: str, what: str) -> Generator[None]:
    try:
        yield
    except StoreUnavailableError as error:
        raise TokenStoreError(f"the token of {show_row(row)} could not be {what}: {error}") from None


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Whether it happened within this time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


# Neither an error of the codec nor its traceback may be passed on: they hold what was read or written.


def _try_decode(content: bytes) -> StoredToken | None:
    try:
        return _decode(content)
    except _UNREADABLE:
        return None


def _try_encode(token: StoredToken) -> bytes | None:
    try:
        return _encode(token)
    except _UNREADABLE:
        return None
