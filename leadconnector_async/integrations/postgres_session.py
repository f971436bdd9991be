"""A session of a job's journal in Postgres, with timeouts, so that no frozen process holds a lock for long.

Used by one thread at a time; it waits without the GIL. Whatever fails is a `JournalError`, without secrets.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from typing import Final, TypeAlias, cast

import msgspec
import psycopg
from msgspec import structs
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from .._secret import Secret, strip
from .._sharing.store import find_version_fault
from .._sharing.url import StoreAddress, redact
from ..exceptions import ConfigurationError, JournalError, LeadConnectorError
from ..jobs.journal.groups import Value
from ..jobs.journal.protocol import DamagedError, DatabaseAwayError, FenceLostError, RowT, ValueRefusedError
from .postgres import GET_VERSION, SETTING_CODES, SETTING_TEXTS, VERSION, build_settings
from .postgres_batch import Batch, Command, encode_value, number_marks, render_locks
from .postgres_schema import SCHEMA

Row: TypeAlias = tuple[object, ...]

MOST_TOGETHER: Final = 1000
"""Rows or records in one message, which must end within a lease on any server."""
_FETCHED: Final = 256
"""How many rows of a stream are fetched at a time."""
IDLE_SECONDS: Final = 10.0
"""How long a process without a lease keeps its locks once it is frozen inside a transaction."""
READ_SECONDS: Final = 600.0
"""How long the server waits for such a process to continue reading. Until then VACUUM can remove no dead rows, and
every heartbeat of a worker leaves one."""
_CONNECT_SECONDS: Final = 3
_KEEPALIVE: Final = {"keepalives_idle": "2", "keepalives_interval": "1", "keepalives_count": "2"}
_PREPARED_AFTER: Final = 2
"""Statements of a journal are few, and all of them come back."""
_LOST: Final = "LC001"
"""The error code that `leadconnector_hold` raises."""
_EXISTS: Final = "23505"
_LOCKED: Final = "55P03"
_AWAY: Final = ("08", "53", "57P", "58")
"""How the codes of a lost connection, of a full disk or memory, of a restart and of the system begin."""
_GROWS: Final = ("mdextend", "mdzeroextend")
"""Functions of Postgres that make a file larger: beyond a quota, their error has the code of a bug (XX000)."""
_BAD_TABLES: Final = ("42P01", "3F000")
_SET_UP: Final = f"""
    SELECT set_config('search_path', '{SCHEMA}, ' || current_setting('search_path'), false),
        set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)
