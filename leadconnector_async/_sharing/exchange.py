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
import zlib
from hashlib import blake2b
from typing import Final

from .clock import advance
from .fair import Claim, divide
from .members import (
    excuse_silence,
    expect_promises,
    list_claims,
    measure_held,
    measure_lost,
    promise,
    take_members,
    take_promises,
)
from .slots import Tally, free_slots, list_free_times, take_slots, tally
from .state import PROMISE_SECONDS, BudgetState, Day, Grant, Lease, Member, Report
from .statements import compute_reserve, count_day, spend_day, take_day, take_limits, take_use
from .store import Reading

_SKIP: Final = 1 << 20
"""By how much lease numbers advance after a state was found to be old: more than it can have given out since."""
_TOGETHER: Final = 0.02
"""Slots that come free within this part of an interval are waited for, and asked for together."""
_JITTER: Final = 0.004
"""The part of an interval within which the members ask, so that they do not all ask at once."""
_POLL: Final = 0.5
"""A member asks again after this part of an interval, in case leases were returned unused."""
_SHORT_POLL: Final = 0.05
"""The same for interactive calls, and if slots are kept for others that may not ask for them."""

_CROWD: Final = 4
"""With more members waiting, each asks less often."""


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
        if is_old or reading.server != state.server:
            _distrust(state, reading, state.now - last, is_old=is_old)
        excuse_silence(state, min(report.away, state.now - last))
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
    next_in = _wait(state, report, counts, report.bulk - len(bulk), report.interactive - len(interactive))
    if report.leaving:
        del state.members[report.member]
    share = 0 if report.leaving else promise(state, report)
    return state, _write_grant(state, counts, reserve, share, interactive, bulk, next_in)


def _begin(reading: Reading, report: Report) -> BudgetState:
    """A state that knows nothing, and grants nothing until `hold` + T after the server was started."""
    limits = report.limits
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
        closed_until=limits.hold + limits.interval - reading.uptime,
        next_number=int.from_bytes(epoch.digest()[:5]) << 20,
        max_requests=limits.max_requests,
        interval=limits.interval,
        hold=limits.hold,
        demand=[0],
        day=Day(limits.daily, limits.daily),
    )


def _distrust(state: BudgetState, reading: Reading, elapsed: float, *, is_old: bool) -> None:
    """Grant nothing for a while, because the last exchanges may be missing in this state.

    A server that was restarted since the state was written has granted nothing since its start. One that ran before
    is another one, that took over just now; or an old copy of the state was put back.
    """
    wait, uptime = state.hold + state.interval, reading.uptime
    if not is_old and uptime <= elapsed:
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
    free = state.max_requests - counts.in_use - math.ceil(state.foreign)
    most = free - measure_held(state, counts, report.member)
    pot = free
    if bulk:
        unmet = sum(one.interactive for one in state.members.values())
        most -= unmet
        kept = measure_held(state, counts, report.member, claiming=False)  # not even interactive calls get it
        pot = min(free - unmet, state.max_requests - reserve - counts.bulk) - kept
    mine = Claim(wanted, counts.count(report.member, bulk=bulk), _find_waiting_since(me, state.now))
    part = divide(pot, mine, list_claims(state, counts, report.member, bulk=bulk))
    many = max(0, min(part, most, count_day(state, report, bulk=bulk)))
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


def _find_waiting_since(me: Member, now: float) -> float:
    return me.waiting_since if me.waiting_since >= 0 else now


def _wait(state: BudgetState, report: Report, counts: Tally, bulk: int, interactive: int) -> float | None:
    """Record what was not granted; return the seconds until the member asks again, or `None` if all was granted."""
    me, now = state.members[report.member], state.now
    me.bulk, me.interactive = bulk, interactive
    granted = report.bulk + report.interactive > bulk + interactive
    if not (bulk or interactive):
        me.waiting_since = -1.0
        return None
    me.waiting_since = now if granted else _find_waiting_since(me, now)
    seconds = _find_next(state, report, counts, interactive=bool(interactive)) - now
    me.wanted_until = now + seconds + state.hold / 2
    return seconds


def _find_next(state: BudgetState, report: Report, counts: Tally, *, interactive: bool) -> float:
    """Ask again soon if an interactive call waits or slots are kept for others; else when slots are free."""
    now, interval = state.now, state.interval
    jitter = zlib.crc32(f"{report.member}{now}".encode()) / 2**32 * _JITTER * interval
    closed = max(state.closed_until, state.pause_until)
    if now < closed:
        return closed + jitter
    times = list_free_times(state, only_bulk=not interactive)
    waiting = sum(one.bulk + one.interactive > 0 for one in state.members.values())
    short = _SHORT_POLL * interval * max(1.0, waiting / _CROWD)
    latest = now + (short if interactive or not times else _POLL * interval)
    if not times:
        return latest + jitter
    first = max(times[0], now)
    if not interactive:
        first = max(time for time in times if time <= times[0] + _TOGETHER * interval)
    return max(now, min(first, latest)) + jitter


def _write_grant(
    state: BudgetState,
    counts: Tally,
    reserve: int,
    share: int,
    interactive: list[int],
    bulk: list[int],
    next_in: float | None,
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
        remaining=max(0, state.max_requests - counts.in_use - math.ceil(state.foreign)),
        foreign=state.foreign,
        pause_seconds=max(0.0, state.pause_until - now),
        recovering_seconds=max(0.0, state.closed_until - now),
        daily_limit=day.limit,
        daily_remaining=max(0, day.remaining),
        daily_reset=None if day.reset_at is None else max(0.0, day.reset_at - now),
    )
