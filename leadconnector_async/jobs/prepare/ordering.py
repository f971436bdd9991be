"""The order of moves: a row that frees time goes before the row that wants it.

A server that checks free slots refuses a move to time that another appointment still takes, even if that one is
about to move. So X waits for Y if X needs time of a person that Y takes now and gives up. Without clashes, any
order in which each row comes after those it waits for is accepted: by then, whatever overlapped with the new time
has moved. If rows wait for each other in a cycle there is no such order until one of them is moved out of the way:
then nothing waits for it any more, while it still waits for others.

Rows that need the same time clash, in any order; so do a row and another that keeps what the first needs. Each
still has its position in the order, as if the other did not exist. Rows that share time already, as those of a
class do, may share again: between them there is neither waiting nor clashing. An empty interval takes nobody's
time.

Rows with the same times and persons form one group: whatever is true of one is true of all. So a class that moves
costs what one row costs. Of the pairs that clash, only enough are named to include each row that clashes.

No row waits without need, and the same rows in the same order give the same result.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain
from typing import Final, TypeAlias

from msgspec import Struct

from ..journal.preparing import Move

_LOOK_BACK: Final = 64
"""Rows of a cycle among which the one to move out of the way is chosen: those behind it are walked again."""

_Line: TypeAlias = list[tuple[int, int, int]]
"""What groups hold or want of one person's time: (start, end, group)."""
_Begun: TypeAlias = list[tuple[int, int]]
"""Those of them that have begun: (end, group)."""


class Cycle(Struct, frozen=True):
    """Rows that wait for each other."""

    numbers: tuple[int, ...]
    """From `first` on: each needs time that the next takes now, and the last needs time of the first."""
    first: int
    """The row that must be moved out of the way before the others can move."""


class Conflict(Struct, frozen=True, gc=False):
    """Two rows that need the same time of the same person, the one with the smaller number first."""

    first: int
    second: int


class Order(Struct, frozen=True):
    """Which row goes before which, once the first row of every cycle is out of the way."""

    waits_for: dict[int, tuple[int, ...]]
    """The rows that must be finished before it, in ascending order; only rows that wait."""
    ranks: dict[int, int]
    """The length of the longest chain of rows before it; only rows that wait."""
    cycles: tuple[Cycle, ...]
    """In the order in which they were broken: none holds the first row of one before it."""
    clashes: tuple[Conflict, ...]
    """Every row that clashes is in one of them, but not every pair that clashes is."""


class _Span(Struct, frozen=True, gc=False):
    """Time of a person."""

    owner: str
    start: int
    end: int


class _Group(Struct, frozen=True, gc=False):
    """Rows that differ in nothing but their number."""

    before: _Span | None
    after: _Span | None
    numbers: list[int]


def order_moves(moves: Iterable[Move]) -> Order:
    """Decide in which order the rows of one location can be moved."""
    groups = _group(moves)
    holders = _sort_by_owner(group.before for group in groups)
    seekers = _sort_by_owner(group.after for group in groups)
    blockers: dict[int, tuple[int, ...]] = {}
    pairs: set[tuple[int, int]] = set()
    while seekers:
        owner, line = seekers.popitem()
        pairs.update(_name_rows(groups, _find_clashes(groups, line)))
        blockers.update(_find_blockers(groups, holders.pop(owner, []), line))
    walk = _Walk({group: blockers[group] for group in sorted(blockers)}, groups)
    clashes = tuple(Conflict(first, second) for first, second in sorted(pairs))
    numbers = ((number, rank) for group, rank in walk.ranks.items() for number in groups[group].numbers)
    ranks = {number: rank for number, rank in numbers if number in walk.waits_for}
    return Order(walk.waits_for, ranks, tuple(walk.cycles), clashes)


def _group(moves: Iterable[Move]) -> list[_Group]:
    """In the order in which the first row of each came."""
    groups: dict[tuple[_Span | None, _Span | None], _Group] = {}
    for move in moves:
        before = _read_span(move.owner_before, move.start_before, move.end_before)
        after = _read_span(move.owner_after, move.start_after, move.end_after)
        group = groups.setdefault((before, after), _Group(before, after, []))
        group.numbers.append(move.number)
    return list(groups.values())


def _read_span(owner: str | None, start: int, end: int) -> _Span | None:
    return None if owner is None or start >= end else _Span(owner, start, end)


def _sort_by_owner(spans: Iterable[_Span | None]) -> dict[str, _Line]:
    lines: dict[str, _Line] = {}
    for group, span in enumerate(spans):
        if span is not None:
            lines.setdefault(span.owner, []).append((span.start, span.end, group))
    for line in lines.values():
        line.sort()
    return lines


def _overlap(one: _Span | None, other: _Span | None) -> bool:
    if one is None or other is None:
        return False
    return one.start < other.end and other.start < one.end and one.owner == other.owner


