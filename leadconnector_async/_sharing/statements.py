"""What the responses to any member state, for all members: limits, use by others, pauses and the daily budget."""

from __future__ import annotations

import math
from typing import Final

from .._limiter.reserve import follow_demand, scale_reserve
from .slots import KNOWN, Tally
from .state import BudgetState, Report
from .weighted import measure_weighted

_MEMORY: Final = 3.0
"""For how many intervals others, who do not use the store, are remembered."""
_PROOF: Final = 0.25
"""If the server has forgotten this part of the limit when our own count has, it counts as we do."""
_FEW: Final = 0.05
"""Until then, bulk leases for this part of the limit may be out: with more, the server's count proves nothing."""
_DOUBT: Final = 20.0
"""After so many intervals without a sign of others, it may be seen to."""
_SETTLE: Final = 2.0
"""So many intervals after a proof, a server that weighs its last window would have been seen to."""
_STALE: Final = 2.0
"""After so many intervals, what remained then says nothing about now."""
_AT_ONCE: Final = 0.5
"""The part of what remains that may be out at once, beside others who do not use the store."""
_MARGIN: Final = 0.06
"""What is left for others, as a part of their use."""
_PROBE: Final = 0.25
"""After which part of an interval one request probes when nothing remained."""
_SHORT_PROBE: Final = 0.05
"""The same if something remained, but only what is kept."""
_DAY: Final = 86_400.0
_DAY_PROBE: Final = 60.0
"""Seconds between two probes of whether a spent day with an unknown end is over."""
_WINDOWS: Final = 6
"""For so many intervals the demand of interactive calls is remembered."""
_FIRST: Final = 0.25
"""The reserve before any use is known."""
_SCATTER: Final = 2.0
"""By how many standard deviations of calls at random moments the reserve exceeds their use."""


def take_limits(state: BudgetState, report: Report) -> None:
    """The newest statement goes before what was configured; of what was configured, the smallest limit counts."""
    limits, stated = report.limits, report.stated
    alone = state.members.keys() <= {report.member}
    state.hold = limits.hold if alone else max(state.hold, limits.hold)
    if stated is not None and state.now - stated.age > state.limit_stated_at:
        state.max_requests = stated.max_requests or state.max_requests
        state.interval = stated.interval or state.interval
        if stated.max_requests or stated.interval:
            state.limit_stated_at = state.now - stated.age
    if state.limit_stated_at == -math.inf:
        state.max_requests = limits.max_requests if alone else min(state.max_requests, limits.max_requests)
        state.interval = limits.interval if alone else max(state.interval, limits.interval)


def take_use(state: BudgetState, report: Report) -> None:
    """What the server counted, less what all members can have used, is the use of others. Pauses hold for all."""
    if report.pause_seconds > 0:
        state.pause_until = max(state.pause_until, state.now + report.pause_seconds)
    stated = report.stated
    now = state.now
    if now - state.foreign_at > _MEMORY * state.interval:
        state.foreign = 0.0
    if stated is None or stated.remaining is None or now < state.closed_until:
        return  # or something is missing of what the members have used
    remaining = stated.remaining.count
    sent_at, answered_at = now - stated.remaining.sent_age, now - stated.remaining.answered_age
    if sent_at >= state.remaining_at or remaining <= state.remaining:
        state.remaining, state.remaining_at = remaining, max(state.remaining_at, answered_at, now - stated.age)
        state.remaining_since = sent_at - (answered_at - sent_at)
    if sent_at >= now - KNOWN * state.interval:
        _compare(state, state.max_requests - remaining, sent_at, answered_at)


def _compare(state: BudgetState, counted: int, sent_at: float, answered_at: float) -> None:
    """Explain what the server counted between these moments: by our own use, by how it counts, or by others."""
    leased = sum(lease.in_flight or lease.at <= answered_at for lease in state.leases.values())
    used = sum(stamp.at > sent_at - state.interval for stamp in state.used.values())
    foreign = counted - leased - used
    if foreign > 0 and _may_weigh(state, counted - leased, sent_at):
        state.weighed_at, state.settled_at, state.proven = state.now, math.inf, False
    elif foreign > 0:
        state.foreign, state.foreign_at, state.proven = max(foreign, state.foreign), state.now, False
    elif _is_proof(state, counted, sent_at, answered_at):
        state.proven, state.weighed_at = True, -math.inf
        state.settled_at = min(state.settled_at, state.now + _SETTLE * state.interval)


def _may_weigh(state: BudgetState, counted: int, sent_at: float) -> bool:
    """Whether a server that weighs its last window can count so many of what the members have used."""
    if state.now >= state.settled_at or state.now - state.foreign_at <= _DOUBT * state.interval:
        return False
    return counted <= math.ceil(_measure_weighted(state, sent_at))


def _measure_weighted(state: BudgetState, at: float) -> float:
    return measure_weighted((stamp.at for stamp in state.used.values()), at, state.interval)


