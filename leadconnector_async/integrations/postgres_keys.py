"""The keys of callers in Postgres. Every statement is a transaction of its own: poolers do not matter."""

from __future__ import annotations

from typing import Final, LiteralString

from msgspec import convert

from .._sharing.keys import KEY_SECONDS, SWEEP_EVERY, KeyRow
from .._sharing.store import MISSING, make_version
from .._sharing.url import StoreAddress
from .postgres import PostgresConnection, keep_connection

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
        self._swaps = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address.shown}>"

    async def read(self, key: str) -> KeyRow:
        """The row of a key, and the server's time."""

        async def work(connection: PostgresConnection) -> KeyRow:
            return convert((await connection.fetch(_READ, (key,)))[0], KeyRow)

        return await self._keeper.run(work, seconds=KEY_SECONDS, may_repeat=True)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float, *, sync: bool = True) -> bool:
        """Replace a row if it still has this version."""
        values = (make_version(), content, keep_seconds, key)

        async def work(connection: PostgresConnection) -> bool:
            adds = version == MISSING
            statement: LiteralString = _ADD if adds else _REPLACE
            rows = await connection.fetch(statement, values if adds else (*values, version))
            if self._swaps % SWEEP_EVERY == 0:
                await connection.fetch(_SWEEP)
            self._swaps += 1
            return bool(rows)

        return await self._keeper.run(work, seconds=KEY_SECONDS)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()
