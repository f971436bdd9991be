"""The tables of a journal, and the parts that statements share.

The definitions are SQLite's; the statements of the other modules are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from .. import states
from ..states import ROW_STATES, RowState
from .protocol import Journal

FORMAT: Final = "2"
"""A fact of every journal. `migrate` brings older ones up to it."""


def render_states(listed: Iterable[RowState]) -> str:
    """States as a list for `IN`."""
    return "({})".format(", ".join(f"'{state}'" for state in listed))


TO_READ: Final = render_states(state for state, kind in ROW_STATES.items() if kind.to_read)
TO_SEND: Final = render_states(state for state, kind in ROW_STATES.items() if kind.to_send)
SENT: Final = render_states(state for state, kind in ROW_STATES.items() if kind.sent)
TO_RETRY: Final = render_states(states.TO_RETRY)
NOT_CHANGED: Final = render_states(states.NOT_CHANGED)

TABLES: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    line INTEGER NOT NULL,
    location TEXT NOT NULL,
    event_id TEXT NOT NULL,
    wanted BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'loaded',
    found BLOB,
    zone_offset INTEGER,
    updates BLOB,
    requests INTEGER NOT NULL DEFAULT 0,
    differences BLOB,
    owner_before TEXT, start_before INTEGER, end_before INTEGER,
    owner_after TEXT, start_after INTEGER, end_after INTEGER,
    rank INTEGER NOT NULL DEFAULT 0,
    waits_for TEXT,
    parks INTEGER,
    read_at REAL,
    sent_at REAL,
    done_at REAL,
    seconds REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    repeated INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    trace_id TEXT,
    shown BLOB,
    new_id TEXT
);
CREATE TABLE faults (
    line INTEGER NOT NULL, column_name TEXT NOT NULL, reason TEXT NOT NULL, hint TEXT NOT NULL
);
CREATE TABLE ordered (location TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE verdicts (number INTEGER PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT NOT NULL, seen BLOB);
CREATE TABLE moments (at REAL NOT NULL, location TEXT NOT NULL, kind TEXT NOT NULL, seconds REAL NOT NULL);
"""
INDEXES: Final = f"""
CREATE INDEX rows_by_event ON rows (location, event_id);
CREATE INDEX rows_by_new_id ON rows (location, new_id) WHERE new_id IS NOT NULL;
CREATE INDEX rows_parking ON rows (parks) WHERE parks IS NOT NULL;
CREATE INDEX rows_unread ON rows (location, number) WHERE read_at IS NULL;
CREATE INDEX rows_open ON rows (location, rank, number) WHERE state IN {TO_SEND};
"""
"""Built when the rows are there. The conditions of queries repeat those of the indexes, so that these are used."""


class Count(Struct, frozen=True, array_like=True):
    """A number."""

    number: int


class Text(Struct, frozen=True, array_like=True):
    """A text."""

    text: str


def set_fact(name: str, value: str, journal: Journal) -> None:
    """Store a fact about the job."""
    journal.write(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def get_fact(name: str, journal: Journal) -> str | None:
    """A fact about the job."""
    found = journal.read_one(Text, "SELECT value FROM facts WHERE name = ?", (name,))
    return None if found is None else found.text
