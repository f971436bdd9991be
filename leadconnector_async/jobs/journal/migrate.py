"""Journals of format 1, as 0.1.0 wrote them: read as they are, or migrated to the current format.

A migration is one transaction, after a copy of the whole journal was written beside it. If it is interrupted, or
fails, the journal is as it was, and the next attempt begins again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import Final

from ..._files import sync_folder
from .tables import FORMAT, INDEXES, TABLES

OLD_FORMAT: Final = "1"
_STATE: Final = "CASE state WHEN 'ready' THEN 'pending' WHEN 'in_place' THEN 'unchanged' ELSE state END"
_AS_IS: Final = (
    "number, line, location, event_id, wanted, found, updates, differences, owner_before, start_before, end_before,"
    " owner_after, start_after, end_after, rank, waits_for, parks, read_at, sent_at, done_at, seconds, attempts,"
    " repeated, reason, trace_id, shown, new_id"
)
_START: Final = '"startTime":"'
"""Precedes the time in an encoded appointment, and nothing else: a quotation mark within JSON text is escaped."""
_OFFSET: Final = (
    f"strftime('%s', substr(CAST(found AS TEXT), instr(CAST(found AS TEXT), '{_START}') + {len(_START)}, 19))"
    " - start_before"
)
VIEW: Final = f"CREATE TEMP VIEW rows AS SELECT {_AS_IS}, {_STATE} AS state FROM main.rows"
"""Hides the old states from whoever only reads; the file is not changed."""
_OLD_TABLES: Final = ("facts", "rows", "faults", "settled", "undo", "moments")
_OLD_INDEXES: Final = ("rows_by_event", "rows_by_new_id", "rows_parking", "rows_unread", "rows_open")
_STATEMENTS: Final = (
    *(f"DROP INDEX {name}" for name in _OLD_INDEXES),
    *(f"ALTER TABLE {name} RENAME TO old_{name}" for name in _OLD_TABLES),
    *filter(str.strip, TABLES.split(";")),
    f"""
    INSERT INTO rows ({_AS_IS}, state, requests, zone_offset)
    SELECT {_AS_IS}, {_STATE}, COALESCE(json_array_length(CAST(updates AS TEXT)), 0), {_OFFSET} FROM old_rows
    """,
    f"""
    INSERT INTO facts (name, value)
    SELECT CASE name WHEN 'settled' THEN 'complete' ELSE name END,
        CASE name WHEN 'format' THEN '{FORMAT}' ELSE value END
    FROM old_facts
    """,
    "INSERT INTO faults (line, column_name, reason, hint) SELECT line, column_name, reason, mend FROM old_faults",
    "INSERT INTO ordered (location) SELECT location FROM old_settled",
    "INSERT INTO moments (at, location, kind, seconds) SELECT at, location, kind, seconds FROM old_moments",
    *(f"DROP TABLE old_{name}" for name in _OLD_TABLES),
    *filter(str.strip, INDEXES.split(";")),
)


def name_copy(path: str) -> str:
    """The name of the copy that a migration keeps."""
    return f"{path.removesuffix('.sqlite')}.format-{OLD_FORMAT}.sqlite"


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Copy a journal of format 1, and migrate it: all of it or, raising `sqlite3.Error` or `OSError`, nothing."""
    _copy(connection, name_copy(path))
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _STATEMENTS:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _copy(connection: sqlite3.Connection, target: str) -> None:
    """Copy the whole database, its write-ahead log included; the copy is complete and on the disk, or not there."""
    new = f"{target}.new"
    try:
        with suppress(FileNotFoundError):
            os.unlink(new)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(new)) as copy:
            copy.execute("PRAGMA synchronous=OFF")
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(new, target)
        sync_folder(target)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
