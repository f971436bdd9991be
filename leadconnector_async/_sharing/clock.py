"""State time: it follows the store's clock, but never runs ahead of the true time.

A slot that is freed by state time must not be freed early, so time that runs slow is safe, and time that runs fast
is not. The store's clock may jump: it is set by hand, corrected, or belongs to another machine after a failover.

Each grant carries the reference time of its reading. At its next reading the same member knows by its own monotonic
clock how much time has passed since, at least and at most. If the store's clock claims more, it jumped forward, and
state time advances by what is certain. If it claims less, it jumped back: state time advances less, or stands still
once, which only delays slots.

    true time            store   reference   state time
    100.0   A reads      500.0   0.0         0.0
    101.0   B, new       496.0   1.0         0.0          set back by 5 s: the second is lost
    102.0   A reads      502.0   7.0         1.0          set forward by 5 s: A knows of 2 s, and B was seen 1 s ago

State time must not catch up later what it has lost: what was stamped in between would be freed early. The reference
does catch up, and it follows the store's clock when that jumps forward, so it is never behind. A member whose last
grant is older than such a jump knows of less than the reference says, so state time stands still at its next
reading; then it has the new reference. So each member costs a moment once, and all agree again.

A member without a grant has only its wall clock. If that advanced as much as the store's clock since the last
exchange of anybody, both are believed; if not, one of them jumped, or the clocks of two machines differ, and state
time stands still. A forward jump that is shorter than the round trips of the two readings goes unnoticed.
"""

from __future__ import annotations

from typing import Final

from .state import BudgetState, Report
from .store import Reading

_AGREE: Final = 0.05
"""Seconds by which two clocks may differ in what they say has passed."""


def advance(state: BudgetState, reading: Reading, report: Report) -> None:
    """Set the time of the state to that of the reading."""
    wall = report.wall - state.wall
    passed = reading.now - state.raw if reading.server == state.server else wall
    sighting = report.sighting
    if sighting is None or sighting.epoch != state.epoch:
        certain, reference = (passed, passed) if abs(passed - wall) < _AGREE else (0.0, max(passed, wall))
    else:
        least = sighting.clock + sighting.at_least - state.clock
        most = sighting.clock + sighting.at_most - state.clock
        certain, reference = least if passed > most else passed, max(passed, least)
    state.now += max(0.0, certain)
    state.clock += max(0.0, reference)
    state.raw, state.wall = reading.now, report.wall
