"""Statements that reach the server as one message, and are one transaction there.

A process can be frozen at any moment, even while it sends: libpq passes on what it has after every 8 KiB. Between
two messages of a pipeline no timeout of the server runs, so it would keep all locks forever. The text of a query is
a single message, and the server does nothing until it has all of it. So statements are prepared under names, and
what is sent is one text of `EXECUTE name (values)`.

Values are sent as text; the statements state their types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias, cast

import psycopg
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, Escaping, ExecStatus
from psycopg.pq.abc import PGconn

from ..jobs.journal.groups import Value
from ..jobs.journal.leases import SKIP_LOCKED
from ..jobs.journal.tables import Kind

Parameter: TypeAlias = bytes | None
Command: TypeAlias = tuple[bytes, Sequence[Parameter]]
"""A statement with `$1`, `$2` and so on, and its values."""

_SPECIAL: Final = re.compile(rb'(["\\])')


class Batch:
    """Runs commands. Statements are prepared when they are first used."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self._pgconn: Final[PGconn] = connection.pgconn
        self._escaping: Final = Escaping(connection.pgconn)
        self._names: dict[bytes, bytes] = {}
        """The names of the statements that the server has prepared."""
        self._last = 0

    def run(self, commands: Sequence[Command]) -> int:
        """Run them in one transaction, unless one is open already; returns how many rows the last one has changed.

        Raises `psycopg.Error`: nothing was changed.
        """
        try:
            return self._run(commands)
        except InvalidSqlStatementName:  # something else has deallocated them
            self._names.clear()
            return self._run(commands)

    def send(self, text: bytes) -> int:
        """Run statements without values; returns how many rows the last one has changed. Raises `psycopg.Error`.

        `BEGIN` and the like belong here: psycopg deallocates all prepared statements when it sees a `ROLLBACK`.
        """
        result = self._pgconn.exec_(text)
        if self._pgconn.status == ConnStatus.BAD:
            raise psycopg.OperationalError("the connection is lost")
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        return result.command_tuples or 0

    def _run(self, commands: Sequence[Command]) -> int:
        added: dict[bytes, bytes] = {}
        parts: list[bytes] = []
        for statement, values in commands:
            name = self._names.get(statement) or added.get(statement)
            if name is None:
                self._last += 1
                name = added[statement] = b"leadconnector_%d" % self._last
                parts.append(b"PREPARE %b AS %b" % (name, statement))
            parts.append(b"EXECUTE %b (%b)" % (name, b", ".join(map(self._quote, values))))
        changed = self.send(b"; ".join(parts))
        self._names |= added
        return changed

    def _quote(self, value: Parameter) -> bytes:
        return b"NULL" if value is None else bytes(self._escaping.escape_literal(value))


def render_locks(statement: str) -> str:
    """Add to a statement of a journal the row locks that Postgres has and SQLite lacks."""
    return statement.replace(SKIP_LOCKED, "FOR NO KEY UPDATE SKIP LOCKED")


@lru_cache(maxsize=512)
def number_marks(statement: str) -> bytes:
    """A statement with `?` for values, as the server takes it."""
    first, *others = render_locks(statement).split("?")
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
