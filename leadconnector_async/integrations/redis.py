"""Redis or Valkey as the store that processes share. Needs the extra `redis`.

Each call is one script, which the server runs as a whole. Nothing is created beforehand, and a server that was
restarted empty is used as it is: who reads its state learns from its run id that it has forgotten everything.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias, TypedDict, TypeVar, cast

from msgspec import Struct, convert
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, ResponseError

from .._secret import strip
from .._sharing.connection import ConnectionKeeper
from .._sharing.store import STORE_SECONDS, Reading, make_version, try_swap
from .._sharing.together import Together
from .._sharing.url import StoreAddress, redact
from ..exceptions import ConfigurationError, LeadConnectorError, StoreUnavailableError

T = TypeVar("T")

Part: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Part, ...]

_PORT: Final = 6379
_PREFIX: Final = "leadconnector:state:"
_READ: Final = """
local state = redis.call('HMGET', KEYS[1], 'version', 'content')
local now = redis.call('TIME')
local info = redis.call('INFO', 'server')
local uptime = tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or 0)
if not state[1] then
    local flushed = string.find(redis.call('INFO', 'commandstats'), 'cmdstat_flush', 1, true)
    local evicted = string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')
    if flushed or evicted ~= '0' then uptime = 0 end
end
return {state[1] or '', state[2], tonumber(now[1]), tonumber(now[2]),
        string.match(info, 'run_id:(%w+)') or '', uptime}
"""
"""A state that is missing after a `FLUSHALL` or an eviction may have been there until now, as after a restart."""
_SWAP: Final = """
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'content', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""
_MILLION: Final = 1_000_000
_FAILURES: Final = (RedisError, OSError, EOFError, UnicodeError)
_SETTINGS: Final = (AuthenticationError, AuthorizationError, NoPermissionError, ssl.SSLCertVerificationError)
"""What only the user can correct."""
_SETTING_TEXTS: Final = ("certificate", "NOAUTH", "WRONGPASS", "out of range")


class RedisConnection:
    """One connection. Raises `StoreUnavailableError` and `ConfigurationError` only."""

    def __init__(self, address: StoreAddress, connection: AbstractConnection) -> None:
        self._address = address
        self._connection = connection
        self.is_broken = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._address.shown}>"

    @classmethod
    async def open(cls, address: StoreAddress) -> RedisConnection:
        """Connect and authenticate. Must be bounded by the caller."""
        fault: LeadConnectorError
        opened = cls(address, _build(address))
        try:
            await opened._connection.connect()  # type: ignore[no-untyped-call] # redis-py has no type for it
        except _FAILURES as error:
            fault = _explain_failure(address, error)
        except BaseException:
            await opened.aclose()
            raise
        else:
            return opened
        await opened.aclose()
        raise fault

    async def call(self, *command: Part) -> object:
        """Send a command; returns the response, undecoded."""

        async def work() -> object:
            await self._connection.send_command(*command)
            return cast("object", await self._connection.read_response(disable_decoding=True))

        return await self._do(work)

    async def call_all(self, commands: Sequence[Command]) -> list[object]:
        """Send commands together; returns the responses, or the error of each that the server refused."""
        if len(commands) == 1:
            return [await self.call(*commands[0])]

        async def work() -> list[object]:
            await self._connection.send_packed_command(self._connection.pack_commands(commands))
            return [await self._read() for _ in commands]

        return await self._do(work)

    async def _read(self) -> object:
        try:
            return cast("object", await self._connection.read_response(disable_decoding=True))
        except ResponseError as error:
            return _explain_failure(self._address, error)

    async def _do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Whatever goes wrong, the connection is closed."""
        fault: LeadConnectorError
        try:
            return await work()
        except _FAILURES as error:
            fault = _explain_failure(self._address, error)
            await self.aclose()
        except BaseException:
            await self.aclose()
            raise
        raise fault

    def abandon(self) -> None:
        """Close its socket, which ends the command that runs."""
        self.is_broken = True
        writer: object = getattr(self._connection, "_writer", None)  # redis-py has no way to close without waiting
        if isinstance(writer, asyncio.StreamWriter):
            with suppress(RuntimeError):  # its event loop is closed
                writer.transport.abort()

    async def aclose(self) -> None:
        """Close it, without waiting for the server."""
        self.abandon()
        with suppress(*_FAILURES):
            await self._connection.disconnect(nowait=True)
        await asyncio.sleep(0)  # the event loop closes the socket in its next iteration


class RedisStore:
    """States as hashes. One connection per event loop."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._keeper = keep_connection(address)
        self._reads = line_up(self._keeper, address.shown, STORE_SECONDS, may_repeat=True)
        self._swaps = line_up(self._keeper, address.shown, STORE_SECONDS, may_repeat=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address.shown}>"

    async def read(self, key: str) -> Reading:
        """The state of a key, and the server's time."""
        found = convert(await self._reads.call(("EVAL", _READ, 1, f"{_PREFIX}{key}")), _Found)
        if not found.run_id:
            raise ConfigurationError(f"{self._address.shown} cannot be used: INFO does not show its run_id")
        now = found.seconds + found.microseconds / _MILLION
        return Reading(found.version.decode(), found.content, now, f"redis {found.run_id.decode()}", found.uptime)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float) -> bool:
        """Replace the state if it still has this version."""
        kept = max(1, round(keep_seconds * 1000))
        command = ("EVAL", _SWAP, 1, f"{_PREFIX}{key}", version, make_version(), content, kept)
        return await self._swaps.call(command) == 1

    async def migrate(self) -> None:
        """Nothing needs to be created; check that it can be used."""
        await self.check()

    async def check(self) -> None:
        """Connect, and check that scripts and `INFO` are permitted, and that it can be written."""
        await try_swap(self)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()


