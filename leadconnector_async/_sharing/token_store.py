"""Tokens in a store that processes share: encrypted, and each refreshed under a lock that is a lease.

A lease is renewed while it is held. A holder that is killed keeps the others waiting for 3 s at most: SQLite and
Postgres notice it at once, and leases in Redis are that short. One that is frozen or cut off keeps them for 5 s at
most. When it continues, it does no harm: a save replaces only what was loaded under the lock.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import ClassVar, Final, Protocol, Self
from urllib.parse import quote

import msgspec

from .._secret import SecretBytes
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


class SharedTokenStore:
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
        self._locked: set[str] = set()
        self._known: dict[str, SecretBytes | None] = {}
        """What was loaded or saved last under the locks that are held."""

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
        if row in self._locked:
            self._known[row] = found
        return None if found is None else self._decode(row, found)

    async def save(self, key: str, token: StoredToken) -> None:
        """Save a token: the store has it when this returns.

        Raises `TokenStoreError` if the lock was lost and another process has saved another token in the meantime.
        """
        row = self._name_row(key)
        value = self._encode(row, check_kind("token", token, StoredToken))
        with _explain(row, "saved"):
            if row not in self._known:
                return await self._rows.replace(row, value)
            written = await self._rows.write(row, value, self._known[row])
        if not written:
            await self._check_same(row, value, token)
        if row in self._locked:
            self._known[row] = value
        return None

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncGenerator[None]:
        """Excludes all other tasks and processes. Waiting does not block the event loop."""
        row, holder, ended = self._name_row(key), secrets.token_hex(8), asyncio.Event()
        renewing: asyncio.Task[None] | None = None
        try:
            await self._wait(row, holder)
            self._locked.add(row)
            renewing = asyncio.get_running_loop().create_task(self._renew(row, holder, ended))
            yield
        finally:
            self._locked.discard(row)
            self._known.pop(row, None)
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
