"""One job of a given size, in a process of its own. Prints its seconds and the most memory that the process had.

`python -m tests.benchmarks.scale check 10000`: taking a plan in. `job`: preparing and carrying it out as well.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from leadconnector_async.jobs import BulkJob, iterate_plan

from .made import connect, write_plan


class Measured(Struct):
    """What one job took."""

    create: float = 0.0
    """Seconds."""
    prepare: float = 0.0
    run: float = 0.0
    most_mib: float = 0.0


async def play(kind: str, rows: int, lines: Iterator[str], folder: Path) -> Measured:
    measured, began = Measured(), time.perf_counter()
    async with await BulkJob.create(folder, connect(), iterate_plan(lines)) as job:
        created = time.perf_counter()
        measured.create = created - began
        if kind == "job":
            await job.prepare()
            prepared = time.perf_counter()
            measured.prepare = prepared - created
            await job.run()
            measured.run = time.perf_counter() - prepared
        expected = {"applied" if kind == "job" else "loaded": rows}
        assert (await job.summarize()).counts == expected
    return measured


def main(kind: str, rows: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder, "plan.csv")
        with plan.open("w") as file:
            file.writelines(write_plan(rows))
        with plan.open(encoding="utf-8-sig", newline="") as file:
            measured = asyncio.run(play(kind, rows, file, Path(folder, "job")))
    measured.most_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return measured


if __name__ == "__main__":
    figures = main(sys.argv[1], int(sys.argv[2]))
    print(figures.create, figures.prepare, figures.run, figures.most_mib)
