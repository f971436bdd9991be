"""Shared tokens in Redis or Valkey. As durable as the server: `appendonly no` loses them in a restart."""

from __future__ import annotations

import logging
from typing import ClassVar, Final

from msgspec import convert

from .._secret import SecretBytes
from .._sharing.store import RELEASE_SECONDS, TOKEN_SECONDS
from .._sharing.url import StoreAddress
from .redis import Part, keep_connection, line_up

_LOGGER: Final = logging.getLogger("leadconnector_async")
_PREFIX: Final = "leadconnector:token:"
_LOCK_PREFIX: Final = "leadconnector:token-lock:"
_SYNC_MILLISECONDS: Final = 3000
_WRITE: Final = """
local found = redis.call('GET', KEYS[1])
if found and ARGV[2] == 'unless changed' and found ~= ARGV[3] then return -1 end
redis.call('SET', KEYS[1], ARGV[1])
if string.match(redis.call('INFO', 'persistence'), 'aof_enabled:(%d)') ~= '1' then return 0 end
return redis.call('COMMAND', 'INFO', 'waitaof')[1] and 2 or 1
"""
"""-1: not written; 0: in memory only; 1: soon on the disk as well; 2: the same, and it can be waited for."""
_TAKE: Final = """
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[2]) and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisTokenRows:
    """`TokenRows` as keys without an expiry, and leases as keys with one. One connection per event loop."""

    lease_seconds: ClassVar = 2.5
    """The server does not tell a holder that was killed from others."""

    def __init__(self, address: StoreAddress) -> None:
        self._shown = address.shown
        self._keeper = keep_connection(address)
        self._commands = line_up(self._keeper, address.shown, TOKEN_SECONDS, may_repeat=True)
        self._has_warned = False

    async def read(self, name: str) -> bytes | None:
        """The value of a row."""
        found = convert(await self._call("GET", _PREFIX + name), bytes | None)
        return None if found is None else SecretBytes(found)

    async def write(self, name: str, value: bytes, known: bytes | None) -> bool:
        """Write a row, unless it has a value other than `known`."""
        return await self._write(name, value, "unless changed", b"" if known is None else known)

    async def replace(self, name: str, value: bytes) -> None:
        """Write a row, whatever its value."""
        await self._write(name, value, "always", b"")

    async def take(self, name: str, holder: str) -> bool:
        """Take a lease, or renew the holder's own, by the server's clock."""
        lease = round(self.lease_seconds * 1000)
        return await self._call("EVAL", _TAKE, 1, _LOCK_PREFIX + name, holder, lease) == 1

    async def release(self, name: str, holder: str) -> None:
        """End a lease."""
        await self._call("EVAL", _RELEASE, 1, _LOCK_PREFIX + name, holder, bound=RELEASE_SECONDS)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()

    async def _write(self, name: str, value: bytes, condition: str, known: bytes) -> bool:
        written = convert(await self._call("EVAL", _WRITE, 1, _PREFIX + name, value, condition, known), int)
        if written > 1:
            await self._call("WAITAOF", 1, 0, _SYNC_MILLISECONDS)
        elif written == 0 and not self._has_warned:
            self._has_warned = True
            _LOGGER.warning(
                "%s keeps tokens in memory only: after a restart of the server, users have to connect again; set "
                "appendonly yes",
                self._shown,
            )
        return written >= 0

    async def _call(self, *command: Part, bound: float = TOKEN_SECONDS) -> object:
        return await self._commands.call(command, bound)
