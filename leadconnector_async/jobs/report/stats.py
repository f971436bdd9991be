"""What a report shows, counted in the journal's database.

Each result has at most a few dozen numbers, however many rows the job has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from math import ceil, isqrt
from typing import Final, get_args

from msgspec import Struct

from ..journal import counts
from ..journal.protocol import Journal
from ..states import RowResult, count_rows, list_states

MOST_LOCATIONS: Final = 20
"""Listed by name; the rest are summed up."""
LEAST_RESPONSES: Final = 20
"""Fewer say too little about response times to show them."""
_MOST_STEPS: Final = 90
_ROWS_A_STEP: Final = 4
_MOST_SLOTS: Final = 100_000
_MOST_STRETCHES: Final = 12
_MOST_BINS: Final = 28
IDLE_SECONDS: Final = 900.0
"""A longer gap between finished rows does not count as running time."""
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_MOST_BARS: Final = 45
_EPOCH: Final = date(1970, 1, 1)
PARTS: Final[tuple[RowResult, ...]] = get_args(RowResult)
"""The results that charts and tables tell apart."""


class Throughput(Struct, frozen=True):
    """Finished rows over the time that the job ran. All times in seconds."""

    edges: Sequence[float]
    """Of the steps, in running time since the first row."""
    counts: Sequence[int]
    paused: Sequence[float]
    """The share of each step, 0 to 1, that locations paused; the mean of all locations."""
    stretches: Sequence[tuple[float, float]]
    """The start of each stretch without a longer gap: in running time, and since the epoch."""


class Latencies(Struct, frozen=True):
    """How long the last response of each row took, in seconds."""

    edges: Sequence[float]
    counts: Sequence[int]
    percentiles: Sequence[tuple[int, float]]
    slowest: float


class LocationCounts(Struct, frozen=True):
    """The rows of one location, or of several."""

    name: str
    parts: Mapping[RowResult, int]
    """By the names of `PARTS`, all of them."""

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.parts.values())


class Days(Struct, frozen=True):
    """Appointments by day, week, month or year, before the job and after it.

    A day is one of the calendar's own time zone, as the server showed the appointment, not one of UTC.
    """

    step: str
    """`day`, `week`, `month` or `year`."""
    begins: Sequence[date]
    before: Sequence[int]
    after: Sequence[int]


def count_throughput(journal: Journal) -> Throughput | None:
    """`None` if all rows finished within a second."""
    span = counts.find_span(journal)
    first, last = span.first, span.last
    if first is None or last is None or last - first < 1:
        return None
    width = max(50, ceil((last - first) * 1000 / _MOST_SLOTS)) / 1000
    slots = [(one.slot * width, one.count) for one in counts.count_finished(first, width, journal)]
    clock = _Clock(slots, width)
    most = min(_MOST_STEPS, max(8, sum(count for _, count in slots) // _ROWS_A_STEP))
    step = next((one for one in _STEPS if one >= max(clock.total / most, 3 * width)), _STEPS[-1])
    edges = [number * step for number in range(max(1, round(clock.total / step)))] + [clock.total]
    finished = [0] * (len(edges) - 1)
    for at, count in slots:
        finished[_find(edges, clock.map(at))] += count
    stretches = [(clock.map(begin), first + begin) for begin, _ in clock.stretches]
    return Throughput(edges, finished, _share_pauses(journal, edges, clock, first), stretches)


def count_latencies(journal: Journal) -> Latencies | None:
    """`None` if no request got a response."""
    found = [(max(one.slot, 0.5) / 10000, one.count) for one in counts.count_latencies(journal)]
    if not found:
        return None
    lowest, slowest = found[0][0] / 1.1, found[-1][0] * 1.1
    bins = min(_MOST_BINS, 5 + isqrt(sum(count for _, count in found)))
    growth = (slowest / lowest) ** (1 / bins)
    edges = [lowest * growth**number for number in range(bins + 1)]
    rows = [0] * bins
    for seconds, count in found:
        rows[_find(edges, seconds)] += count
    percentiles = [(percent, _find_percentile(found, percent)) for percent in (50, 95, 99)]
    return Latencies(edges, rows, percentiles, found[-1][0])


def count_locations(journal: Journal) -> list[LocationCounts]:
    """All locations, largest first."""
    locations = [
        LocationCounts(
            location,
            {part: count_rows(found, list_states(part)) for part in PARTS},
        )
        for location, found in counts.count_by_location(journal).items()
    ]
    return sorted(locations, key=lambda one: (-one.total, one.name))


def gather_locations(locations: Sequence[LocationCounts]) -> list[LocationCounts]:
    """The largest locations, and the others summed up as one."""
    if len(locations) <= MOST_LOCATIONS:
        return list(locations)
    others = locations[MOST_LOCATIONS:]
    parts: dict[RowResult, int] = {part: sum(one.parts[part] for one in others) for part in PARTS}
    return [*locations[:MOST_LOCATIONS], LocationCounts(f"{len(others):,} others together", parts)]


def count_days(journal: Journal) -> Days | None:
    """Appointments whose change was planned: where they were, and where they are now. `None` without any."""
    before: Counter[date] = Counter()
    after: Counter[date] = Counter()
    for moved in counts.count_days(journal):
        before[_EPOCH + timedelta(days=moved.before)] += moved.count
        after[_EPOCH + timedelta(days=moved.now)] += moved.count
    if not before:
        return None
    known = sorted({*before, *after})
    for step, floor, advance in _CALENDAR_STEPS:
        begins = _list_steps(known[0], known[-1], floor, advance)
        if len(begins) <= _MOST_BARS or step == "year":
            return Days(step, begins, _gather(before, begins, floor), _gather(after, begins, floor))
    return None


class _Clock:
    """Maps time since the first row to running time, which leaves out the gaps between stretches."""

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

    def map(self, at: float) -> float:
        """Both in seconds."""
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
    locations = counts.count_locations(journal)
    paused = [0.0] * (len(edges) - 1)
    for begin, end in _iterate_pauses(journal):
        left, right = clock.map(begin - first), clock.map(end - first)
        for index in range(_find(edges, left), _find(edges, right) + 1):
            paused[index] += max(0.0, min(right, edges[index + 1]) - max(left, edges[index]))
    lengths = [(edges[index + 1] - edges[index]) * locations for index in range(len(paused))]
    return [min(1.0, seconds / length) for seconds, length in zip(paused, lengths, strict=True)]


def _iterate_pauses(journal: Journal) -> Iterator[tuple[float, float]]:
    """Start and end of the pauses, without what an earlier pause of the same location covers."""
    before, until = "", 0.0
    for pause in counts.list_pauses(journal):
        begin, end = pause.at, pause.at + pause.seconds
        if pause.location == before:
            begin = max(begin, until)
        before, until = pause.location, max(end, begin)
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


def _list_steps(
    first: date, last: date, floor: Callable[[date], date], advance: Callable[[date], date]
) -> list[date]:
    begins = [floor(first)]
    while (following := advance(begins[-1])) <= last:
        begins.append(following)
    return begins


def _gather(days: Mapping[date, int], begins: Sequence[date], floor: Callable[[date], date]) -> list[int]:
    gathered = dict.fromkeys(begins, 0)
    for day, count in days.items():
        gathered[floor(day)] += count
    return list(gathered.values())


def _begin_week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _begin_month(day: date) -> date:
    return day.replace(day=1)


def _begin_year(day: date) -> date:
    return day.replace(month=1, day=1)


_CALENDAR_STEPS: Final[tuple[tuple[str, Callable[[date], date], Callable[[date], date]], ...]] = (
    ("day", lambda day: day, lambda day: day + timedelta(days=1)),
    ("week", _begin_week, lambda day: day + timedelta(days=7)),
    ("month", _begin_month, lambda day: _begin_month(day + timedelta(days=31))),
    ("year", _begin_year, lambda day: _begin_year(day + timedelta(days=366))),
)
