"""The keys of callers in Redis or Valkey. As durable as the server: `appendonly no` forgets them in a restart."""

from __future__ import annotations

import logging
from typing import Final

from msgspec import Struct, convert

from .._sharing.keys import KEY_SECONDS, KeyRow
from .._sharing.store import make_version
from .._sharing.url import StoreAddress
from .redis import keep_connection, line_up

_LOGGER: Final = logging.getLogger("leadconnector_async")
_PREFIX: Final = "leadconnector:key:"
_SYNC_MILLISECONDS: Final = 3000
_READ: Final = """
local row = redis.call('HMGET', KEYS[1], 'version', 'content')
local now = redis.call('TIME')
return {row[1] or '', row[2] or '', tonumber(now[1]), tonumber(now[2])}
"""
_SWAP: Final = """
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'content', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if string.match(redis.call('INFO', 'persistence'), 'aof_enabled:(%d)') ~= '1' then return 0 end
return redis.call('COMMAND', 'INFO', 'waitaof')[1] and 2 or 1
"""
"""-1: not replaced; 0: in memory only; 1: soon on the disk as well; 2: the same, and it can be waited for."""
_MILLION: Final = 1_000_000


class RedisKeys:
    """`KeyStore` as hashes that expire. One connection per event loop."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._keeper = keep_connection(address)
        self._reads = line_up(self._keeper, address.shown, KEY_SECONDS, may_repeat=True)
        self._swaps = line_up(self._keeper, address.shown, KEY_SECONDS, may_repeat=False)
        self._has_warned = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address.shown}>"

    async def read(self, key: str) -> KeyRow:
        """The row of a key, and the server's time."""
        found = convert(await self._reads.call(("EVAL", _READ, 1, f"{_PREFIX}{key}")), _Found)
        return KeyRow(found.version.decode(), found.content, found.seconds + found.microseconds / _MILLION)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float, *, sync: bool = True) -> bool:
        """Replace a row if it still has this version."""
        kept = max(1, round(keep_seconds * 1000))
        command = ("EVAL", _SWAP, 1, f"{_PREFIX}{key}", version, make_version(), content, kept)
        written = convert(await self._swaps.call(command), int)
        if written > 1 and sync:
            await self._reads.call(("WAITAOF", 1, 0, _SYNC_MILLISECONDS))
        elif written == 0 and not self._has_warned:
            self._has_warned = True
            _LOGGER.warning(
                "%s keeps the keys of callers in memory only: after a restart of the server, the same key creates "
                "another appointment; set appendonly yes",
                self._address.shown,
            )
        return written >= 0

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()


class _Found(Struct, frozen=True, array_like=True):
    version: bytes
    content: bytes
    seconds: int
    microseconds: int
