"""How much of memory each location of a job may take.

Rule: the rows in memory are bounded for the whole job, however many locations it has.

Pure.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_FETCHED: Final = 200
_LEAST_FETCHED: Final = 16
_MOST_FETCHED: Final = 4000
"""Rows of all locations that are read ahead."""
_BRISK: Final = 32
"""From this concurrency on, speed counts for more than how few rows are in doubt after a crash."""
_MOST_AHEAD: Final = 1000
"""Rows of all locations that are on their way to the disk and back while others are at the server."""


class Share(Struct, frozen=True):
    """Of one location."""

    fetched: int
    """Rows that are read from the journal at once."""
    ahead: int
    """Rows that are started beyond those at the server: they are on their way to the disk, or back from it."""


def divide(locations: int, concurrency: int) -> Share:
    """Few locations read and start far ahead; many keep the server busy without that."""
    each = max(1, locations)
    ahead = 3 * concurrency if concurrency >= _BRISK else 0
    return Share(
        fetched=max(_LEAST_FETCHED, min(_FETCHED, _MOST_FETCHED // each)), ahead=min(ahead, _MOST_AHEAD // each)
    )
