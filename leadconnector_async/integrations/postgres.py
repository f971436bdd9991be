"""Postgres as the store that processes share. Needs the extra `cluster`.

Every statement is a transaction of its own, and one message that contains its values: a client that is frozen or
killed holds no lock, not even while it sends.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, LiteralString, Self, TypeAlias, TypeVar

import psycopg
from msgspec import Struct, convert
from psycopg.conninfo import make_conninfo

from .._secret import Secret, strip
from .._sharing.connection import ConnectionKeeper
from .._sharing.store import MISSING, STORE_SECONDS, Reading, find_version_fault, make_version, try_swap
from .._sharing.together import Together
from .._sharing.url import StoreAddress, explain_missing_driver, redact
from ..exceptions import ConfigurationError, LeadConnectorError, StoreUnavailableError
from .engine_schema import has_engine, migrate_engine
from .postgres_schema import JOBS

T = TypeVar("T")

Value: TypeAlias = str | bytes | int | float | list[str] | None
Row: TypeAlias = tuple[object, ...]
Statement: TypeAlias = tuple[LiteralString, Sequence[Value]]

_PORT: Final = "5432"
_LOCK: Final = 7_236_841_900_152
"""Names the advisory lock of migrations: any number that nobody else uses."""
_SWEEP_EVERY: Final = 1000
"""Swaps of a process between two deletions of what is kept no longer."""
_MIGRATE_SECONDS: Final = 60.0
_BOUND: Final = "SET LOCAL lock_timeout = '5s'; "
"""Longer than any caller waits. Without it, a session whose caller has given up would keep waiting at the server:
one more after every attempt, until the server accepts no connections."""
_BOUND_MIGRATION: Final = """
    SET idle_session_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '60s'
"""
"""So that a process that is frozen during a migration does not block the migrations of others."""
_MIGRATIONS: Final[tuple[LiteralString, ...]] = (
    # Unlogged: no write waits for the disk. A crash empties the table, which the members notice, as they know what
    # they hold. A state of a few KB stays in its row, and an update beside it, without touching an index.
    """
    CREATE UNLOGGED TABLE leadconnector_states (
        key text PRIMARY KEY, version text NOT NULL, content bytea NOT NULL, kept_until timestamptz NOT NULL
    ) WITH (fillfactor = 50, toast_tuple_target = 8160);
    ALTER TABLE leadconnector_states ALTER COLUMN content SET STORAGE MAIN;
    CREATE TABLE leadconnector_tokens (name text PRIMARY KEY, value bytea NOT NULL);
    CREATE UNLOGGED TABLE leadconnector_token_locks (
        name text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL, pid integer NOT NULL,
        started timestamptz NOT NULL
    );
    INSERT INTO leadconnector_states VALUES ('emptied', 'never', '0', 'infinity');
    """,
    # Logged: what a caller's key means must outlive a crash of the server.
    """
    CREATE TABLE leadconnector_keys (
        key text PRIMARY KEY, version text NOT NULL, content bytea NOT NULL, kept_until timestamptz NOT NULL
    );
    """,
    JOBS,
)
VERSION: Final = len(_MIGRATIONS)
GET_VERSION: Final = "SELECT max(version) FROM leadconnector_schema"
_READ: Final = """
    SELECT coalesce(state.version, ''), state.content, extract(epoch FROM clock_timestamp())::float8,
           greatest(extract(epoch FROM pg_postmaster_start_time())::float8, encode(mark.content, 'escape')::float8),
           mark.version
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (key, place)
    LEFT JOIN leadconnector_states AS state USING (key)
    LEFT JOIN leadconnector_states AS mark ON mark.key = 'emptied'
    ORDER BY wanted.place
"""
_MARK: Final = """
    INSERT INTO leadconnector_states
    VALUES ('emptied', %s, convert_to(extract(epoch FROM clock_timestamp())::text, 'UTF8'), 'infinity')
    ON CONFLICT (key) DO NOTHING
"""
"""When the table was emptied: it is missing afterwards. The end of one session that crashes or is killed does that,
while the server keeps the time of its start."""
_ADD: Final = """
    INSERT INTO leadconnector_states (version, content, kept_until, key)
    VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s), %s) ON CONFLICT (key) DO NOTHING RETURNING 1
"""
_REPLACE: Final = """
    UPDATE leadconnector_states
    SET version = %s, content = %s, kept_until = clock_timestamp() + make_interval(secs => %s)
    WHERE key = %s AND version = %s RETURNING 1
