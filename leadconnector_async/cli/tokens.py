"""Tokens and other secrets of an account, as its environment names them: text, a file, or a command."""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
import subprocess
from typing import Final

from .._secret import Secret, conceal, strip
from ..auth import check_token
from ..exceptions import ConfigurationError

LOCATION_VARIABLE: Final = "LEADCONNECTOR_LOCATION_ID"
"""Tells a command the location whose token is requested."""
_COMMAND_SECONDS: Final = 30.0
_LAST_SECONDS: Final = 1.0


def read_secret(name: str, path: str) -> Secret:
    """The first line of a file that nobody else may read. `name` is the variable that holds its path."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise ConfigurationError(
                    f"{name}: {path} is readable by other users; run: chmod 600 {shlex.quote(path)}"
                )
            secret = Secret(file.readline().strip())
    except (OSError, UnicodeDecodeError) as error:
        secret, reason = Secret(), error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    else:
        reason = "the first line is empty"
    if not secret:  # outside of the `except`: what cannot be decoded is in the error
        raise ConfigurationError(f"{name}: {path} cannot be read ({reason})")
    return secret


def run_for_secret(name: str, command: Secret) -> Secret:
    """The first line that a command prints. `name` is the variable that holds the command."""
    words = _split(name, command)
    reason = "the first line of its output is empty"
    try:
        ended = subprocess.run(  # noqa: S603 - the user's own command
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=_COMMAND_SECONDS
        )
    except subprocess.CalledProcessError as error:
        secret, reason = Secret(), f"exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        secret, reason = Secret(), f"it did not finish within {_COMMAND_SECONDS:g} s"
    except (OSError, ValueError) as error:
        secret, reason = Secret(), getattr(error, "strerror", None) or "it cannot be run"
    else:
        secret = Secret(ended.stdout.decode("utf-8", "replace").partition("\n")[0].strip())
        del ended
    if not secret:  # outside of the `except`: the error holds the command
        raise ConfigurationError(f"{name} returned nothing: {reason}")
    return secret


class LocationToken:
    """A fixed token of one location."""

    def __init__(self, token: str, location_id: str, hint: str) -> None:
        given = conceal(token)
        del token
        self._token = check_token(given)
        self._location_id = location_id
        self._hint = hint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {vars(self).get('_location_id')!r}>"

    async def __call__(self) -> str:
        """The token."""
        return self._token

    def for_location(self, location_id: str) -> LocationToken:
        """Itself; raises `ConfigurationError` for another location."""
        if location_id != self._location_id:
            raise ConfigurationError(f"the token is valid for location {self._location_id} only; {self._hint}")
        return self


class CommandToken:
    """A token that a command prints. It runs once per location, and again when the server rejects the token."""

    def __init__(
        self, name: str, command: str, location_id: str, others: dict[str, CommandToken] | None = None
    ) -> None:
        given = Secret(command)
        del command  # it may hold a secret, and an error shows the parameters of each function
        self._name = name
        self._command = given
        self._words = _split(name, given)
        self._location_id = location_id
        self._token: str | None = None
        self._lock = asyncio.Lock()
        self._all: dict[str, CommandToken] = {} if others is None else others
        self._all[location_id] = self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {vars(self).get('_location_id')!r}>"

    async def __call__(self) -> str:
        """The token to use now."""
        async with self._lock:
            if self._token is None:
                self._token = await self._run()
            return self._token

    async def refresh(self, rejected: str) -> str:
        """Run the command again, unless that was done since the token was rejected."""
        rejected = Secret(rejected)
        async with self._lock:
            if self._token is None or self._token == rejected:
                self._token = await self._run()
            return self._token

    def for_location(self, location_id: str) -> CommandToken:
        """The same command for another location; one object per location."""
        known = self._all.get(location_id)
        return known or CommandToken(self._name, self._command, location_id, self._all)

    async def _run(self) -> str:
        """Run the command; its stderr is passed through."""
        transport, listener = await self._start(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(_COMMAND_SECONDS):
                await listener.closed
        except TimeoutError:
            raise self._refuse(f"it did not finish within {_COMMAND_SECONDS:g} s") from None
        finally:
            transport.close()
            await asyncio.wait([listener.ended], timeout=_LAST_SECONDS)
        if code := transport.get_returncode():
            raise self._refuse(f"exit code {code}")
        token = Secret(listener.output.decode("utf-8", "replace").partition("\n")[0].strip())
        if not token:
            raise self._refuse("the first line of its output is empty")
        return token

    async def _start(self, loop: asyncio.AbstractEventLoop) -> tuple[asyncio.SubprocessTransport, _Listener]:
        """Start the command. The frames of asyncio hold the whole environment: none of them may go further."""
        try:
            return await loop.subprocess_exec(
                lambda: _Listener(loop),
                *self._words,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=None,
                env={**os.environ, LOCATION_VARIABLE: self._location_id},
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it cannot be run"
            ended: BaseException = self._refuse(reason or type(error).__name__)
        except BaseException as error:
            ended = error
        try:
            raise strip(ended)
        finally:
            del ended

    def _refuse(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self._name} returned no token for location {self._location_id}: {reason}")


class _Listener(asyncio.SubprocessProtocol):
    """Collects what a command prints. Its children may keep its output open, so their end is not awaited."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.output = bytearray()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data

    def process_exited(self) -> None:
        _complete(self.ended)

    def connection_lost(self, exc: Exception | None) -> None:
        _complete(self.closed)


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _split(name: str, command: Secret) -> list[str]:
    reason = "it is empty"
    try:
        if words := shlex.split(command):
            return [Secret(word) for word in words]
    except ValueError as error:
        reason = str(error)
    raise ConfigurationError(
        f"{name} is not a valid command: {reason}"
    )  # outside of the `except`: shlex holds the text
