"""Which row keeps another one from going.

Rule: a row goes when those whose time it wants have moved, by the journal. Where the server's own slot check keeps
it from doing harm, or where the slot is to be taken anyway, it need not know.

Knows the journal. Must not know the server.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from . import ledger
from .ledger import OpenRow, Standing
from .scribe import Scribe
from .states import OPEN, OnConflict, RowState
from .trips import Trips

_BLOCKING: Final = frozenset({"failed", "skipped", "refused", "unknown"})


async def find_blocker(row: OpenRow, trips: Trips, scribe: Scribe, on_conflict: OnConflict) -> Standing | None:
    """Wait for the rows that it waits for; what keeps it from going then, or `None`."""
    if not row.waits_for:
        return None
    for number in row.waits_for:
        await trips.wait_for(number)
    for standing in await scribe.run(partial(ledger.find_standings, row.waits_for)):
        if standing.state in OPEN or (
            standing.state in _BLOCKING and not _may_try(row, standing.state, on_conflict)
        ):
            return standing
    return None


def _may_try(row: OpenRow, state: RowState, on_conflict: OnConflict) -> bool:
    if on_conflict == "force":
        return True
    return state == "unknown" and row.updates[-1].ignore_free_slot_validation is not True
