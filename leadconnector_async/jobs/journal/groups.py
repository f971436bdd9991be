"""A statement for many records, and what the writer is given.

Each journal renders a `Group` in its own way: SQLite as an upsert, Postgres as an update from arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from ..states import RowState
from .tables import COUNTED, KINDS, Kind

Value: TypeAlias = None | int | float | str | bytes | bytearray
Record: TypeAlias = tuple[Value, ...]


class Hold(Struct, frozen=True, gc=False):
    """A location of a job, as the one that works on it holds it."""

    job: int
    location: str = ""
    epoch: int = 0
    """How often the location has been taken; 0: it is not taken but only named, and no commit is fenced by it."""

    def of(self, location: str) -> Hold:
        """A location of the same job, not taken."""
        return Hold(self.job, location)


FOLDER: Final = Hold(1)
"""The one job of a folder. All locations belong to the process that holds its lock."""


class Group(Struct, frozen=True, gc=False):
    """Changes rows of one location, each with its own values. Rows that do not exist are not added.

    The first column of each record is `number`. What is set is said in terms of `rows` and `new`, such as
    `attempts = rows.attempts + new.attempts`.
    """

    columns: tuple[str, ...]
    sets: str
    where: str = ""
    """Only if this is true of the row."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What the columns of a record are."""
        return tuple(KINDS["rows"][column] for column in self.columns)


class Entry(Struct, gc=False):
    """What is written with the next commit: a statement and its values.

    The statement is a group, or a text whose last two values are the job and the location; those are added.
    """

    statement: Group | str
    record: Record
    result: RowState | None = None
    """The final state that a row of the plan gets with it, to be counted."""
    hold: Hold = FOLDER
    """Set by the writer that it is given to."""


RESULTS: Final = tuple(dict.fromkeys(COUNTED.values()))
"""The columns of `locations` that count rows."""
_PLACES: Final = {state: RESULTS.index(column) for state, column in COUNTED.items()}


def count_results(entries: Iterable[Entry]) -> dict[Hold, list[int]]:
    """How many rows of each location get which of `RESULTS`."""
    counts: dict[Hold, list[int]] = {}
    for entry in entries:
        found = counts.get(entry.hold)
        if found is None:
            found = counts[entry.hold] = [0] * len(RESULTS)
        if entry.result is not None:
            found[_PLACES[entry.result]] += 1
    return counts
