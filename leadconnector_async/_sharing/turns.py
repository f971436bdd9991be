"""Whose turn it is: how many slots a member may have, and when it asks again for those that it did not get.

Each exchange costs two round trips, so a member should ask once for many slots, and not in vain. All members may
have the same number of slots, so the slots that a member will get are mostly those that it has: it asks again when
these are free. Only a member that has less than its part waits for slots of others.
"""

from __future__ import annotations

import math
from typing import Final

from .fair import Claim, divide
from .members import measure_held
from .slots import Tally, list_free_times
from .state import BudgetState, Member
from .statements import is_weighed

_TOGETHER: Final = 0.015
"""Slots that come free within this part of an interval are waited for, and asked for together."""
_APART: Final = 0.005
"""Seconds between the moments at which two members ask: of two exchanges at once, one is made again."""
_SHORT_POLL: Final = 0.05
"""Interactive calls ask again after this part of an interval, and so do all if slots are kept for others."""
_CROWD: Final = 4
"""With more members waiting, each asks less often."""
_WEIGHED: Final = 0.14
"""With a server that weighs its last window, slots come free little by little. One member asks after this part of
an interval; n ask one after the other, each after 1 / sqrt(n) of it: 16 together four times as often as one."""


def find_part(state: BudgetState, counts: Tally, member: str, wanted: int, pot: int, *, bulk: bool) -> int:
    """How many more slots the member may have of a class, of those that are free or will be.

    `pot`: slots that are free. They are divided together with those that are in use, which will be free.
    """
    mine = _claim(state.members[member], state.now, wanted, counts.count(member, bulk=bulk))
    others = [
        _claim(one, state.now, more, counts.count(name, bulk=bulk))
        for name, one in state.members.items()
        if name != member and (more := one.bulk if bulk else one.interactive)
    ]
    level = mine.wanted - wanted
    total = pot + (counts.bulk if bulk else counts.interactive)
    part = divide(total, mine, others) - level
    return max(part, math.ceil(state.max_requests * _measure_gap(state))) if is_weighed(state) else part


def measure_pot(state: BudgetState, counts: Tally, member: str, reserve: int) -> int:
    """Slots that are free for bulk calls of any member."""
    free = state.max_requests - counts.in_use
    unmet = sum(one.interactive for one in state.members.values())
    kept = measure_held(state, counts, member, claiming=False)  # not even interactive calls get it
    return min(free - unmet, state.max_requests - reserve - counts.bulk) - kept


def _claim(one: Member, now: float, wanted: int, level: int) -> Claim:
    return Claim(wanted + level, 0, one.waiting_since if one.waiting_since >= 0 else now)


def find_turn(state: BudgetState, counts: Tally, member: str, reserve: int, *, limited: bool) -> float:
    """When a member asks again that wants more than it was granted.

    `limited`: by what the server said remains; a response that is on its way may say more.
    """
    now, interval, me = state.now, state.interval, state.members[member]
    closed = max(state.closed_until, state.pause_until)
    if now < closed:
        return _stand_apart(state, member, closed)
    if is_weighed(state) and not me.interactive:
        gap = (
            _measure_gap(state) * interval
        )  # at most one round: who asks before its turn must not delay the others
        return min(max([now, *_list_turns(state, member)]) + gap, now + _count_waiting(state) * gap)
    short = _SHORT_POLL * interval * max(1.0, _count_waiting(state) / _CROWD)
    if limited:
        trip = state.remaining_at - state.remaining_since
        return _stand_apart(state, member, now + min(max(2 * _TOGETHER * interval, trip), short))
    times = _list_times(state, counts, member, reserve)
    if not times:
        return _stand_apart(state, member, now + short)
    first = max(times[0], now)
    if not me.interactive and not _may_be_returned(state, member):
        first = max(now, *(time for time in times if time <= times[0] + _TOGETHER * interval))
        return _stand_apart(state, member, first)
    return _stand_apart(state, member, min(first, now + short))


def _may_be_returned(state: BudgetState, member: str) -> bool:
    """Whether fewer slots are wanted than others have leased: at the end of a job, many come back unused."""
    wanted = sum(one.bulk + one.interactive for one in state.members.values())
    return wanted <= sum(lease.member != member and not lease.in_flight for lease in state.leases.values())


def _list_times(state: BudgetState, counts: Tally, member: str, reserve: int) -> list[float]:
    """When slots will be free that the member may get."""
    me = state.members[member]
    if me.interactive:
        return list_free_times(state, only_bulk=False)
    lacking = find_part(state, counts, member, me.bulk, measure_pot(state, counts, member, reserve), bulk=True)
    if lacking <= 0 and (own := list_free_times(state, only_bulk=True, member=member)):
        return own
    fair, me_since = counts.bulk_by_member.get(member, 0) + lacking, me.waiting_since
    before = surplus = 0
    for name, one in state.members.items():
        beyond = counts.bulk_by_member.get(name, 0) - fair
        surplus += max(0, beyond)
        if one.bulk and one.waiting_since < me_since and name != member:
            before += min(one.bulk, max(0, -beyond))
    times = list_free_times(state, only_bulk=True)
    return times[max(0, min(before, surplus - 1)) :]


def _stand_apart(state: BudgetState, member: str, moment: float) -> float:
    """The first moment from this one on at which no other member asks."""
    for other in sorted(_list_turns(state, member)):
        if other - _APART < moment < other + _APART:
            moment = other + _APART
    return moment


def _list_turns(state: BudgetState, member: str) -> list[float]:
    """When the others that wait will ask again."""
    return [
        one.wanted_until - state.hold / 2
        for name, one in state.members.items()
        if name != member and one.bulk + one.interactive
    ]


def _measure_gap(state: BudgetState) -> float:
    """The part of an interval that is between two turns if slots come free little by little."""
    return _WEIGHED / math.sqrt(max(1, _count_waiting(state)))


def _count_waiting(state: BudgetState) -> int:
    return sum(one.bulk + one.interactive > 0 for one in state.members.values())
