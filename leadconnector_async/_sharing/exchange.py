"""One exchange between a member and the shared state of its location: the arithmetic, and nothing else.

Never more than N requests in any interval T at the server, because each is covered by a slot:

- a lease that was given out is a slot that is taken. Its request is sent within `hold`, or never. If it is never
  reported, the slot is free `hold` + T after it was given out, or after it was last reported in flight;
- a request with a response is a slot that is taken until T after the response;
- the *share* of each member, as far as it is not used by its own slots, is free and stays free: it is what the
  member may send when it has been cut off from the store for `hold` + T, when all of its leases are free again;
- a state that may have been forgotten grants nothing for `hold` + T, but takes reports.

Leases go to interactive calls first. Bulk calls share what the reserve leaves, see `fair.py`.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final

from .clock import advance
from .members import (
    excuse_silence,
    expect_promises,
    measure_held,
    measure_lost,
    promise,
    take_members,
    take_promises,
)
from .slots import Tally, free_slots, take_slots, tally
from .state import PROMISE_SECONDS, BudgetState, Day, Grant, Lease, Report
from .statements import (
    compute_reserve,
    count_day,
    is_careful,
    is_weighed,
    measure_room,
    spend_day,
    take_day,
    take_limits,
    take_use,
)
from .store import Reading
from .turns import find_part, find_turn, measure_pot

_SKIP: Final = 1 << 20
"""By how much lease numbers advance after a state was found to be old: more than it can have given out since."""


def exchange(state: BudgetState | None, reading: Reading, report: Report) -> tuple[BudgetState, Grant]:
    """Apply a report and grant what is free; return the new state and what the member may do.

    `state` is what `decode(reading.content)` gave; it is used up, so decode again after a swap that lost. The grant
    counts only once the new state has been swapped in.
    """
    if state is None:
        state = _begin(reading, report)
    else:
        sighting, last = report.sighting, state.now
        is_old = sighting is not None and sighting.epoch == state.epoch and sighting.clock > state.clock
        advance(state, reading, report)
        silence = min(report.away, state.now - last)
        if last < state.closed_until:
            state.closed_until += silence  # nobody could return, and tell of what is missing here
        if is_old or reading.server != state.server:
            _distrust(state, reading, report, state.now - last, is_old=is_old)
        excuse_silence(state, silence)
    _notice_forgetting(state, report)
    take_slots(state, report)
    take_limits(state, report)
    free_slots(state)
    take_use(state, report)
    take_day(state, report)
    take_members(state, report)
    counts = tally(state)
    reserve = compute_reserve(state, report, counts)
    interactive = _grant(state, report, counts, 0, bulk=False)
    bulk = _grant(state, report, counts, reserve, bulk=True)
    spend_day(state, len(interactive) + len(bulk))
    limited = counts.in_use < state.max_requests - reserve and measure_room(state, reserve, bulk=True) <= 0
    unmet = report.bulk - len(bulk), report.interactive - len(interactive)
    next_in = _wait(state, report, counts, reserve, unmet, limited=limited)
    if report.leaving:
        del state.members[report.member]
    share = 0 if report.leaving else promise(state, report, counts, reserve)
    return state, _write_grant(state, counts, reserve, share, interactive, bulk, next_in, limited)


def _begin(reading: Reading, report: Report) -> BudgetState:
    """A state that knows nothing, and grants nothing until `hold` + T after the server was started.

    If it was out of reach since then, others may still be using shares that it has forgotten, and return only now.
    """
    limits = report.limits
    known = 0.0 if report.away else reading.uptime
    seed = f"{reading.server}\n{reading.now}\n{report.member}\n{report.wall}".encode()
    epoch = blake2b(seed, digest_size=8)
    return BudgetState(
        epoch=epoch.hexdigest(),
        server=reading.server,
        now=0.0,
        clock=0.0,
        raw=reading.now,
        wall=report.wall,
        began=0.0,
        closed_until=limits.hold + limits.interval - known,
        next_number=int.from_bytes(epoch.digest()[:5]) << 20,
        max_requests=limits.max_requests,
        interval=limits.interval,
        hold=limits.hold,
        demand=[0],
        day=Day(limits.daily, limits.daily),
    )


def _distrust(state: BudgetState, reading: Reading, report: Report, elapsed: float, *, is_old: bool) -> None:
    """Grant nothing for a while, because the last exchanges may be missing in this state.

    A server that was restarted since the state was written has granted nothing since its start; if it was out of
    reach, others may still be using shares that are missing here. One that ran before is another one, that took
    over just now; or an old copy of the state was put back.
    """
    wait, uptime = state.hold + state.interval, reading.uptime
    if not is_old and uptime <= elapsed and not report.away:
        wait -= uptime
    state.server = reading.server
    state.closed_until = max(state.closed_until, state.now + wait)
    state.next_number += _SKIP
    expect_promises(state)


def _notice_forgetting(state: BudgetState, report: Report) -> None:
    """Grant nothing for a while if a member remembers a state of which this one knows nothing."""
    wait, sighting = state.hold + state.interval, report.sighting
    if sighting is not None and sighting.epoch != state.epoch:
        state.closed_until = max(state.closed_until, state.began + wait)
        state.promised_until = max(state.promised_until, state.began + PROMISE_SECONDS)
    if sighting is not None and (sighting.epoch, sighting.server) != (state.epoch, state.server):
        take_promises(state, report)


def _grant(state: BudgetState, report: Report, counts: Tally, reserve: int, *, bulk: bool) -> list[int]:
    """Give out leases for one class of calls."""
    wanted = report.bulk if bulk else report.interactive
    if not wanted or state.now < max(state.closed_until, state.pause_until):
        return []
    me = state.members[report.member]
    free = state.max_requests - counts.in_use
    most = free - measure_held(state, counts, report.member)
    pot = measure_pot(state, counts, report.member, reserve) if bulk else free
    unmet = sum(one.interactive for one in state.members.values()) if bulk else 0
    most -= unmet
    room = measure_room(state, max(unmet, reserve - counts.interactive) if bulk else 0, bulk=bulk)
    part = find_part(state, counts, report.member, wanted, pot, bulk=bulk)
    many = max(0, min(wanted, part, pot, most, room, count_day(state, report, bulk=bulk)))
    first = state.next_number
    state.next_number += many
    numbers = list(range(first, first + many))
    for number in numbers:
        state.leases[number] = Lease(report.member, bulk, state.now)
    counts.leased += many
    counts.add(report.member, bulk=bulk, many=many)
    if not bulk:
        me.interactive = wanted - many
    return numbers


def _wait(
    state: BudgetState, report: Report, counts: Tally, reserve: int, unmet: tuple[int, int], *, limited: bool
) -> float | None:
    """Record what was not granted; return the seconds until the member asks again, or `None` if all was granted."""
    me, now = state.members[report.member], state.now
    me.bulk, me.interactive = unmet
    granted = report.bulk + report.interactive > sum(unmet)
    if not any(unmet):
        me.waiting_since = -1.0
        return None
    me.waiting_since = now if granted or me.waiting_since < 0 else me.waiting_since
    seconds = find_turn(state, counts, report.member, reserve, limited=limited) - now
    me.wanted_until = now + seconds + state.hold / 2
    return seconds


def _write_grant(
    state: BudgetState,
    counts: Tally,
    reserve: int,
    share: int,
    interactive: list[int],
    bulk: list[int],
    next_in: float | None,
    limited: bool,
) -> Grant:
    now, day = state.now, state.day
    return Grant(
        epoch=state.epoch,
        server=state.server,
        clock=state.clock,
        bulk=bulk,
        interactive=interactive,
        next_in=next_in,
        share=share,
        promised=sum(one.share for one in state.members.values()) + measure_lost(state),
        members=max(1, len(state.members)),
        max_requests=state.max_requests,
        interval=state.interval,
        stated=state.limit_stated_at > -math.inf,
        hold=state.hold,
        reserve=reserve,
        probing=is_careful(state) and (limited or not state.foreign),
        remaining=max(0, state.max_requests - counts.in_use - math.ceil(state.foreign)),
        weighed=is_weighed(state),
        foreign=state.foreign,
        pause_seconds=max(0.0, state.pause_until - now),
        recovering_seconds=max(0.0, state.closed_until - now),
        daily_limit=day.limit,
        daily_remaining=max(0, day.remaining),
        daily_reset=None if day.reset_at is None else max(0.0, day.reset_at - now),
    )
