"""Statements for many records, and the entries that the writer commits.

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


class Hold(Struct, frozen=True, array_like=True, gc=False):
    """A location of a job, as its current owner holds it."""

    job: int
    location: str = ""
    epoch: int = 0
    """The fencing token of the location; 0: the location is only named, and commits are not fenced."""

    def of(self, location: str) -> Hold:
        """Return another location of the same job, unfenced."""
        return Hold(self.job, location)


FOLDER: Final = Hold(1)
"""The one job of a folder. All locations belong to the process that holds its lock."""


class Group(Struct, frozen=True, gc=False):
    """An update of many rows of one location, each with its own values. Missing rows are not inserted.

    The first column of each record is `number`. What is set is said in terms of `rows` and `new`, such as
    `attempts = rows.attempts + new.attempts`.
    """

    columns: tuple[str, ...]
    sets: str
    where: str = ""
    """A condition: rows for which it is false are not changed."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The columns of a record, in order."""
        return tuple(KINDS["rows"][column] for column in self.columns)


class Entry(Struct, gc=False):
    """A statement and its values, written with the next commit.

    The statement is a group, or a text whose last two values are the job and the location; those are added.
    """

    statement: Group | str
    record: Record
    result: RowState | None = None
    """The final state that this gives to a row of the plan, for the counts of its location."""
    hold: Hold = FOLDER
    """Set by the writer."""


RESULTS: Final = tuple(dict.fromkeys(COUNTED.values()))
"""The columns of `locations` that count rows."""
_PLACES: Final = {state: RESULTS.index(column) for state, column in COUNTED.items()}


def count_results(entries: Iterable[Entry]) -> dict[Hold, list[int]]:
    """Count, for each location, how many rows get each of `RESULTS`."""
    counts: dict[Hold, list[int]] = {}
    for entry in entries:
        found = counts.get(entry.hold)
        if found is None:
            found = counts[entry.hold] = [0] * len(RESULTS)
        if entry.result is not None:
            found[_PLACES[entry.result]] += 1
    return counts