def _is_proof(state: BudgetState, counted: int, sent_at: float, answered_at: float) -> bool:
    """Whether the server has forgotten many requests as soon as our own count did.

    A server that weighs its last window counts them for longer, unless they came at an even pace.
    """
    most, interval = state.max_requests, state.interval
    if state.now - max(state.foreign_at, state.weighed_at) <= _DOUBT * interval:
        return False
    surely = answered_at - interval + (answered_at - sent_at)
    known = freed = 0
    for stamp in state.used.values():
        known += surely < stamp.at <= sent_at
        freed += stamp.at <= sent_at - interval
    if freed < _PROOF * most or counted - known > _count_few(most):
        return False
    return not is_weighed(state) or counted <= _measure_weighted(state, sent_at) - _PROOF * most


def _count_few(most: int) -> int:
    return math.ceil(_FEW * most)


def is_careful(state: BudgetState) -> bool:
    """Whether what the server says remains goes before our own count: it may count others, or in another way."""
    is_known = state.now - state.remaining_at <= _STALE * state.interval
    return is_known and (state.foreign > 0 or not (state.proven or is_weighed(state)))


def is_weighed(state: BudgetState) -> bool:
    """Whether the server was seen to weigh its last window; then the most that it can count goes."""
    return state.weighs and not state.foreign


def measure_room(state: BudgetState, kept: int, *, bulk: bool) -> int:
    """How many more leases may be out, by what remained when the server last said so; at most 0 if none.

    Slots of ours that have come free since then do not count: a server may count them for longer. So of a burst,
    one goes ahead, and what remains by its response goes next. `kept`: so many are left for interactive calls.
    """
    now, interval = state.now, state.interval
    if is_weighed(state):
        return math.floor(state.max_requests - kept - len(state.leases) - _measure_weighted(state, now))
    if not is_careful(state):
        return state.max_requests
    out = sum(lease.at > state.remaining_since for lease in state.leases.values())
    remaining = state.remaining - kept
    if state.foreign:
        remaining = math.ceil(_AT_ONCE * (remaining - _MARGIN * state.foreign))
    elif bulk:
        remaining = min(remaining, _count_few(state.max_requests))
    if remaining > out:
        return remaining - out
    if any(lease.at > now - state.hold for lease in state.leases.values()):
        return 0
    wait = 0.0 if not state.foreign else _SHORT_PROBE if state.remaining > 0 else _PROBE
    return int(now >= state.remaining_at + wait * interval)


def take_day(state: BudgetState, report: Report) -> None:
    """The newest statement replaces what was counted; a day that is over begins again."""
    day, stated, now = state.day, report.stated, state.now
    if stated is not None and stated.daily_remaining is not None and now - stated.age > day.stated_at:
        day.stated_at = now - stated.age
        day.limit = stated.daily_limit or day.limit
        day.remaining = stated.daily_remaining - len(state.leases)
        day.reset_at = None if stated.daily_reset is None else day.stated_at + stated.daily_reset
    if day.reset_at is not None and now >= day.reset_at:
        day.remaining, day.reset_at = day.limit - len(state.leases), now + _DAY


def count_day(state: BudgetState, report: Report, *, bulk: bool) -> int:
    """How many more requests the day allows for a class of calls; one, as a probe, if its end is not known."""
    day = state.day
    remaining = day.remaining - (report.limits.daily_reserve if bulk else 0)
    if remaining > 0 or day.reset_at is not None:
        return max(0, remaining)
    if day.probe_at is not None and state.now < day.probe_at:
        return 0
    return 1


def spend_day(state: BudgetState, many: int) -> None:
    """Count leases that were given out."""
    day = state.day
    if not many:
        return
    if day.remaining <= 0 and day.reset_at is None:
        day.probe_at = state.now + _DAY_PROBE
    day.remaining -= many
    if day.reset_at is None and day.stated_at == -math.inf:
        day.reset_at = state.now + _DAY


def compute_reserve(state: BudgetState, report: Report, counts: Tally) -> int:
    """Slots that bulk calls leave free for interactive ones: as set, or following the demand.

    Slots that were leased in a burst come free in a burst, an interval later, so a call that finds its reserve used
    may wait for long. So the reserve exceeds the use in the last intervals by twice the scatter of calls at random
    moments. In the first interval, before use is known, it is at least a quarter of the limit.
    """
    use = counts.interactive + sum(member.interactive for member in state.members.values())
    if state.now >= state.demand_at + state.interval:
        passed = int((state.now - state.demand_at) / state.interval)
        state.demand = ([0] * min(passed, _WINDOWS) + state.demand)[:_WINDOWS]
        state.demand_at += passed * state.interval
    state.demand[0] = max(state.demand[0], use)
    fixed, most = report.limits.interactive_reserve, state.max_requests
    if fixed is not None:
        return scale_reserve(fixed, report.limits.max_requests, most)
    peak = max(state.demand)
    expected = math.ceil(peak + _SCATTER * math.sqrt(peak))
    if state.now < state.began + state.interval:
        expected = max(expected, math.ceil(_FIRST * most))
    return follow_demand(most, expected)
