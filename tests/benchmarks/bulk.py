"""What a bulk job takes: time and memory by its size, rows a second, and its promises in virtual time."""

import statistics
import subprocess
import sys
from collections.abc import Iterable

from ..simulation.bulk import play_days, play_forecast, play_losses, play_neighbours
from ..simulation.virtual import run as run_virtually
from ..simulation.world import heavy_tailed, usual
from . import pace
from .made import LOCATIONS
from .scale import Measured

SIZES = (10_000, 100_000, 1_000_000)


def run() -> None:
    """Print the tables."""
    print_sizes("check", "taking a CSV plan in (`BulkJob.create`)")
    print_pace()
    print_promises()
    print_sizes("job", "a whole job, its calendar computed in the same process")


def print_sizes(kind: str, name: str) -> None:
    """Each size in a process of its own."""
    print(f"\n**{name}**, {LOCATIONS} locations\n")
    print("| rows | create, s | prepare, s | run, s | most memory, MiB | of the size before |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    before = 0.0
    for rows in SIZES:
        one = measure(kind, rows)
        grown = f"{one.most_mib / before:.2f}" if before else ""
        times = f"{one.create:.1f} | {one.prepare:.1f} | {one.run:.1f}"
        print(f"| {rows:,} | {times} | {one.most_mib:.0f} | {grown} |", flush=True)
        before = one.most_mib


def measure(kind: str, rows: int) -> Measured:
    command = [sys.executable, "-m", "tests.benchmarks.scale", kind, str(rows)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return Measured(*map(float, printed.split()))


def print_pace() -> None:
    """Each candidate beside the others, round by round."""
    server, figures = pace.run()
    print(f"\n**rows a second**, {server} on 127.0.0.1, concurrency {pace.CONCURRENCY}, ", end="")
    print(f"{pace.ROUNDS} rounds of {pace.ROWS} rows, in turn\n")
    print("| what | rows/s (median) | quartiles | of the bare call | of the job that commits nothing |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, values in figures.items():
        low, middle, high = statistics.quantiles(values, n=4)
        of_bare, of_hasty = (compare(values, figures[other]) for other in (pace.BARE, pace.HASTY))
        print(f"| {name} | {middle:.0f} | {low:.0f} - {high:.0f} | {of_bare:.2f} | {of_hasty:.2f} |")
    print(f"\nthe report at the end of a job: {statistics.median(pace.REPORTS):.2f} s, not counted above")


def compare(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """The median of each round's ratio."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def print_promises() -> None:
    """In virtual time, at the size that the tests scale down."""
    print("\n| in virtual time | measured | promised |\n| --- | ---: | ---: |")
    seen = run_virtually(play_neighbours(locations=LOCATIONS, rows=60, most=20, spent_after=15))
    stops = ", ".join(sorted(one.kind for one in seen.summary.stopped))
    name = f"{LOCATIONS} locations, one slow, one exhausted, one refused: what the worst other used of its budget"
    print(f"| {name} | {seen.least_share:.1%} | 98 % |")
    print(f"| the same: refusals (429) in others | {len(seen.refused - {seen.exhausted})} | 0 |")
    print(f"| the same: what stopped | {stops} | authentication, daily |", flush=True)
    for most, rows in ((100, 2000), (20, 400)):
        for sizes in ([rows], [rows * number // 20 for number in range(1, 21)]):
            for latency in (usual, heavy_tailed):
                error = run_virtually(play_forecast(most, sizes, latency=latency)).error
                name = f"{most} in 10 s, {len(sizes)} locations, {sum(sizes)} rows, latency {latency.__name__}"
                print(f"| the end, announced after 2 %: {name} | {error:.1%} off | 5 % |", flush=True)
    days = run_virtually(play_days(rows=300, budget=160))
    print(f"| the end on the next day | {days.forecast.error:.2%} off | 5 % |")
    losses = run_virtually(play_losses(rows=10_000, share=0.05))
    counts = ", ".join(f"{count} {state}" for state, count in losses.summary.counts.items())
    print(f"| {losses.lost} of 10,000 answers lost: rows | {counts} | 10000 applied |")
    print(f"| the same: the calendar is as planned | {losses.is_as_planned} | True |")
    print(f"| the same: writes after the report | {losses.written_after_report} | 0 |", flush=True)
