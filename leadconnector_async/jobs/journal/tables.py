"""The tables of a journal, and the parts that statements share.

The columns are those of both databases. Postgres has its definitions in `integrations.postgres_schema`, and a test
compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias, cast

from .. import states
from ..states import ROW_STATES, RowState

Kind: TypeAlias = Literal["integer", "bigint", "real", "text", "blob", "timestamptz"]

FORMAT: Final = "3"
"""The format of new journals in SQLite, a fact of each. `migrate` upgrades older ones."""

Phase: TypeAlias = Literal["ready", "preparing", "refused", "running", "stopped", "done"]
"""As a row of `jobs` says it; of a folder, what its lock and its rows say counts."""
UNDER_WAY: Final[tuple[Phase, ...]] = ("preparing", "running")
"""The phases in which processes work on a job, or would if there were any."""

DELETED: Final = "deleted "
"""How the name of a job begins once its deletion has begun. No other name can, as it contains a space."""


def render_states(listed: Iterable[RowState | Phase]) -> str:
    """Format the states of rows, or the phases of jobs, as a list for `IN`."""
    return "({})".format(", ".join(f"'{state}'" for state in listed))


TO_READ: Final = render_states(state for state, kind in ROW_STATES.items() if kind.to_read)
TO_SEND: Final = render_states(state for state, kind in ROW_STATES.items() if kind.to_send)
SENT: Final = render_states(state for state, kind in ROW_STATES.items() if kind.sent)
TO_RETRY: Final = render_states(states.TO_RETRY)
NOT_CHANGED: Final = render_states(states.NOT_CHANGED)
UNDER_WAY_LIST: Final = render_states(UNDER_WAY)

COUNTED: Final[Mapping[RowState, str]] = {
    state: "not_changed" if kind.result == "not changed" else state
    for state, kind in ROW_STATES.items()
    if kind.result != "remaining"
}
"""The column of `locations` that counts each final state."""

TABLES: Final[Mapping[str, str]] = {
    "jobs": """
        id integer PRIMARY KEY, name text NOT NULL UNIQUE,
        phase text NOT NULL, wanted text NOT NULL DEFAULT 'run', submitted integer NOT NULL DEFAULT 0, rate real,
        rows integer NOT NULL, stop_kind text, stop_reason text,
        made_at real NOT NULL, began_at real, ended_at real
    """,
    "locations": """
        job integer NOT NULL, location text NOT NULL, rows integer NOT NULL,
        epoch integer NOT NULL DEFAULT 0, tries integer NOT NULL DEFAULT 0, worker bigint,
        prepared integer NOT NULL DEFAULT 0, ended integer NOT NULL DEFAULT 0, queued integer NOT NULL DEFAULT 0,
        applied integer NOT NULL DEFAULT 0, unchanged integer NOT NULL DEFAULT 0,
        unknown integer NOT NULL DEFAULT 0, not_changed integer NOT NULL DEFAULT 0,
        stop_kind text, stop_reason text, resume_at real,
        PRIMARY KEY (job, location)
    """,
    "workers": """
        id integer PRIMARY KEY AUTOINCREMENT, beats integer NOT NULL DEFAULT 0, lease real NOT NULL,
        host text NOT NULL, pid integer NOT NULL, version text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
        seen_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
        state text NOT NULL, slots integer NOT NULL, busy integer NOT NULL DEFAULT 0
    """,
    "rows": """
        job integer NOT NULL DEFAULT 1, location text NOT NULL, number integer PRIMARY KEY, line integer NOT NULL,
        event_id text NOT NULL, wanted blob NOT NULL, state text NOT NULL DEFAULT 'loaded',
        found blob, zone_offset integer, updates blob, requests integer NOT NULL DEFAULT 0, differences blob,
        owner_before text, start_before bigint, end_before bigint,
        owner_after text, start_after bigint, end_after bigint,
        rank integer NOT NULL DEFAULT 0, waits_for text, parks bigint,
        read_at real, sent_at real, done_at real, seconds real,
        attempts integer NOT NULL DEFAULT 0, repeated integer NOT NULL DEFAULT 0,
        reason text NOT NULL DEFAULT '', trace_id text, shown blob, new_id text
    """,
    "facts": "job integer NOT NULL, name text NOT NULL, value text NOT NULL, PRIMARY KEY (job, name)",
    "faults": """
        job integer NOT NULL DEFAULT 1, location text NOT NULL DEFAULT '', line integer NOT NULL,
        column_name text NOT NULL, reason text NOT NULL, hint text NOT NULL
    """,
    "verdicts": """
        job integer NOT NULL, location text NOT NULL, number bigint NOT NULL,
        verdict text NOT NULL, reason text NOT NULL, seen blob, PRIMARY KEY (job, location, number)
    """,
    "moments": """
        job integer NOT NULL DEFAULT 1, location text NOT NULL, at real NOT NULL, kind text NOT NULL,
        seconds real NOT NULL
    """,
}
"""Columns and keys as SQLite takes them. Seconds and moments are `real`, of the epoch; `timestamptz` is for people.

In SQLite `number` is the key of `rows`, and the id of a job or worker is given by the database."""
_BY_KEY: Final = ("facts", "locations", "verdicts")
DEFINITIONS: Final[Mapping[str, str]] = {
    name: f"CREATE TABLE {name} ({columns}){' WITHOUT ROWID' if name in _BY_KEY else ''}"
    for name, columns in TABLES.items()
}
"""The definitions for SQLite."""
INDEXES: Final = (
    "CREATE INDEX rows_by_event ON rows (location, event_id)",
    "CREATE INDEX rows_by_new_id ON rows (location, new_id) WHERE new_id IS NOT NULL",
    "CREATE INDEX rows_parking ON rows (parks) WHERE parks IS NOT NULL",
    "CREATE INDEX rows_unread ON rows (location, number) WHERE read_at IS NULL",
    f"CREATE INDEX rows_open ON rows (location, rank, number) WHERE state IN {TO_SEND}",
)
"""The indexes for SQLite, built after the rows are loaded. Queries must repeat their conditions to use them."""
_COLUMN: Final = re.compile(r"(?:^|,)\s*(\w+) (integer|bigint|real|text|blob|timestamptz)\b")


def _list_kinds(columns: str) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for name, kind in _COLUMN.findall(columns):
        kinds[name] = cast("Kind", kind)
    if "number" in kinds:
        kinds["number"] = "bigint"
    return kinds


KINDS: Final[Mapping[str, Mapping[str, Kind]]] = {name: _list_kinds(columns) for name, columns in TABLES.items()}
"""The type of each column of a table."""
