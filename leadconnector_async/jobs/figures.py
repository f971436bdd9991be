"""The figures of a report, counted in the journal's database.

Rule: what comes out is as long as a picture is wide, however many rows there are. Rows that only make room for
others are not counted.

Knows the journal. Must not know how figures are shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import isqrt
from typing import Final

from msgspec import Struct

from .journal import Journal
from .status import count_by_location

MOST_LOCATIONS: Final = 20
"""Of those that a report names."""
LEAST_ANSWERS: Final = 20
"""With fewer, nothing is said of how long answers take."""
_MOST_STEPS: Final = 90
_ROWS_A_STEP: Final = 4
_MOST_SLOTS: Final = 100_000
_MOST_STRETCHES: Final = 12
_MOST_BINS: Final = 28
IDLE_SECONDS: Final = 900.0
"""Stretches in which nothing ends for so long are left out of the time that a job ran."""
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_SPAN: Final = "SELECT MIN(done_at), MAX(done_at) FROM rows WHERE done_at IS NOT NULL AND parks IS NULL"
_SLOTS: Final = """
    SELECT CAST((done_at - ?) / ? AS INTEGER) AS slot, COUNT(*) FROM rows
    WHERE done_at IS NOT NULL AND parks IS NULL GROUP BY slot ORDER BY slot
"""
_PAUSES: Final = "SELECT location, at, seconds FROM moments WHERE kind = 'paused' ORDER BY location, at"
_LATENCIES: Final = """
    SELECT CAST(seconds * 10000 AS INTEGER) AS tenth, COUNT(*) FROM rows
    WHERE seconds > 0 AND parks IS NULL GROUP BY tenth ORDER BY tenth
