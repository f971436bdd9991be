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
    """How often an answer differs from all that another process gave within a window before or after."""
    series = [[quota.get(name) for quota in one.quotas] for one in outcomes]
    told = differing = 0
    for mine in series:
        for number in range(FIRST, len(mine) - SAMPLES_PER_WINDOW):
            around = slice(number - SAMPLES_PER_WINDOW, number + SAMPLES_PER_WINDOW + 1)
            for other in series:
                told += 1
                differing += not _is_among(mine[number], other[around])
    last = series[0][-SAMPLES_PER_WINDOW]
    return f"{last}; equal" if not differing else f"{differing} of {told} differ"


def _is_among(value: object, others: Sequence[object]) -> bool:
    """One of them; for numbers that change, between them."""
    if isinstance(value, int | float):
        numbers = [one for one in others if isinstance(one, int | float)]
        return bool(numbers) and min(numbers) <= value <= max(numbers)
    return value in others
