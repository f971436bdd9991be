"""Reading a journal in SQLite."""

from contextlib import closing

import pytest
from msgspec import Struct

from leadconnector_async.exceptions import JournalError
from leadconnector_async.jobs.journal.connection import SQLiteConnection
from leadconnector_async.jobs.states import RowState


class Columns(Struct, frozen=True, array_like=True):
    number: int
    state: RowState
    name: str | None
    content: bytes | None
    at: float | None


VALUES = [
    (3, "sent", 'quoted "and" \\ so\non\t', b'{"title":"\xc3\xa9 \\" \xf0\x9f\x90\x88"}', 1795890443.25),
    (2**62, "pending", "", b"", 0.1),
    (-1, "pending", None, None, None),
]
QUERY = "SELECT number, state, name, content, at FROM kept ORDER BY number DESC LIMIT ?"


def test_rows_read_at_once_are_those_of_a_plain_reading() -> None:
    """In the order of the query, whatever their texts hold; contents come as text."""
    with closing(SQLiteConnection(":memory:")) as connection:
        connection.execute("CREATE TABLE kept (number INTEGER, state TEXT, name TEXT, content BLOB, at REAL)")
        connection.execute_many("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", VALUES)
        for most in (0, 2, 3):
            plain = list(connection.read(Columns, QUERY, (most,)))
            at_once = list(connection.read_at_once(Columns, QUERY, (most,)))
            assert [one.number for one in at_once] == [2**62, 3, -1][:most]
            for one, other in zip(at_once, plain, strict=True):
                assert isinstance(one.content, str | None)
                content = one.content.encode() if isinstance(one.content, str) else None
                assert Columns(one.number, one.state, one.name, content, one.at) == other


def test_rows_read_at_once_are_checked() -> None:
    """A value that does not fit its field is an error of the journal, as in a plain reading."""
    with closing(SQLiteConnection(":memory:")) as connection:
        query = "SELECT 1, 'lost', '', '', 0.5"
        with pytest.raises(JournalError, match="could not be read"):
            list(connection.read(Columns, query, ()))
        with pytest.raises(JournalError, match="could not be read"):
            list(connection.read_at_once(Columns, query, ()))
