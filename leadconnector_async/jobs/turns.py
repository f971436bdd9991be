"""Which rows of a job are on their turn.

Knows the journal. Must not import the client.
"""

from __future__ import annotations

from typing import Final

from .journal import Journal

_OPEN: Final = """
    SELECT location, SUM(parks IS NULL) FROM rows
    WHERE state IN ('ready', 'sent') AND location IN (SELECT location FROM settled) GROUP BY location
"""
_AGAIN: Final = """
    UPDATE rows SET state = 'ready', rank = MIN(rank, 999999), reason = '', read_at = NULL
    WHERE state IN ('failed', 'skipped') AND updates IS NOT NULL AND parks IS NULL
"""
_PARK_AGAIN: Final = """
    UPDATE rows SET state = 'ready' WHERE state IN ('failed', 'skipped') AND parks IN (
        SELECT number FROM rows WHERE state IN ('failed', 'skipped') AND parks IS NULL
    )
"""


def try_again(journal: Journal) -> int:
    """Put the rows that failed or were skipped on their turn again; returns how many."""
    with journal.commit():
        journal.write(_PARK_AGAIN)
        return journal.write(_AGAIN)


def count_open(journal: Journal) -> dict[str, int]:
    """Rows that are on their turn, by location; of locations whose order is settled."""
    return {str(location): int(str(count)) for location, count in journal.read(_OPEN)}
