"""Shared tokens in Postgres. Every statement is a transaction of its own: poolers do not matter."""

from __future__ import annotations

from typing import ClassVar, Final, LiteralString

from msgspec import convert

from .._secret import SecretBytes
from .._sharing.store import RELEASE_SECONDS, TOKEN_SECONDS
from .._sharing.url import StoreAddress
from .postgres import Value, keep_connection, line_up

_READ: Final = "SELECT value FROM leadconnector_tokens WHERE name = %s"
_REPLACE: Final = """
    INSERT INTO leadconnector_tokens (name, value)
    SELECT %s, %s FROM set_config(
        'synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true
    )
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
"""On the disk when it returns, also where the server is told not to wait for it."""
_WRITE: Final = f"{_REPLACE} WHERE leadconnector_tokens.value = %s"
_TAKE: Final = """
    INSERT INTO leadconnector_token_locks AS locks (name, holder, until, pid, started)
    SELECT %s, %s, clock_timestamp() + make_interval(secs => %s), pid, backend_start
    FROM pg_stat_activity WHERE pid = pg_backend_pid()
    ON CONFLICT (name) DO UPDATE
    SET holder = excluded.holder, until = excluded.until, pid = excluded.pid, started = excluded.started
    WHERE locks.holder = excluded.holder OR locks.until < clock_timestamp()
       OR locks.until > clock_timestamp() + make_interval(secs => %s)
       OR NOT EXISTS (
           SELECT FROM pg_stat_get_activity(
               CASE WHEN pg_stat_clear_snapshot() IS NULL THEN NULL ELSE locks.pid END
           ) AS session
           WHERE coalesce(session.backend_start, locks.started) = locks.started
       )
    RETURNING 1
"""
"""Free if it has ended, or will end too late (the clock was set back), or if its holder's session has ended.

The conditions are read after the statement may have waited for another one that wrote the row. So they compare with
the time as it is then, not with `excluded.until`, and with the sessions as they are then: without a new snapshot of
them, a holder that has connected in the meantime would seem to have ended.

Of another role's session only the pid is visible. Through a pooler the session outlives the holder: then the end of
the lease is waited for.
"""
_RELEASE: Final = "DELETE FROM leadconnector_token_locks WHERE name = %s AND holder = %s RETURNING 1"


class PostgresTokenRows:
    """`TokenRows` in two tables. One connection per event loop."""

    lease_seconds: ClassVar = 5.0

    def __init__(self, address: StoreAddress) -> None:
        self._keeper = keep_connection(address)
        self._statements = line_up(self._keeper, address.shown, TOKEN_SECONDS, may_repeat=True)

    async def read(self, name: str) -> bytes | None:
        """The value of a row."""
        rows = await self._fetch(_READ, name)
        return SecretBytes(convert(rows[0][0], bytes)) if rows else None

    async def write(self, name: str, value: bytes, known: bytes | None) -> bool:
        """Write a row, unless it has a value other than `known`."""
        return bool(await self._fetch(f"{_WRITE} RETURNING 1", name, value, known))

    async def replace(self, name: str, value: bytes) -> None:
        """Write a row, whatever its value."""
        await self._fetch(f"{_REPLACE} RETURNING 1", name, value)

    async def take(self, name: str, holder: str) -> bool:
        """Take a lease, or renew the holder's own, by the server's clock."""
        return bool(await self._fetch(_TAKE, name, holder, self.lease_seconds, self.lease_seconds))

    async def release(self, name: str, holder: str) -> None:
        """End a lease."""
        await self._fetch(_RELEASE, name, holder, bound=RELEASE_SECONDS)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()

    async def _fetch(
        self, statement: LiteralString, *values: Value, bound: float = TOKEN_SECONDS
    ) -> list[tuple[object, ...]]:
        return await self._statements.call((statement, values), bound)