class _Found(Struct, frozen=True, array_like=True):
    version: bytes
    content: bytes | None
    seconds: int
    microseconds: int
    run_id: bytes
    uptime: int


def keep_connection(address: StoreAddress) -> ConnectionKeeper[RedisConnection]:
    """A connection per event loop."""
    return ConnectionKeeper(address.shown, partial(RedisConnection.open, address))


def line_up(
    keeper: ConnectionKeeper[RedisConnection], name: str, seconds: float, *, may_repeat: bool
) -> Together[Command, object]:
    """Commands, together where they can be. `name` is what errors call the store."""

    async def work(commands: list[Command]) -> list[object]:
        return await keeper.run(
            lambda connection: connection.call_all(commands), seconds=seconds, may_repeat=may_repeat
        )

    return Together(name, work, seconds)


def _build(address: StoreAddress) -> AbstractConnection:
    """Without timeouts of its own, and without repeating anything."""
    settings = _Settings(
        db=int(address.database),
        username=address.user,
        password=address.password,
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        client_name="leadconnector-async",
    )
    if address.path:
        return UnixDomainSocketConnection(path=address.path, **settings)
    port = address.port or _PORT
    if not address.is_tls:
        return Connection(host=address.host, port=port, **settings)
    return SSLConnection(
        host=address.host,
        port=port,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,  # not the default of redis-py 5
        ssl_ca_certs=address.options.get("ssl_ca_certs"),
        ssl_certfile=address.options.get("ssl_certfile"),
        ssl_keyfile=address.options.get("ssl_keyfile"),
        **settings,
    )


class _Settings(TypedDict):
    db: int
    username: str | None
    password: str | None
    socket_timeout: float | None
    socket_connect_timeout: float | None
    retry: Retry
    protocol: int
    client_name: str


def _explain_failure(address: StoreAddress, error: BaseException) -> LeadConnectorError:
    """Nothing of the driver's error is kept but its text: its frames hold the password.

    What the system said is clearer than what redis-py makes of it.
    """
    reason = error.__context__ if isinstance(error.__context__, OSError) else error
    text = redact(address, reason)
    strip(error)
    if isinstance(reason, _SETTINGS) or any(one in text for one in _SETTING_TEXTS):
        return ConfigurationError(f"{address.shown} cannot be used: {text}")
    what = "used" if isinstance(reason, ResponseError) else "reached"
    return StoreUnavailableError(f"{address.shown} could not be {what}: {text}")
