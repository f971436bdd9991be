"""Statements that reach the server in one piece, and are one transaction there.

A process can be frozen at any moment. Between two statements that it sends one by one, it would leave a transaction
open, and the locks of it: the server notices that only where it waits for the next transaction, not for the rest of
this one. libpq collects what is sent in pipeline mode, up to 64 KiB, until the end of the pipeline.

Values are sent as text, and the statements say of which types they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Final, TypeAlias, cast

import psycopg
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn

from ..jobs.journal.groups import Value
from ..jobs.journal.tables import Kind

Parameter: TypeAlias = bytes | None
Command: TypeAlias = tuple[bytes, Sequence[Parameter]]
"""A statement with `$1`, `$2` and so on, and its values."""

_SPECIAL: Final = re.compile(rb'(["\\])')


class Pipeline:
    """Runs commands. Statements are prepared when they are first used."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self._pgconn: Final[PGconn] = connection.pgconn
        self._selector: Final = DefaultSelector()
        self._selector.register(self._pgconn.socket, EVENT_READ)
        self._names: dict[bytes, bytes] = {}
        """The names of the statements that the server has prepared."""
        self._last = 0

    def close(self) -> None:
        """Release the socket."""
        self._selector.close()

    def run(self, commands: Sequence[Command]) -> None:
        """Run them in one transaction, unless one is open already. Raises `psycopg.Error`: nothing was changed."""
        try:
            self._run(commands)
        except InvalidSqlStatementName:  # psycopg forgets all prepared statements at times
            self._names.clear()
            self._run(commands)

    def _run(self, commands: Sequence[Command]) -> None:
        pgconn = self._pgconn
        added: dict[bytes, bytes] = {}
        pgconn.enter_pipeline_mode()
        for statement, values in commands:
            name = self._names.get(statement) or added.get(statement)
            if name is None:
                self._last += 1
                name = added[statement] = b"leadconnector_%d" % self._last
                pgconn.send_prepare(name, statement)
            pgconn.send_query_prepared(name, values)
        pgconn.pipeline_sync()
        error = self._collect()
        pgconn.exit_pipeline_mode()
        if error is not None:
            raise error
        self._names |= added

    def _collect(self) -> psycopg.Error | None:
        """Wait for all results; returns the first error."""
        pgconn, error = self._pgconn, None
        while True:
            while pgconn.is_busy():
                self._wait()
            result = pgconn.get_result()
            if result is None:  # the results of one statement are complete, or there will be no more
                if pgconn.status == ConnStatus.BAD:
                    raise error or psycopg.OperationalError("the connection is lost")
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                return error
            if result.status == ExecStatus.FATAL_ERROR and error is None:
                error = error_from_result(result)

    def _wait(self) -> None:
        pending = self._pgconn.flush()
        self._selector.modify(self._pgconn.socket, EVENT_READ | EVENT_WRITE if pending else EVENT_READ)
        self._selector.select()
        self._pgconn.consume_input()


@lru_cache(maxsize=512)
def number_marks(statement: str) -> bytes:
    """A statement with `?` for values, as the server takes it."""
    first, *others = statement.split("?")
    return "".join([first, *(f"${place}{part}" for place, part in enumerate(others, 1))]).encode()


def encode_value(value: Value) -> Parameter:
    """A value as text."""
    return None if value is None else _find_encoder(value)(value)


def encode_array(values: Iterable[Value], kind: Kind) -> bytes:
    """An array as text."""
    encode = _ELEMENTS[kind]
    return b"{%b}" % b",".join([b"NULL" if value is None else encode(value) for value in values])


def _encode_text(value: Value) -> bytes:
    text = str(value)
    if "\0" in text:  # libpq would end the text there
        raise psycopg.DataError("text cannot contain NUL characters")
    return text.encode()


def _encode_bytes(value: Value) -> bytes:
    return b"\\x" + cast("bytes", value).hex().encode()


def _encode_integer(value: Value) -> bytes:
    return b"%d" % cast("int", value)


def _encode_real(value: Value) -> bytes:
    return repr(float(cast("float", value))).encode()


def _quote(value: Value) -> bytes:
    return b'"%b"' % _SPECIAL.sub(rb"\\\1", _encode_text(value))


def _quote_bytes(value: Value) -> bytes:
    return b'"\\\\x%b"' % cast("bytes", value).hex().encode()


_ELEMENTS: Final[dict[Kind, Callable[[Value], bytes]]] = {
    "integer": _encode_integer,
    "bigint": _encode_integer,
    "real": _encode_real,
    "text": _quote,
    "blob": _quote_bytes,
}


def _find_encoder(value: Value) -> Callable[[Value], bytes]:
    if isinstance(value, str):
        return _encode_text
    if isinstance(value, bytes | bytearray):
        return _encode_bytes
    return _encode_integer if isinstance(value, int) else _encode_real
