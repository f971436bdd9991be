"""The slots of the shared state: which are taken, by whom, and when each is free again."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from .state import BudgetState, Lease, Report, Stamp

_TICK: Final = 0.001
"""A slot is freed so many seconds late: clocks have a resolution, and sums of them are rounded."""
KNOWN: Final = 0.3
"""A response that is older than this part of an interval tells nothing any more."""
_COUNTED: Final = 2.0
"""For so many intervals a server may count a request that weighs its last window, and for one if it does not."""


class Tally(Struct):
    """Slots that are taken."""

    leased: int = 0
    in_use: int = 0
    """Leased, or used within the interval."""
    bulk: int = 0
    """Of those in use, for bulk calls."""
    by_member: dict[str, int] = {}
    bulk_by_member: dict[str, int] = {}

    @property
    def interactive(self) -> int:
        """Slots in use for interactive calls."""
        return self.in_use - self.bulk

    def count(self, member: str, *, bulk: bool) -> int:
        """Slots of one member and class."""
        of_bulk = self.bulk_by_member.get(member, 0)
        return of_bulk if bulk else self.by_member.get(member, 0) - of_bulk

    def add(self, member: str, *, bulk: bool, many: int = 1) -> None:
        """Count slots of one member and class."""
        self.in_use += many
        self.by_member[member] = self.by_member.get(member, 0) + many
        if bulk:
            self.bulk += many
            self.bulk_by_member[member] = self.bulk_by_member.get(member, 0) + many


def take_slots(state: BudgetState, report: Report) -> None:
    """Take in what became of the leases of a member, and what it sent without one."""
    leases, used, now = state.leases, state.used, state.now
    mine = {number for number, lease in leases.items() if lease.member == report.member}
    mine.difference_update(report.held)
    for number in report.in_flight:
        mine.discard(number)
        lease = leases.get(number)
        leases[number] = Lease(report.member, lease is None or lease.bulk, now, in_flight=True)
        state.day.remaining -= lease is None
    for use in report.used:
        mine.discard(use.number)
        known = leases.pop(use.number, None) is not None or use.number in used
        state.day.remaining -= not known
        if use.age < _find_memory(state):
            used[use.number] = Stamp(report.member, use.bulk, now - use.age)
    for number in mine:  # it was given up, or its grant was lost on the way
        del leases[number]
    state.day.remaining += len(mine)


def free_slots(state: BudgetState) -> None:
    """Free the leases that were never reported back, and forget uses that tell nothing any more."""
    oldest = state.now - state.hold - state.interval - _TICK
    for number in [number for number, lease in state.leases.items() if lease.at <= oldest]:
        lease = state.leases.pop(number)
        if state.weighs:  # it may have been used, and a server that weighs may still count it
            state.used.setdefault(number, Stamp(lease.member, lease.bulk, lease.at + state.hold))
    oldest = state.now - _find_memory(state) - _TICK
    if any(stamp.at <= oldest for stamp in state.used.values()):
        state.used = {number: stamp for number, stamp in state.used.items() if stamp.at > oldest}


def _find_memory(state: BudgetState) -> float:
    """For how many seconds a used slot is remembered."""
    return ((1.0 if state.now >= state.settled_at else _COUNTED) + KNOWN) * state.interval


def tally(state: BudgetState) -> Tally:
    """Count the slots that are taken."""
    counts = Tally(leased=len(state.leases))
    for lease in state.leases.values():
        counts.add(lease.member, bulk=lease.bulk)
    oldest = state.now - state.interval - _TICK
    for stamp in state.used.values():
        if stamp.at > oldest:
            counts.add(stamp.member, bulk=stamp.bulk)
    return counts


def list_free_times(state: BudgetState, *, only_bulk: bool, member: str | None = None) -> list[float]:
    """When slots, or those of one member, will be free at the earliest, the next one first.

    A lease is free an interval after it was given out if it is used at once; one that is in flight, later.
    """
    oldest = state.now - state.interval - _TICK
    times = [
        stamp.at + state.interval + _TICK
        for stamp in state.used.values()
        if stamp.at > oldest and (stamp.bulk or not only_bulk) and member in (None, stamp.member)
    ]
    times += [
        max(lease.at, state.now - state.interval * 0.98) + state.interval
        for lease in state.leases.values()
        if (lease.bulk or not only_bulk) and member in (None, lease.member)
    ]
    times.sort()
    return times
