"""Rows of the one location that a worker has taken: the one that the journal holds."""

from __future__ import annotations

from typing import Final

from .facts import Count
from .groups import Value
from .preparing import SELECTED, Selection
from .protocol import Journal
from .rows import recount
from .tables import TO_SEND

_FORGET: Final = (
    "UPDATE rows SET read_at = NULL WHERE job = ? AND location = ? AND state = 'pending' AND parks IS NULL"
)
_FORGET_VERDICTS: Final = "DELETE FROM verdicts WHERE job = ? AND location = ?"
_FORGET_SELECTED: Final = "UPDATE rows SET read_at = NULL WHERE job = ? AND location = ? AND {selected}"
_HAS_OPEN: Final = f"SELECT number FROM rows WHERE job = ? AND location = ? AND state IN {TO_SEND} LIMIT 1"
_HAS_PENDING: Final = "SELECT number FROM rows WHERE job = ? AND location = ? AND state = 'pending' LIMIT 1"
_APPLIED_AFTER_ALL: Final = """
    UPDATE rows SET state = 'applied', reason = ''
    WHERE job = ? AND location = ? AND state = 'unknown'
        AND number IN (SELECT number FROM verdicts WHERE job = ? AND location = ? AND verdict = 'as_planned')
"""
_SEND_AGAIN: Final = """
    UPDATE rows SET state = 'pending', reason = '', repeated = 1
    WHERE job = ? AND location = ? AND state = 'unknown'
        AND number IN (SELECT number FROM verdicts WHERE job = ? AND location = ? AND verdict = 'as_before')
"""
_SEND_UNBLOCKED: Final = """
    UPDATE rows SET state = 'pending', reason = ''
    WHERE job = ? AND location = ? AND state = 'skipped' AND number IN (
        SELECT parks FROM rows JOIN verdicts USING (job, location, number)
        WHERE job = ? AND location = ? AND parks IS NOT NULL AND state IN ('applied', 'pending')
    )
"""
_CANCEL: Final = """
    UPDATE rows SET state = 'skipped', reason = ? WHERE job = ? AND location = ? AND state IN ('loaded', 'pending')
"""
_CANCEL_SENT: Final = (
    "UPDATE rows SET state = 'unknown', reason = ? WHERE job = ? AND location = ? AND state = 'sent'"
)


def forget_readings(journal: Journal) -> None:
    """Have all pending rows read again."""
    with journal.commit():
        journal.write(_FORGET, _name_location(journal))


def begin_review(selection: Selection, journal: Journal) -> bool:
    """Discard all verdicts, and have the selected rows read again; returns whether there are any."""
    here = _name_location(journal)
    with journal.commit():
        journal.write(_FORGET_VERDICTS, here)
        return journal.write(_FORGET_SELECTED.format(selected=SELECTED[selection]), here) > 0


def resolve_unknown(journal: Journal) -> bool:
    """Change the state of unknown rows by their verdicts; returns whether any row is pending."""
    here = _name_location(journal)
    with journal.commit():
        for statement in (_APPLIED_AFTER_ALL, _SEND_AGAIN, _SEND_UNBLOCKED):
            journal.write(statement, here * 2)
        recount(journal)
    return journal.read_one(Count, _HAS_PENDING, here) is not None


def has_open(journal: Journal) -> bool:
    """Whether any row is to be sent, or to be read back."""
    return journal.read_one(Count, _HAS_OPEN, _name_location(journal)) is not None


def cancel_open(reason: str, journal: Journal) -> None:
    """Leave out what was not sent; what may have been is unknown until it is read back."""
    here = _name_location(journal)
    with journal.commit():
        for statement in (_CANCEL, _CANCEL_SENT):
            journal.write(statement, (reason, *here))
        recount(journal)


def _name_location(journal: Journal) -> tuple[Value, Value]:
    return journal.hold.job, journal.hold.location