"""
_SWEEP: Final = "DELETE FROM leadconnector_states WHERE kept_until < clock_timestamp()"
_MISSING_TABLE: Final = ("42P01", "3F000")
_OTHER_TABLE: Final = ("42703", "42P07", "42804")
"""Codes for a column that is missing or of another type, and for a table that exists already."""
SETTING_CODES: Final = ("28000", "28P01", "3D000", "42501")
"""Codes for a password, a database or a privilege that only the user can correct."""
SETTING_TEXTS: Final = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "certificate",
    "does not support SSL",
    "ProactorEventLoop",
)
"""The same in what libpq says while it connects, where there is no code. TLS that merely ends is an outage."""


class PostgresConnection:
    """One session. Raises `StoreUnavailableError` and `ConfigurationError` only."""

    def __init__(self, address: StoreAddress, connection: psycopg.AsyncConnection[Row]) -> None:
        self._address = address
        self._connection = connection
        self._is_busy = False
        self.is_broken = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._address.shown}>"

    @classmethod
    async def open(cls, address: StoreAddress) -> Self:
        """Connect, and check nothing. Must be bounded by the caller."""
        settings = build_settings(address)
        fault: LeadConnectorError
        try:
            given = Secret(make_conninfo("", **settings))
            connection = await psycopg.AsyncConnection.connect(
                given, autocommit=True, prepare_threshold=None, cursor_factory=psycopg.AsyncClientCursor
            )
            return cls(address, connection)
        except (psycopg.Error, OSError, UnicodeError, RuntimeError) as error:  # also without a thread for names
            fault = _explain_failure(address, error)
        raise fault

    async def fetch(self, statement: LiteralString, values: Sequence[Value] = ()) -> list[Row]:
        """Run a statement; returns its rows. Never cancelled while it runs: `abandon` ends it."""

        async def work() -> list[Row]:
            cursor = await self._connection.execute(_BOUND + statement, values or None)
            cursor.nextset()
            return await cursor.fetchall() if cursor.description else []

        return await self._do(work)

    async def fetch_all(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Run statements that return rows, each a transaction of its own, in one message; returns those of each."""
        if len(statements) == 1:
            return [await self.fetch(*statements[0])]

        async def work() -> list[list[Row]]:
            text = "".join([f"BEGIN; {_BOUND}{statement}; COMMIT; " for statement, _ in statements])
            values = [value for _, given in statements for value in given]
            cursor = await self._connection.execute(text, values)
            found: list[list[Row]] = []
            while cursor.nextset():
                if cursor.description:
                    found.append(await cursor.fetchall())
            return found

        return await self._do(work)

    async def check(self) -> None:
        """Raise `ConfigurationError` unless the tables are those of this version of the library."""
        fault = find_version_fault(self._address.shown, await self._get_version(), VERSION)
        if fault is not None:
            raise ConfigurationError(fault)

    async def migrate(self) -> None:
        """Create or change the tables; another process that does the same waits until this session has ended."""
        if not has_engine():
            raise explain_missing_driver(self._address)

        async def work() -> None:
            execute = self._connection.execute
            await execute(_BOUND_MIGRATION)
            await execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            async with self._connection.transaction():
                await execute("CREATE TABLE IF NOT EXISTS leadconnector_schema (version integer PRIMARY KEY)")
                rows = await (await execute(GET_VERSION)).fetchall()
                found = self._read_version(rows) or 0
                for version, statements in enumerate(_MIGRATIONS[found:], found + 1):
                    await execute(statements)
                    await execute("INSERT INTO leadconnector_schema VALUES (%s)", (version,))
            await migrate_engine(self._connection)

        await self._do(work)

    def abandon(self) -> None:
        """Close it. If a statement runs, its connection is broken instead, so that it ends at once."""
        self.is_broken = True
        with suppress(psycopg.Error, OSError, ValueError):
            if self._is_busy:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as one:
                    one.shutdown(socket.SHUT_RDWR)
            else:
                self._connection.pgconn.finish()

    async def aclose(self) -> None:
        """Close it."""
        self.abandon()

    async def _get_version(self) -> int | None:
        return self._read_version(await self.fetch(GET_VERSION))

    def _read_version(self, rows: list[Row]) -> int | None:
        version = rows[0][0]
        if version is None or isinstance(version, int):
            return version
        raise _refuse_table(self._address, "leadconnector_schema has other columns")

    async def _do(self, work: Callable[[], Awaitable[T]]) -> T:
        fault: LeadConnectorError
        self._is_busy = True
        try:
            return await work()
        except (psycopg.Error, OSError) as error:
            fault = _explain_failure(self._address, error)
        finally:
            self._is_busy = False
        self.abandon()
        raise fault


