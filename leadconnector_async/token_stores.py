"""Where tokens are kept between runs of a program, and shared between its processes.

Writes are atomic, and readable for the owner only. A lock per key ensures that one process at a time refreshes a
token; it is released when the process that holds it ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final, Protocol

import msgspec

from ._secret import InOneProcess, SecretBytes
from ._system.files import close_lock, make_own_folder, open_lock, open_own, replace_file, try_lock
from ._system.threads import run_in_thread
from ._validation.settings import check_kind, check_line, check_path, check_seconds
from ._validation.text import escape
from .exceptions import TokenStoreError
from .tokens import StoredToken

_SAVE_NEEDS: Final = 2
"""Descriptors: the lock of the file, and the file."""
_FIRST_DELAY: Final = 0.005
_LONGEST_DELAY: Final = 0.1
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, StoredToken]).decode


class TokenStore(Protocol):
    """What `OAuthApp` needs from a store. A key is the id of a location, or of an agency (company).

    An exception of a store reaches the caller as a `TokenStoreError` that names its type and, for `save`, its text
    with the tokens redacted. A `LeadConnectorError` is passed on unchanged.
    """

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that was saved, or `None`. Also called without the lock.

        `key` is the id of the location or agency.
        """
        ...

    async def save(self, key: str, token: StoredToken) -> None:
        """Save a token durably: once this returns, a crash must not lose it.

        `key` is the id of the location or agency, and `token` replaces the one before.
        """
        ...

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Held while a token is refreshed: up to half a minute, or up to a minute if the program ends meanwhile.

        `key` is the id of the location or agency. Each key has its own lock; a process may hold two at once. All
        processes that share the store must share the lock, and a holder that crashes must not keep it.
        """
        ...


class MemoryTokenStore(InOneProcess):
    """Tokens in memory, lost when the process ends: for tests, and for tokens that are stored elsewhere."""

    def __init__(self) -> None:
        self._tokens: dict[str, StoredToken] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._tokens)}>"

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that was saved."""
        return self._tokens.get(check_line("key", key))

    async def save(self, key: str, token: StoredToken) -> None:
        """Save a token."""
        self._tokens[check_line("key", key)] = check_kind("token", token, StoredToken)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Excludes the other tasks of this process."""
        return self._locks.setdefault(check_line("key", key), asyncio.Lock())


class FileTokenStore:
    """Tokens in one JSON file, shared by all processes of a machine.

    `path` is the file; it is created with the first token, readable for its owner only, and replaced atomically.
    Locks are files in the folder `path` + `.locks`. `lock_seconds` bounds the wait for another process.
    Raises `TokenStoreError`. Not for file systems that do not lock between machines.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_seconds: float = 60.0) -> None:
        check_seconds("lock_seconds", lock_seconds)
        self._path = os.path.realpath(check_path("path", path))
        self._shown = escape(self._path)
        self._locks = TokenLocks(f"{self._path}.locks", self._shown, lock_seconds)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that any process saved."""
        key = check_line("key", key)
        with explain_failure(self._shown, "read"):
            return (await run_in_thread(self._read)).get(key)

    async def save(self, key: str, token: StoredToken) -> None:
        """Save a token: it is on disk when this returns. The tokens of other keys are unchanged."""
        check_kind("token", token, StoredToken)
        with explain_failure(self._shown, "written"):
            await run_in_thread(partial(self._add, check_line("key", key), token))

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Excludes all other tasks and processes. Waiting does not block the event loop."""
        return self._locks.hold(hash_name(check_line("key", key)))

    def _add(self, key: str, token: StoredToken) -> None:
        spent, locked = self._locks.spend(hash_name(key)), self._locks.hold_in_thread("file")
        with spent, locked, explain_failure(self._shown, "written"):
            replace_file(self._path, [encode_tokens({**self._read(), key: token}, self._shown)])

    def _read(self) -> dict[str, StoredToken]:
        with explain_failure(self._shown, "read"):
            try:
                with open(self._path, "rb", opener=open_own) as file:
                    content = SecretBytes(file.read())
            except FileNotFoundError:
                return {}
        tokens = decode_tokens(content)
        if tokens is None:
            raise TokenStoreError(
                f"{self._shown} does not contain valid tokens; repair it, or move it away and connect again"
            )
        return tokens


