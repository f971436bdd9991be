"""What a job would do, before it does it.

What is shown comes from the journal, so that it is what will be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ...exceptions import RowFault
from ..journal import rows
from ..journal.database import Journal
from ..journal.load import MOST_NAMED
from ..journal.rows import decode_texts
from ..states import RowState

_EXAMPLES: Final = """
    SELECT line, event_id, differences FROM rows
    WHERE state = 'ready' AND parks IS NULL AND differences IS NOT NULL ORDER BY number LIMIT ?
"""
_LOADS: Final = """
    SELECT location, SUM(1 + (json_array_length(updates) > 1)) FROM rows
    WHERE state IN ('ready', 'sent') GROUP BY location
"""


class Example(Struct, frozen=True):
    """What one row would change."""

    line: int
    event_id: str
    differences: tuple[tuple[str, str, str], ...]
    """Field, before and after, in words."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a job would do."""

    counts: Mapping[RowState, int]
    examples: tuple[Example, ...]
    """The first of its changes."""
    faults: tuple[RowFault, ...]
    """Why rows were refused, of very many the first ones."""
    requests: Mapping[str, int]
    """Changes to send, by location."""
    seconds: Mapping[str, float]
    """How long that will take, by location, computed from the budgets."""

    @property
    def remaining_seconds(self) -> float:
        """Until the slowest location is done."""
        return max(self.seconds.values(), default=0.0)


def list_examples(most: int, journal: Journal) -> tuple[Example, ...]:
    """The first changes of a job."""
    return tuple(
        Example(int(str(line)), str(event_id), tuple(decode_texts(differences)))
        for line, event_id, differences in journal.read(_EXAMPLES, (most,))
    )


def count_requests(journal: Journal) -> dict[str, int]:
    """Changes to send, by location."""
    return {str(location): int(str(count)) for location, count in journal.read(_LOADS)}


def list_faults(most: int, journal: Journal) -> tuple[list[RowFault], int]:
    """The rows that were refused, by line, of very many the first ones; and how many there are."""
    query = "SELECT line, column_name, reason, hint FROM faults ORDER BY line LIMIT ?"
    faults = [RowFault(int(str(line)), *map(str, texts)) for line, *texts in journal.read(query, (most,))]
    count = journal.read_one("SELECT COUNT(*) FROM faults")
    return faults, int(str(count[0])) if count else 0


def read_preview(most: int, journal: Journal) -> Preview:
    """All of it but the time that it takes."""
    return Preview(
        faults=tuple(list_faults(MOST_NAMED, journal)[0]),
        counts=rows.count_states(journal),
        examples=list_examples(most, journal),
        requests=count_requests(journal),
        seconds={},
    )