"""
_AS_PLANNED: Final = ("applied", "in_place")
_NOT_CHANGED: Final = ("failed", "skipped", "refused")


class Throughput(Struct, frozen=True):
    """Rows that ended, over the time that the job ran. All times in seconds."""

    edges: Sequence[float]
    """Of the steps, counted from the beginning."""
    counts: Sequence[int]
    paused: Sequence[float]
    """The part of each step, from 0 to 1, that locations paused; the mean of all locations."""
    stretches: Sequence[tuple[float, float]]
    """Where each stretch begins: in this count, and by the clock since the epoch."""


class Latencies(Struct, frozen=True):
    """What the last answer of each row took, in seconds."""

    edges: Sequence[float]
    counts: Sequence[int]
    percentiles: Sequence[tuple[int, float]]
    slowest: float


class Place(Struct, frozen=True):
    """A location and its rows."""

    name: str
    as_planned: int
    not_changed: int
    unknown: int
    left: int

    @property
    def total(self) -> int:
        """All rows."""
        return self.as_planned + self.not_changed + self.unknown + self.left


def count_throughput(journal: Journal) -> Throughput | None:
    """`None` if everything ended within a second."""
    first, last = journal.read_one(_SPAN) or (None, None)
    if not isinstance(first, float) or not isinstance(last, float) or last - first < 1:
        return None
    width = max(0.05, (last - first) / _MOST_SLOTS)
    slots = [(_count(slot) * width, _count(count)) for slot, count in journal.read(_SLOTS, (first, width))]
    clock = _Clock(slots, width)
    most = min(_MOST_STEPS, max(8, sum(count for _, count in slots) // _ROWS_A_STEP))
    step = next((one for one in _STEPS if one >= max(clock.total / most, 3 * width)), _STEPS[-1])
    edges = [number * step for number in range(max(1, round(clock.total / step)))] + [clock.total]
    counts = [0] * (len(edges) - 1)
    for at, count in slots:
        counts[_find(edges, clock.place(at))] += count
    stretches = [(clock.place(begin), first + begin) for begin, _ in clock.stretches]
    return Throughput(edges, counts, _share_pauses(journal, edges, clock, first), stretches)


def count_latencies(journal: Journal) -> Latencies | None:
    """`None` if no request was answered."""
    found = [((_count(tenth) + 0.5) / 10000, _count(count)) for tenth, count in journal.read(_LATENCIES)]
    if not found:
        return None
    lowest, slowest = found[0][0] / 1.1, found[-1][0] * 1.1
    bins = min(_MOST_BINS, 5 + isqrt(sum(count for _, count in found)))
    growth = (slowest / lowest) ** (1 / bins)
    edges = [lowest * growth**number for number in range(bins + 1)]
    counts = [0] * bins
    for seconds, count in found:
        counts[_find(edges, seconds)] += count
    percentiles = [(percent, _find_percentile(found, percent)) for percent in (50, 95, 99)]
    return Latencies(edges, counts, percentiles, found[-1][0])


def count_places(journal: Journal) -> list[Place]:
    """All locations, those with the most rows first."""
    places = [
        Place(
            location,
            sum(counts.get(state, 0) for state in _AS_PLANNED),
            sum(counts.get(state, 0) for state in _NOT_CHANGED),
            counts.get("unknown", 0),
            sum(counts.get(state, 0) for state in ("loaded", "ready", "sent")),
        )
        for location, counts in count_by_location(journal).items()
    ]
    return sorted(places, key=lambda place: (-place.total, place.name))


def gather_places(places: Sequence[Place]) -> list[Place]:
    """The largest, and all others as one."""
    if len(places) <= MOST_LOCATIONS:
        return list(places)
    others = places[MOST_LOCATIONS:]
    gathered = Place(
        f"{len(others):,} others together",
        sum(place.as_planned for place in others),
        sum(place.not_changed for place in others),
        sum(place.unknown for place in others),
        sum(place.left for place in others),
    )
    return [*places[:MOST_LOCATIONS], gathered]


class _Clock:
    """The time that a job ran: what lies between its stretches does not count."""

    def __init__(self, slots: Sequence[tuple[float, int]], width: float) -> None:
        stretches = list(_find_stretches(slots, width))
        if len(stretches) > _MOST_STRETCHES:
            stretches = [(stretches[0][0], stretches[-1][1])]
        self.stretches = stretches
        self._begins = [begin for begin, _ in stretches]
        self._before = [0.0]
        for begin, end in stretches:
            self._before.append(self._before[-1] + end - begin)
        self.total = self._before[-1]

    def place(self, at: float) -> float:
        """Seconds since the first row by the clock, as seconds that the job had run."""
        index = max(0, bisect_right(self._begins, at) - 1)
        begin, end = self.stretches[index]
        return self._before[index] + min(max(at, begin), end) - begin


def _find_stretches(slots: Sequence[tuple[float, int]], width: float) -> Iterator[tuple[float, float]]:
    begin = end = 0.0
    for at, _ in slots:
        if at - end > max(IDLE_SECONDS, 3 * width):
            yield begin, end
            begin = at
        end = at + width
    yield begin, end


def _share_pauses(journal: Journal, edges: Sequence[float], clock: _Clock, first: float) -> list[float]:
    found = journal.read_one("SELECT COUNT(DISTINCT location) FROM rows") or (1,)
    paused = [0.0] * (len(edges) - 1)
    for begin, end in _iterate_pauses(journal):
        left, right = clock.place(begin - first), clock.place(end - first)
        for index in range(_find(edges, left), _find(edges, right) + 1):
            paused[index] += max(0.0, min(right, edges[index + 1]) - max(left, edges[index]))
    lengths = [(edges[index + 1] - edges[index]) * _count(found[0]) for index in range(len(paused))]
    return [min(1.0, seconds / length) for seconds, length in zip(paused, lengths, strict=True)]


def _iterate_pauses(journal: Journal) -> Iterator[tuple[float, float]]:
    """Pauses of each location, less what an earlier one of it covers."""
    before, until = "", 0.0
    for location, at, seconds in journal.read(_PAUSES):
        begin, end = float(str(at)), float(str(at)) + float(str(seconds))
        if location == before:
            begin = max(begin, until)
        before, until = str(location), max(end, begin)
        if begin < end:
            yield begin, end


def _find(edges: Sequence[float], value: float) -> int:
    return min(max(0, bisect_right(edges, value) - 1), len(edges) - 2)


def _find_percentile(found: Sequence[tuple[float, int]], percent: int) -> float:
    wanted = sum(count for _, count in found) * percent / 100
    for seconds, count in found:
        wanted -= count
        if wanted <= 0:
            return seconds
    return found[-1][0]


def _count(value: object) -> int:
    return int(str(value))