class PostgresStore:
    """States in a table. One connection per event loop."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._keeper = keep_connection(address)
        self._reads: Together[str, Reading] = Together(address.shown, self._read, STORE_SECONDS)
        self._swaps: Together[Statement, bool] = Together(address.shown, self._swap, STORE_SECONDS)
        self._until_sweep = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address.shown}>"

    async def read(self, key: str) -> Reading:
        """The state of a key, and the server's time."""
        return await self._reads.call(key)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float) -> bool:
        """Replace the state if it still has this version."""
        values = (make_version(), content, keep_seconds, key)
        return await self._swaps.call(
            (_ADD, values) if version == MISSING else (_REPLACE, (*values, version)),
        )

    async def _read(self, keys: list[str]) -> list[Reading]:
        async def work(connection: PostgresConnection) -> list[_Found]:
            found = convert(await connection.fetch(_READ, (keys,)), list[_Found])
            if found[0].mark is None:
                await connection.fetch(_MARK, (make_version(),))
                found = convert(await connection.fetch(_READ, (keys,)), list[_Found])
            return found

        return [one.build() for one in await self._keeper.run(work, may_repeat=True)]

    async def _swap(self, statements: list[Statement]) -> list[bool]:
        async def work(connection: PostgresConnection) -> list[bool]:
            rows = await connection.fetch_all(statements)
            if self._until_sweep <= 0:
                await connection.fetch(_SWEEP)
                self._until_sweep = _SWEEP_EVERY
            self._until_sweep -= len(statements)
            return [bool(one) for one in rows]

        return await self._keeper.run(work)

    async def migrate(self) -> None:
        """Create or change the tables. Raises `ConfigurationError` if they are newer than this version."""
        keeper = ConnectionKeeper(self._address.shown, partial(PostgresConnection.open, self._address))
        try:
            await keeper.run(PostgresConnection.migrate, seconds=_MIGRATE_SECONDS)
        finally:
            await keeper.aclose()
        await self.check()

    async def check(self) -> None:
        """Connect, check the tables, and whether they can be written."""
        await self._keeper.run(PostgresConnection.check, may_repeat=True)
        await try_swap(self)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._keeper.aclose()


def keep_connection(address: StoreAddress) -> ConnectionKeeper[PostgresConnection]:
    """A connection per event loop, checked when it is opened."""
    return ConnectionKeeper(address.shown, partial(PostgresConnection.open, address), PostgresConnection.check)


def line_up(
    keeper: ConnectionKeeper[PostgresConnection], name: str, seconds: float, *, may_repeat: bool
) -> Together[Statement, list[Row]]:
    """Statements that return rows, together where they can be. `name` is what errors call the store."""

    async def work(statements: list[Statement]) -> list[list[Row]]:
        return await keeper.run(
            lambda connection: connection.fetch_all(statements), seconds=seconds, may_repeat=may_repeat
        )

    return Together(name, work, seconds)


class _Found(Struct, frozen=True, array_like=True):
    version: str
    content: bytes | None
    now: float
    started: float
    mark: str | None

    def build(self) -> Reading:
        server = f"postgres {self.started!r} {self.mark}"
        return Reading(self.version, self.content, self.now, server, self.now - self.started)


def build_settings(address: StoreAddress) -> dict[str, str]:
    """What libpq is told. Everything that decides where it connects is explicit, so that no PG… variable does."""
    given: dict[str, str | None] = {
        "host": address.path or address.host,
        "hostaddr": "",
        "port": str(address.port or _PORT),
        "dbname": address.database,
        "user": address.user,
        "password": address.password,
        "gssencmode": "disable",
        "target_session_attrs": "any",
        "application_name": "leadconnector-async",
        **address.options,
    }
    if address.options.get("sslmode", "").startswith("verify") and "sslrootcert" not in given:
        given["sslrootcert"] = _find_certificates()
    return {name: value for name, value in given.items() if value is not None}


def _find_certificates() -> str | None:
    """Libpq trusts no certificate authority unless told so; without a file of its own, take the system's."""
    own = os.path.join(os.path.expanduser("~"), ".postgresql", "root.crt")
    if os.environ.get("PGSSLROOTCERT") or os.path.exists(own):
        return None
    return ssl.get_default_verify_paths().cafile or "system"


def _explain_failure(address: StoreAddress, error: BaseException) -> LeadConnectorError:
    """Nothing of the driver's error is kept but its text: its frames hold the password."""
    text, code = redact(address, error), getattr(error, "sqlstate", None)
    strip(error)
    if code in _MISSING_TABLE:
        return ConfigurationError(find_version_fault(address.shown, None, VERSION) or "")
    if code in _OTHER_TABLE:
        return _refuse_table(address, text)
    if code in SETTING_CODES or (code is None and any(one in text for one in SETTING_TEXTS)):
        return ConfigurationError(f"{address.shown} cannot be used: {text}")
    return StoreUnavailableError(f"{address.shown} could not be {'used' if code else 'reached'}: {text}")


def _refuse_table(address: StoreAddress, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{address.shown} has a table of another program whose name is one of this library's ({reason}): choose "
        "another database"
    )
