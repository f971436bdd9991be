"""`client.quota` in every process: the same answer, within one window."""

from collections.abc import Sequence

from .bulk import split
from .callers import OURS, Setting
from .faults import PROCESSES
from .rows import Bench, print_head, print_row
from .worker import Outcome, Task

FIELDS = ("limit", "interval", "members", "source", "remaining", "daily_limit", "daily_remaining")
"""Which belong to the location; how many calls wait or are in flight is each process's own."""
SAMPLES_PER_WINDOW = 10
WINDOWS = 8
FIRST = 20
"""Samples until all processes have joined."""


def run(bench: Bench) -> None:
    """Bulk calls in four processes, each of which looks ten times in a window."""
    print_head(
        f"client.quota in {PROCESSES} processes, read {SAMPLES_PER_WINDOW} times in a window",
        *("store", *FIELDS),
    )
    for store in bench.names:
        place = bench.take_place("sliding")
        setting = Setting(OURS, place, bench.get_url(store), PROCESSES)
        moments = [number * bench.interval / SAMPLES_PER_WINDOW for number in range(WINDOWS * SAMPLES_PER_WINDOW)]
        tasks = [
            Task(setting, calls=calls, look_at=tuple(moments))
            for calls in split((WINDOWS + 2) * place.max_requests, PROCESSES)
        ]
        outcomes = bench.crew.begin(tasks).collect()
        print_row(store, *(_compare(outcomes, name) for name in FIELDS))


def _compare(outcomes: Sequence[Outcome], name: str) -> str:
    """How far an answer is from all that another process gave within a window before or after."""
    series = [[quota.get(name) for quota in one.quotas] for one in outcomes]
    furthest = 0.0
    for mine in series:
        for number in range(FIRST, len(mine) - SAMPLES_PER_WINDOW):
            around = slice(number - SAMPLES_PER_WINDOW, number + SAMPLES_PER_WINDOW + 1)
            furthest = max(furthest, *(_measure_distance(mine[number], other[around]) for other in series))
    last = series[0][-SAMPLES_PER_WINDOW]
    return f"{last}; equal" if furthest == 0 else f"{last}; {furthest:g} apart"


def _measure_distance(value: object, others: Sequence[object]) -> float:
    """0 for one of them, and for a number between them, as it changes meanwhile."""
    numbers = [one for one in others if isinstance(one, int | float)]
    if not isinstance(value, int | float) or not numbers:
        return 0.0 if value in others else float("inf")
    return max(0.0, min(numbers) - value, value - max(numbers))