"""


class AlreadyExistsError(JournalError):
    """A row with the same key already exists."""


class LockedError(JournalError):
    """A lock was not free within `lock_timeout`."""


class PostgresSession:
    """Runs statements with `?` for values."""

    def __init__(self, address: StoreAddress, connection: psycopg.Connection[Row]) -> None:
        self.address: Final = address
        self.connection: Final = connection
        self._batch: Final = Batch(connection)
        self._is_streaming = False
        """Whether rows of a query are being streamed."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.address.shown}>"

    @classmethod
    def open(cls, address: StoreAddress, lease: float | None) -> PostgresSession:
        """Connect, and check the tables. With a lease, in seconds, no statement takes longer.

        Without one, a statement may take any time, but the server does not wait long for the next one of its
        transaction.

        Raises `ConfigurationError` if the database cannot be used, and `JournalError` if it cannot be reached.
        """
        fault: LeadConnectorError
        try:
            given = Secret(make_conninfo("", **build_settings(_bound(address, lease)), **_bound_socket(lease)))
            connection = psycopg.connect(given, autocommit=True, prepare_threshold=_PREPARED_AFTER)
            try:
                _check_version(address, connection)
                connection.execute(_SET_UP.encode())
            except BaseException:
                connection.close()
                raise
        except (psycopg.Error, OSError, UnicodeError) as error:
            fault = _explain_opening(address, error)
        else:
            return cls(address, connection)
        raise fault

    def close(self) -> None:
        """Close the session. Uncommitted changes are lost."""
        self.connection.close()

    def break_off(self) -> None:
        """Break the connection, so that the thread that waits for a response gets an error."""
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as one:
            one.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def transact(self) -> Generator[None]:
        """A transaction that sends its statements one by one."""
        with self.explain("written"):
            self._check_streams()
            self._batch.send(b"BEGIN")
            try:
                yield
                self._batch.send(b"COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def run(self, commands: Sequence[Command]) -> None:
        """Run commands as one message, and one transaction unless one is already open."""
        self._check_streams()
        self._batch.run(commands)

    def execute(self, statement: str, values: Iterable[Value] = ()) -> int:
        """Change rows, whatever the size of the values, by one message; returns how many."""
        numbered, given = number_marks(statement), list(values)
        with self.explain("written"):
            self._check_streams()
            if not given:
                return self._batch.send(numbered)
            return self._batch.run([(numbered, [encode_value(value) for value in given])])

    def execute_many(self, statement: str, records: Iterable[Iterable[Value]]) -> None:
        """Run the same statement for many records, in batches, so that no message is large."""
        numbered, given = number_marks(statement), list(records)
        with self.explain("written"):
            for first in range(0, len(given), MOST_TOGETHER):
                some = given[first : first + MOST_TOGETHER]
                self.run([(numbered, [encode_value(value) for value in record]) for record in some])

    def read(self, row: type[RowT], query: str, values: Iterable[Value]) -> list[RowT]:
        """Return the rows of a query; each column is checked against the fields of `row`."""
        with self.explain("read"):
            self._check_streams()
            cursor = self.connection.execute(translate(query), tuple(values), binary=True)
            return msgspec.convert(cursor.fetchall(), list[row])  # type: ignore[valid-type] # it is a type

    def stream(self, row: type[RowT], query: str, values: Iterable[Value]) -> Iterator[RowT]:
        """Yield the rows of a query as they arrive. Until the last one, no other statement may run."""
        with self.explain("read"):
            self._check_streams()
            with self.connection.cursor() as cursor:
                found = cursor.stream(translate(query), tuple(values), binary=True, size=_FETCHED)
                self._is_streaming = True
                try:
                    with closing(cast("Generator[Row]", found)) as rows:
                        for one in rows:
                            yield msgspec.convert(one, row)
                finally:
                    self._is_streaming = False

    @contextmanager
    def explain(self, what: str) -> Generator[None]:
        """Turn database errors inside this context into a `JournalError`."""
        try:
            yield
        except (psycopg.Error, OSError, UnicodeEncodeError, msgspec.ValidationError) as error:
            fault = _explain_failure(self.address, what, error)
        else:
            return
        raise fault from None

    def _roll_back(self) -> None:
        status = self.connection.info.transaction_status
        if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            self._batch.send(b"ROLLBACK")

    def _check_streams(self) -> None:
        if self._is_streaming:
            raise JournalError("The rows of another query are still being read.")


@lru_cache(maxsize=512)
def translate(statement: str) -> bytes:
    """Translate the placeholders of a statement for psycopg."""
    return render_locks(statement).replace("%", "%%").replace("?", "%s").encode()


def _check_version(address: StoreAddress, connection: psycopg.Connection[Row]) -> None:
    [(found,)] = connection.execute(GET_VERSION).fetchall()
    fault = find_version_fault(address.shown, msgspec.convert(found, int | None), VERSION)
    if fault is not None:
        raise ConfigurationError(fault)


def _bound(address: StoreAddress, lease: float | None) -> StoreAddress:
    """Use generic plans for workers, whose statements all concern one location; let reports be planned freely."""
    settings: dict[str, object] = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
    if lease is None:
        settings |= {
            "idle_in_transaction_session_timeout": round(IDLE_SECONDS * 1000),
            "tcp_user_timeout": round(READ_SECONDS * 1000),
        }
    else:
        milliseconds = round(lease * 1000)
        settings |= {
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds // 2,
            "idle_in_transaction_session_timeout": milliseconds // 2,
            "tcp_user_timeout": milliseconds // 2,
            "client_connection_check_interval": 1000,
        }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    given = dict(address.options)
    given["options"] = f"{given['options']} {options}" if "options" in given else options
    return structs.replace(address, options=given)


def _bound_socket(lease: float | None) -> dict[str, str]:
    bounds = {"connect_timeout": str(_CONNECT_SECONDS), "client_encoding": "UTF8", **_KEEPALIVE}
    return bounds if lease is None else {**bounds, "tcp_user_timeout": str(round(lease * 500))}


def _explain_opening(address: StoreAddress, error: BaseException) -> LeadConnectorError:
    """Explain why connecting failed. Only the text of the driver's error is kept: its frames hold the password."""
    text, code = redact(address, error), getattr(error, "sqlstate", None)
    strip(error)
    if code in _BAD_TABLES:
        return ConfigurationError(find_version_fault(address.shown, None, VERSION) or "")
    if code in SETTING_CODES or (code is None and any(one in text for one in SETTING_TEXTS)):
        return ConfigurationError(f"{address.shown} cannot be used: {text}")
    return JournalError(f"{address.shown} could not be reached: {text}")


def _is_away(error: BaseException) -> bool:
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(_AWAY) or error.diag.source_function in _GROWS
    return isinstance(error, OSError | psycopg.OperationalError)


def _explain_failure(address: StoreAddress, what: str, error: BaseException) -> JournalError:
    text, code = redact(address, error), getattr(error, "sqlstate", None)
    is_refused = isinstance(error, UnicodeEncodeError | psycopg.DataError)
    is_damaged = isinstance(error, UnicodeDecodeError | msgspec.ValidationError)
    is_away = _is_away(error)
    strip(error)
    if code == _LOST:
        return FenceLostError("Another worker has taken the location.")
    if is_refused:
        return ValueRefusedError(f"{address.shown} does not accept a value: {text}")
    if is_damaged:
        text = f"it holds a value that is not valid: {text}"
        return DamagedError(f"The journal in {address.shown} could not be {what}: {text}")
    text = f"The journal in {address.shown} could not be {what}: {text}"
    if is_away:
        return DatabaseAwayError(text)
    if code == _LOCKED:
        return LockedError(text)
    return AlreadyExistsError(text) if code == _EXISTS else JournalError(text)