class TokenLocks:
    """The locks of a store whose processes are on one machine: files in a folder, for its owner only.

    `shown` is what errors call the store, and `seconds` bounds the wait for another process. Raises
    `TokenStoreError`. For this library.

    A lock comes with the file descriptors that a save needs: once a token was refreshed, the one that is stored is
    spent, and others may have taken the last descriptors.
    """

    def __init__(self, folder: str, shown: str, seconds: float) -> None:
        self._folder = folder
        self._shown = shown
        self._seconds = seconds
        self._spare: dict[str, list[int]] = {}
        """Descriptors by the locks that are held."""

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncGenerator[None]:
        """Hold a lock. Waiting does not block the event loop."""
        descriptor, spare = self._open(name), list[int]()
        try:
            for seconds in self._poll():
                if self._try(descriptor):
                    break
                await asyncio.sleep(seconds)
            self._spare[name] = spare
            self._fill(name, spare)
            yield
        finally:
            if self._spare.get(name) is spare:
                del self._spare[name]
            _free(spare)
            close_lock(descriptor)

    @contextmanager
    def spend(self, name: str) -> Generator[None]:
        """Use the descriptors that came with a lock, if it is held; afterwards it has others, if there are any."""
        spare = self._spare.get(name, [])
        _free(spare)
        try:
            yield
        finally:
            if self._spare.get(name) is spare:
                with suppress(TokenStoreError):
                    self._fill(name, spare)
            if self._spare.get(name) is not spare:  # it was released meanwhile, by another thread
                _free(spare)

    @contextmanager
    def hold_in_thread(self, name: str) -> Generator[None]:
        """Hold a lock. Waiting blocks the thread."""
        descriptor = self._open(name)
        try:
            for seconds in self._poll():
                if self._try(descriptor):
                    break
                time.sleep(seconds)
            yield
        finally:
            close_lock(descriptor)

    def _fill(self, name: str, spare: list[int]) -> None:
        while len(spare) < _SAVE_NEEDS:
            spare.append(self._open(name))

    def _open(self, name: str) -> int:
        with explain_failure(self._shown, "locked"):
            make_own_folder(self._folder)
            return open_lock(os.path.join(self._folder, name))

    def _try(self, descriptor: int) -> bool:
        with explain_failure(self._shown, "locked"):
            return try_lock(descriptor)

    def _poll(self) -> Iterator[float]:
        """How long to wait before each next try. Raises `TokenStoreError` when the time is up."""
        until = time.monotonic() + self._seconds
        seconds = _FIRST_DELAY
        while time.monotonic() < until:
            yield seconds
            seconds = min(seconds * 1.5, _LONGEST_DELAY)
        raise TokenStoreError(f"{self._shown} is still locked by another process after {self._seconds:g} s")


def _free(spare: list[int]) -> None:
    with suppress(IndexError):  # it is empty: two threads may free what they both know
        while True:
            os.close(spare.pop())


def hash_name(text: str) -> str:
    """A name that any file system takes."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def encode_tokens(tokens: dict[str, StoredToken], shown: str) -> SecretBytes:
    """The JSON of tokens. Raises `TokenStoreError` if it could not be read again; `shown` is where it would go."""
    content = SecretBytes(_try_encode(tokens) or b"")
    if not content or decode_tokens(content) is None:
        raise TokenStoreError(
            f"the token cannot be stored in {shown}, which is unchanged: every field must have its declared type, "
            "and times must be finite"
        )
    return content


@contextmanager
def explain_failure(shown: str, what: str) -> Generator[None]:
    """What the system refuses becomes a `TokenStoreError`. For this library."""
    try:
        yield
    except OSError as error:
        reason = f"{type(error).__name__}: {error.strerror}"
        raise TokenStoreError(f"{shown} could not be {what}: {reason}") from None


# Neither an error of the codec nor its traceback may be passed on: they hold what was read or written.


def decode_tokens(content: bytes) -> dict[str, StoredToken] | None:
    """The tokens of such JSON; `None` if it is not valid."""
    try:
        return _decode(content)
    except _UNREADABLE:
        return None


def _try_encode(tokens: dict[str, StoredToken]) -> bytes | None:
    try:
        return _encode(tokens)
    except _UNREADABLE:
        return None
