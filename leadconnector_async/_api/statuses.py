"""What a status of an error answer means for the call that met it: one table.

| status | transient | ambiguous | may still run | costs budget | inconclusive |
| --- | --- | --- | --- | --- | --- |
| 401, 403 | as the text says (`_errors`) | no | no | no | yes |
| 408, 425 | yes | no | no | yes | yes |
| 429 | yes | no | no | no | yes |
| 500, 503 | yes | yes | no | yes | no |
| 502, 504, 520 to 530 | yes | yes | yes | yes | no |
| other 5xx | no | yes | no | yes | no |
| 1xx, 3xx | no | yes | no | yes | no |
| all others | no | no | no | yes | no |
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class StatusTraits(Struct, frozen=True):
    """One row of the table."""

    is_transient: bool = False
    """Another attempt may pass, although nothing was changed."""
    is_ambiguous: bool = False
    """A write may have been applied in spite of it."""
    may_still_run: bool = False
    """The server may still be at work on it: it answered in place of whoever it had passed the request on to."""
    costs_budget: bool = True
    """A repetition is paid for out of the retry budget, so that an outage is not multiplied. A 429 pauses the
    location, which bounds it already; what the edge refuses does not reach the server."""
    is_inconclusive: bool = False
    """It leaves open what became of earlier attempts: it is about the token, the rate or the way."""


_ACCESS: Final = StatusTraits(is_inconclusive=True, costs_budget=False)
_EARLY: Final = StatusTraits(is_transient=True, is_inconclusive=True)
_RATE: Final = StatusTraits(is_transient=True, is_inconclusive=True, costs_budget=False)
_FAILED: Final = StatusTraits(is_transient=True, is_ambiguous=True)
_PASSED_ON: Final = StatusTraits(is_transient=True, is_ambiguous=True, may_still_run=True)
_OTHER_SERVER: Final = StatusTraits(is_ambiguous=True)
_UNEXPECTED: Final = StatusTraits(is_ambiguous=True)
"""A switch of protocols or a redirect: neither is followed, and neither says what became of a write."""
_OTHER: Final = StatusTraits()
_TABLE: Final[dict[int, StatusTraits]] = {
    **dict.fromkeys((401, 403), _ACCESS),
    **dict.fromkeys((408, 425), _EARLY),
    429: _RATE,
    **dict.fromkeys((500, 503), _FAILED),
    **dict.fromkeys((502, 504, *range(520, 531)), _PASSED_ON),
}


def find_traits(status: int | None) -> StatusTraits:
    """The row of a status; `None` is an error without an answer, of which the table says nothing."""
    if status is None:
        return _OTHER
    if status < 400:
        return _UNEXPECTED
    return _TABLE.get(status) or (_OTHER_SERVER if status >= 500 else _OTHER)
