"""The keys of callers in Postgres. Every statement is a transaction of its own: poolers do not matter."""

from __future__ import annotations

from typing import Final

from msgspec import convert

from .._sharing.keys import KEY_SECONDS, SWEEP_EVERY, KeyRow
from .._sharing.store import MISSING, make_version
from .._sharing.url import StoreAddress
from .postgres import Statement, keep_connection, line_up

_READ: Final = """
    SELECT coalesce(version, ''), coalesce(content, ''), extract(epoch FROM clock_timestamp())::float8
    FROM (VALUES (%s)) AS wanted (key)
    LEFT JOIN leadconnector_keys AS kept ON kept.key = wanted.key AND kept.kept_until > clock_timestamp()
"""
_ADD: Final = """
    INSERT INTO leadconnector_keys (version, content, kept_until, key)
    SELECT %s, %s, clock_timestamp() + make_interval(secs => %s), %s FROM set_config(
        'synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true
    )
    ON CONFLICT (key) DO UPDATE
    SET version = excluded.version, content = excluded.content, kept_until = excluded.kept_until
    WHERE leadconnector_keys.kept_until <= clock_timestamp()
    RETURNING 1
"""
"""On the disk when it returns, also where the server is told not to wait for it."""
_REPLACE: Final = """
    UPDATE leadconnector_keys
    SET version = %s, content = %s, kept_until = clock_timestamp() + make_interval(secs => %s)
    FROM set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true)
    WHERE key = %s AND version = %s RETURNING 1
"""
_SWEEP: Final = "DELETE FROM leadconnector_keys WHERE kept_until <= clock_timestamp()"


class PostgresKeys:
    """`KeyStore` in a table. One connection per event loop."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._keeper = keep_connection(address)
        self._reads = line_up(self._keeper, address.shown, KEY_SECONDS, may_repeat=True)
        self._swaps = line_up(self._keeper, address.shown, KEY_SECONDS, may_repeat=False)
        self._count = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address.shown}>"

    async def read(self, key: str) -> KeyRow:
        """The row of a key, and the server's time."""
        return convert((await self._reads.call((_READ, (key,))))[0], KeyRow)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float, *, sync: bool = True) -> bool:
        """Replace a row if it still has this version."""
        values = (make_version(), content, keep_seconds, key)
        statement: Statement = (_ADD, values) if version == MISSING else (_REPLACE, (*values, version))
        sweeps = self._count % SWEEP_EVERY == 0
        self._count += 1
        rows = await self._swaps.call(statement)
        if sweeps:
            await self._keeper.run(lambda connection: connection.fetch(_SWEEP), seconds=KEY_SECONDS)
        return bool(rows)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()