def _find_blockers(
    groups: Sequence[_Group], holders: _Line, seekers: _Line
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Whom those who want time of one person wait for: whoever holds some of it and lets go.

    A sweep: whoever holds time when the wanted interval starts is on the heap, the others start inside of it.
    """
    held: _Begun = []
    begun = 0
    for start, end, seeker in seekers:
        while begun < len(holders) and holders[begun][0] <= start:
            heappush(held, holders[begun][1:])
            begun += 1
        _drop_ended(held, start)
        found = [holder for _, holder in held]
        found += [holder for _, _, holder in holders[begun : bisect_left(holders, (end,), begun)]]
        before, after = groups[seeker].before, groups[seeker].after
        found = [one for one in found if not _overlap(before, groups[one].before)]
        found = [one for one in found if not _overlap(after, groups[one].after)]
        if found:
            yield seeker, tuple(found)


def _find_clashes(groups: Sequence[_Group], seekers: _Line) -> Iterator[tuple[int, int]]:
    """Every group that clashes, with one that it clashes with: with itself, if its rows do.

    A sweep that keeps apart those of which no clash is known: they are compared with everyone who comes, the
    others only until one is found.
    """
    clear: _Begun = []
    clashing: _Begun = []
    for start, end, seeker in seekers:
        before = groups[seeker].before
        _drop_ended(clashing, start)
        clear = [entry for entry in clear if entry[0] > start]
        for entry in [entry for entry in clear if not _overlap(before, groups[entry[1]].before)]:
            clear.remove(entry)
            heappush(clashing, entry)
            yield entry[1], seeker
        other = next((group for _, group in clashing if not _overlap(before, groups[group].before)), None)
        if other is None and before is None and len(groups[seeker].numbers) > 1:
            other = seeker
        if other is not None:
            yield seeker, other
            heappush(clashing, (end, seeker))
        else:
            clear.append((end, seeker))


def _drop_ended(heap: _Begun, now: int) -> None:
    while heap and heap[0][0] <= now:
        heappop(heap)


def _name_rows(groups: Sequence[_Group], clashes: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Every row of the one group against a row of the other."""
    for group, other in clashes:
        against = groups[other].numbers[0]
        for number in groups[group].numbers:
            if number != against:
                yield min(number, against), max(number, against)


class _Walk:
    """A walk from each group to those it waits for, depth first; where it meets its own path it breaks a cycle.

    The path from the group that is moved out of the way on is forgotten and walked again: it may be on other
    cycles. So a group that is done waits only for groups that were done before, and its rank is final.
    """

    def __init__(self, blockers: Mapping[int, tuple[int, ...]], groups: Sequence[_Group]) -> None:
        self._blockers = blockers
        self._groups = groups
        self._waiting = Counter(chain.from_iterable(blockers.values()))
        """How many wait for a group."""
        self._path: list[int] = []
        self._positions: dict[int, int] = {}
        """Of the groups on the path."""
        self._ahead: list[Iterator[int]] = []
        """For each group on the path, those it waits for that were not visited yet."""
        self.ranks: dict[int, int] = {}
        """Of the groups that are done."""
        self._away: set[int] = set()
        """Groups that are moved out of the way: nothing waits for them."""
        self.waits_for: dict[int, tuple[int, ...]] = {}
        self.cycles: list[Cycle] = []
        for group in blockers:
            while group not in self.ranks:
                self._walk(group)

    def _walk(self, start: int) -> None:
        self._enter(start)
        while self._path:
            group = next((one for one in self._ahead[-1] if self._is_open(one)), None)
            if group is None:
                self._finish()
            elif group in self._positions:
                self._break(self._positions[group])
            else:
                self._enter(group)

    def _is_open(self, group: int) -> bool:
        return group in self._blockers and group not in self.ranks and group not in self._away

    def _enter(self, group: int) -> None:
        self._positions[group] = len(self._path)
        self._path.append(group)
        self._ahead.append(iter(self._blockers[group]))

    def _finish(self) -> None:
        """All that it waits for, and that is not moved out of the way, was done before."""
        group = self._forget()
        others = [one for one in self._blockers[group] if one not in self._away]
        self.ranks[group] = 1 + max([self.ranks.get(one, 0) for one in others], default=-1)
        before = tuple(sorted([number for one in others for number in self._groups[one].numbers]))
        for number in self._groups[group].numbers if before else ():
            self.waits_for[number] = before

    def _forget(self) -> int:
        group = self._path.pop()
        self._ahead.pop()
        del self._positions[group]
        return group

    def _break(self, base: int) -> None:
        """The path from `base` on is a cycle. The group on most ways through it is moved out of the way."""
        first = max(self._path[max(base, len(self._path) - _LOOK_BACK) :], key=self._weigh)
        rest = [self._groups[group].numbers[0] for group in self._shorten(base, first)]
        self.cycles += [Cycle((number, *rest), number) for number in self._groups[first].numbers]
        self._away.add(first)
        while self._forget() != first:
            pass

    def _weigh(self, group: int) -> tuple[float, int]:
        """Those it waits for times those that wait for it, divided by its rows; then whichever came first."""
        ways = self._waiting[group] * len(self._blockers[group])
        return ways / len(self._groups[group].numbers), -group

    def _shorten(self, base: int, first: int) -> Iterator[int]:
        """What follows `first` on the cycle, without detours: each time the farthest that is waited for."""
        size = len(self._path) - base
        others = self._blockers[first]
        while first not in others:
            positions = (self._positions.get(other, -1) for other in others)
            far = max((position - self._positions[first]) % size for position in positions if position >= base)
            group = self._path[base + (self._positions[first] - base + far) % size]
            yield group
            others = self._blockers[group]
