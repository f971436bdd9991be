"""Where tokens are kept between two runs of a program, and between its processes.

What is stored is stored whole or not at all, and for its owner only. A lock per key makes sure that one
process at a time renews a token; it is gone with the process that holds it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Final, Protocol

import msgspec

from ._files import close_lock, make_own_folder, open_lock, open_own, try_lock
from ._secret import SecretBytes
from ._validation.settings import check_kind, check_line, check_path, check_seconds
from ._validation.text import escape
from .exceptions import TokenStoreError
from .tokens import StoredToken

_FIRST_LOOK: Final = 0.005
_LONGEST_LOOK: Final = 0.1
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, StoredToken]).decode


class TokenStore(Protocol):
    """What `OAuthApp` asks of a store. A key is the id of a location, or of an agency (company).

    What a store raises reaches the caller as a `TokenStoreError`: with its type, and for `save` with its text less
    the tokens that were to be saved. A `LeadConnectorError` goes through as it is.
    """

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that was saved; `None` if there is none. Called without the lock as well."""
        ...

    async def save(self, key: str, token: StoredToken) -> None:
        """Keep a token, for good: when this returns, a crash must not lose it."""
        ...

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Held while a token is renewed: up to half a minute, and up to a whole one when the program ends then.

        Keys are locked one by one, at times two at once.

        All processes that share the store must share the lock; a holder that crashes must not keep it.
        """
        ...


class MemoryTokenStore:
    """Tokens of this process, gone with it: for tests, and for tokens that something else keeps."""

    def __init__(self) -> None:
        self._tokens: dict[str, StoredToken] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._tokens)}>"

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that was saved."""
        return self._tokens.get(check_line("key", key))

    async def save(self, key: str, token: StoredToken) -> None:
        """Keep a token."""
        self._tokens[check_line("key", key)] = check_kind("token", token, StoredToken)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Excludes the other tasks of this process."""
        return self._locks.setdefault(check_line("key", key), asyncio.Lock())


class FileTokenStore:
    """Tokens in one JSON file, shared by all processes of a machine.

    `path` is the file; it is made with the first token, readable for its owner only, and replaced as a whole.
    Locks are files in the folder `path` + `.locks`. `lock_seconds` bounds the wait for another process.
    Raises `TokenStoreError`. Not for a file system that does not lock between machines.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_seconds: float = 60.0) -> None:
        check_seconds("lock_seconds", lock_seconds)
        self._path = os.path.realpath(check_path("path", path))
        self._folder = f"{self._path}.locks"
        self._lock_seconds = lock_seconds

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that was saved, by whichever process."""
        key = check_line("key", key)
        return (await asyncio.to_thread(self._read)).get(key)

    async def save(self, key: str, token: StoredToken) -> None:
        """Keep a token: it is on the disk when this returns. The tokens of other keys stay as they are."""
        check_kind("token", token, StoredToken)
        await asyncio.to_thread(self._add, check_line("key", key), token)

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncGenerator[None]:
        """Excludes all other tasks and processes. Waiting blocks nobody else."""
        descriptor = self._open_lock(hashlib.sha256(check_line("key", key).encode()).hexdigest()[:32])
        try:
            for seconds in self._look():
                if self._try_lock(descriptor):
                    break
                await asyncio.sleep(seconds)
            yield
        finally:
            close_lock(descriptor)

    def _add(self, key: str, token: StoredToken) -> None:
        descriptor = self._open_lock("file")
        try:
            for seconds in self._look():
                if self._try_lock(descriptor):
                    break
                time.sleep(seconds)
            with self._explain("written"):
                self._replace(self._write({**self._read(), key: token}))
        finally:
            close_lock(descriptor)

    def _read(self) -> dict[str, StoredToken]:
        with self._explain("read"):
            try:
                with open(self._path, "rb", opener=open_own) as file:
                    content = SecretBytes(file.read())
            except FileNotFoundError:
                return {}
        tokens = _try_decode(content)
        if tokens is None:
            raise TokenStoreError(f"{escape(self._path)} does not contain valid tokens; move it away, or repair it")
        return tokens

    def _write(self, tokens: dict[str, StoredToken]) -> SecretBytes:
        content = SecretBytes(_try_encode(tokens) or b"")
        if not content or _try_decode(content) is None:
            raise TokenStoreError(
                f"{escape(self._path)} cannot store this token and is unchanged: every field of it must have "
                "the declared type, and its times must be finite"
            )
        return content

    def _replace(self, content: SecretBytes) -> None:
        """Write beside the file, then put it in its place. Only who holds the lock gets here."""
        beside = f"{self._path}.new"
        with suppress(FileNotFoundError):
            os.unlink(beside)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(beside, self._path)
        _settle(os.path.dirname(self._path))

    def _open_lock(self, name: str) -> int:
        with self._explain("locked"):
            make_own_folder(self._folder)
            return open_lock(os.path.join(self._folder, name))

    def _try_lock(self, descriptor: int) -> bool:
        with self._explain("locked"):
            return try_lock(descriptor)

    def _look(self) -> Iterator[float]:
        """How long to wait before each next look. Raises `TokenStoreError` when that has taken too long."""
        until = time.monotonic() + self._lock_seconds
        seconds = _FIRST_LOOK
        while time.monotonic() < until:
            yield seconds
            seconds = min(seconds * 1.5, _LONGEST_LOOK)
        raise TokenStoreError(
            f"{escape(self._path)} has been locked by another process for {self._lock_seconds:g} s"
        )

    @contextmanager
    def _explain(self, what: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            reason = f"{type(error).__name__}: {error.strerror}"
            raise TokenStoreError(f"{escape(self._path)} could not be {what}: {reason}") from None


# Neither an error of the codec nor its traceback may go further: they hold what was read or written.


def _try_decode(content: bytes) -> dict[str, StoredToken] | None:
    try:
        return _decode(content)
    except _UNREADABLE:
        return None


def _try_encode(tokens: dict[str, StoredToken]) -> bytes | None:
    try:
        return _encode(tokens)
    except _UNREADABLE:
        return None


def _settle(folder: str) -> None:
    """Have the disk remember the new name, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
