"""A plan taken into Postgres: `python -m tests.benchmarks.cluster.plans PLACE ROWS LOCATIONS`.

Prints its seconds, the CPU seconds of the process, and the most memory that it had.
"""

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from leadconnector_async.jobs import BulkJob, JobOptions, iterate_plan

from ..made import connect, write_plan

CONCURRENCY = 16


class Taken(Struct):
    """What one plan took."""

    seconds: float
    cpu: float
    """Seconds of the process, those of the database not included."""
    most_mib: float


async def create(place: str, rows: int, locations: int, plan: Path) -> tuple[float, float]:
    """Returns the seconds and the CPU seconds, parsing included."""
    options = JobOptions(concurrency=CONCURRENCY, max_reading_age=86_400)
    with plan.open("w") as file:
        file.writelines(write_plan(rows, locations))
    with plan.open(encoding="utf-8-sig", newline="") as file:
        began, cpu = time.perf_counter(), time.process_time()
        async with await BulkJob.create(place, connect(), iterate_plan(file), options=options):
            return time.perf_counter() - began, time.process_time() - cpu


def main(place: str, rows: str, locations: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        seconds, cpu = asyncio.run(create(place, int(rows), int(locations), Path(folder, "plan.csv")))
    print(seconds, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def take_in(place: str, rows: int, locations: int) -> Taken:
    """In a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.cluster.plans", place, str(rows), str(locations)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603
    return Taken(*map(float, printed.split()))


if __name__ == "__main__":
    main(*sys.argv[1:])
