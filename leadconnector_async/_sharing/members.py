"""The members of a shared budget: who they are, what they wait for, and what is promised to each.

The *share* of a member is what it may send per interval when it cannot reach the store any more. A member that is
cut off cannot be notified, so its share is kept free from the moment it is promised: the slots of a member, or
its share if that is more, are always covered. All shares together are at most nine tenths of the limit, also while
one member knows of a smaller share and another one does not yet.
"""

from __future__ import annotations

from typing import Final

from .slots import Tally
from .state import PROMISE_SECONDS, BudgetState, Member, Report

_PROMISED: Final = 0.9
"""The part of the limit that is promised."""


def excuse_silence(state: BudgetState, seconds: float) -> None:
    """The store was out of reach for so long: the silent members are using their shares, and will return."""
    for one in state.members.values():
        one.seen += seconds
    state.promised_until += seconds


def take_members(state: BudgetState, report: Report) -> None:
    """Register the member, and forget those that have ended, or were silent for too long."""
    members, now = state.members, state.now
    for name in report.dead:
        members.pop(name, None)
    for name in [name for name, one in members.items() if one.seen + PROMISE_SECONDS <= now]:
        del members[name]
    me = members.setdefault(report.member, Member(seen=now))
    me.seen, me.share = now, report.share
    for one in members.values():
        if one.wanted_until <= now:
            one.bulk = one.interactive = 0
    if state.promised and state.promised_until <= now:
        state.promised = state.returned = 0


def expect_promises(state: BudgetState) -> None:
    """Members that this state does not know may appear."""
    lost = measure_lost(state)
    state.returned = sum(one.share for one in state.members.values())
    state.promised = state.returned + lost
    state.promised_until = state.now + PROMISE_SECONDS


def take_promises(state: BudgetState, report: Report) -> None:
    """Take over what a forgotten state had promised to all, from a member that has a grant of it.

    What this state promises itself, and how the shares of its members change, does not matter here.
    """
    if state.now < state.promised_until:
        state.promised = max(state.promised, report.promised)
        if report.member not in state.members:
            state.returned += report.share


def measure_held(state: BudgetState, counts: Tally, member: str, *, claiming: bool = True) -> int:
    """Slots that are kept free for the shares of other members, or only of those that want no bulk leases."""
    held = sum(
        max(0, one.share - counts.by_member.get(name, 0))
        for name, one in state.members.items()
        if name != member and (claiming or not one.bulk)
    )
    return held + measure_lost(state)


def measure_lost(state: BudgetState) -> int:
    """Shares of members that the state does not know, because it was forgotten."""
    return max(0, state.promised - state.returned)


def promise(state: BudgetState, report: Report, counts: Tally, reserve: int) -> int:
    """The share of the member from now on: of what it has, and of what is free beside the shares of others.

    A job that waits has no share of the reserve: what is kept for it would be taken from people.
    """
    me, most = state.members[report.member], int(_PROMISED * state.max_requests)
    others = sum(one.share for one in state.members.values()) - me.share + measure_lost(state)
    room = state.max_requests - counts.in_use - measure_held(state, counts, report.member)
    if report.bulk:
        room -= max(0, reserve - counts.interactive)
    covered = counts.by_member.get(report.member, 0) + max(0, room)
    share = max(0, min(most // len(state.members), report.need, most - others, covered))
    me.share = max(me.share, share)
    return share
