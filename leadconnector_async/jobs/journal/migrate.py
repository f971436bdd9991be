"""Journals of formats 1 and 2: read as they are, or migrated to the current format.

A migration is one transaction, after a copy of the whole journal was written beside it. If it is interrupted, or
fails, the journal is as it was, and the next attempt begins again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Final

from ..._system.files import sync_folder
from .tables import DEFINITIONS, FORMAT, INDEXES, NOT_CHANGED

OLD_FORMATS: Final = ("1", "2")
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
_REQUESTS: Final = "COALESCE(json_array_length(CAST(updates AS TEXT)), 0)"
_MADE_AT: Final = "COALESCE((SELECT CAST(value AS REAL) FROM facts WHERE name = 'made_at'), 0.0)"
_HINT: Final = "mend"
"""A column's name in format 1."""
_OLD_INDEXES: Final = ("rows_by_event", "rows_by_new_id", "rows_parking", "rows_unread", "rows_open")
_COUNTED: Final = f"""
    location, COUNT(*) AS rows, SUM(state = 'applied') AS applied, SUM(state = 'unchanged') AS unchanged,
    SUM(state = 'unknown') AS unknown, SUM(state IN {NOT_CHANGED}) AS not_changed
"""
_FROM_1: Final = (
    *(f"DROP INDEX {name}" for name in _OLD_INDEXES),
    "ALTER TABLE rows RENAME TO old_rows",
    DEFINITIONS["rows"],
    f"""
    INSERT INTO rows ({_AS_IS}, state, requests, zone_offset)
    SELECT {_AS_IS}, {_STATE}, {_REQUESTS}, {_OFFSET} FROM old_rows
    """,
    "DROP TABLE old_rows",
    *INDEXES,
    "UPDATE facts SET name = 'complete' WHERE name = 'settled'",
    f"ALTER TABLE faults RENAME COLUMN {_HINT} TO hint",
    "ALTER TABLE settled RENAME TO ordered",
    "DROP TABLE undo",
    "CREATE TABLE verdicts (number INTEGER PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT NOT NULL, seen BLOB)",
)
"""Everything else is as in format 2, except that rows have a column for their job."""
_FROM_2: Final = ("ALTER TABLE rows ADD COLUMN job integer NOT NULL DEFAULT 1",)
_TO_3: Final = (
    "ALTER TABLE faults ADD COLUMN job integer NOT NULL DEFAULT 1",
    "ALTER TABLE faults ADD COLUMN location text NOT NULL DEFAULT ''",
    "ALTER TABLE moments ADD COLUMN job integer NOT NULL DEFAULT 1",
    "ALTER TABLE facts RENAME TO old_facts",
    "ALTER TABLE verdicts RENAME TO old_verdicts",
    *(DEFINITIONS[name] for name in ("jobs", "locations", "workers", "facts", "verdicts")),
    f"""
    INSERT INTO facts (job, name, value)
    SELECT 1, name, CASE name WHEN 'format' THEN '{FORMAT}' ELSE value END FROM old_facts
    """,
    """
    INSERT INTO verdicts (job, location, number, verdict, reason, seen)
    SELECT 1, location, CASE WHEN parks IS NULL THEN number ELSE -parks END, verdict, old_verdicts.reason, seen
    FROM old_verdicts JOIN rows USING (number)
    """,
    f"""
    INSERT INTO locations (job, location, rows, applied, unchanged, unknown, not_changed, prepared)
    SELECT 1, {_COUNTED}, location IN (SELECT location FROM ordered) FROM rows WHERE parks IS NULL GROUP BY location
    """,
    f"""
    INSERT INTO jobs (id, name, phase, rows, made_at, began_at)
    SELECT 1, '', 'ready', SUM(parks IS NULL), {_MADE_AT}, MIN(sent_at)
    FROM rows
    """,
    "UPDATE rows SET waits_for = renumber(waits_for) WHERE waits_for IS NOT NULL",
    "UPDATE rows SET number = -parks WHERE parks IS NOT NULL",
    "DROP TABLE old_facts",
    "DROP TABLE old_verdicts",
    "DROP TABLE ordered",
)
_STATEMENTS: Final = {"1": (*_FROM_1, *_TO_3), "2": (*_FROM_2, *_TO_3)}


def list_views(found: str) -> Iterator[str]:
    """Statements that present an old format as the current one to readers; the file is not changed."""
    if found == FORMAT:
        return
    rows = (
        f"{_AS_IS}, {_STATE} AS state, {_REQUESTS} AS requests, {_OFFSET} AS zone_offset" if found == "1" else "*"
    )
    hint = f"{_HINT} AS hint" if found == "1" else "hint"
    ordered = "settled" if found == "1" else "ordered"
    yield f"CREATE TEMP VIEW rows AS SELECT 1 AS job, {rows} FROM main.rows"
    yield "CREATE TEMP VIEW facts AS SELECT 1 AS job, name, value FROM main.facts"
    yield (
        "CREATE TEMP VIEW faults AS SELECT 1 AS job, '' AS location, line, column_name, reason,"
        f" {hint} FROM main.faults"
    )
    yield "CREATE TEMP VIEW moments AS SELECT 1 AS job, location, at, kind, seconds FROM main.moments"
    yield (
        f"CREATE TEMP VIEW locations AS SELECT 1 AS job, {_COUNTED},"
        f" location IN (SELECT location FROM main.{ordered}) AS prepared, 0 AS epoch, 0 AS tries, 0 AS ended,"
        " 0 AS queued, NULL AS worker, NULL AS stop_kind, NULL AS stop_reason, NULL AS resume_at"
        " FROM rows WHERE parks IS NULL GROUP BY location"
    )
    yield (
        "CREATE TEMP VIEW jobs AS SELECT 1 AS id, '' AS name, 'ready' AS phase, 'run' AS wanted, 0 AS submitted,"
        " NULL AS rate, SUM(parks IS NULL) AS rows, NULL AS stop_kind, NULL AS stop_reason,"
        f" {_MADE_AT} AS made_at, MIN(sent_at) AS began_at, NULL AS ended_at FROM rows"
    )
    yield "CREATE TEMP VIEW workers AS SELECT 0 AS id, 0 AS beats, 0.0 AS lease WHERE 0"


def name_copy(path: str, found: str) -> str:
    """Return the name of the copy that a migration from this format keeps."""
    return f"{path.removesuffix('.sqlite')}.format-{found}.sqlite"


def migrate(connection: sqlite3.Connection, path: str, found: str) -> None:
    """Copy a journal, then migrate it completely or not at all. Raises `sqlite3.Error` or `OSError`."""
    _copy(connection, name_copy(path, found))
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _prepare_numbers(connection)
        for statement in _STATEMENTS[found]:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _prepare_numbers(connection: sqlite3.Connection) -> None:
    """Renumber rows that move an appointment out of the way: that of row 7 becomes -7."""
    numbers = dict(connection.execute("SELECT number, -parks FROM rows WHERE parks IS NOT NULL"))

    def renumber(waits_for: str) -> str:
        return " ".join(str(numbers.get(number, number)) for number in map(int, waits_for.split()))

    connection.create_function("renumber", 1, renumber, deterministic=True)


def _copy(connection: sqlite3.Connection, target: str) -> None:
    """Copy the database with its write-ahead log; the copy is complete and on disk, or it does not exist."""
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
