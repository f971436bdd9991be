"""The same plan carried out by 1, 2 and 4 workers: CPU per row, memory, and what the database does for it.

What an idle worker takes is subtracted: on a busy machine, jobs take longer, and cost more of that.
"""

import asyncio
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from msgspec import Struct

from leadconnector_async.jobs import BulkJob

from ...servers import PostgresServer
from ..made import connect
from .plans import take_in
from .servers import migrate, read_cpu, read_database_cpu

COUNTS = (1, 2, 4)
_STATE = """
    SELECT phase, (SELECT sum(applied) FROM leadconnector_jobs.locations WHERE job = jobs.id)
    FROM leadconnector_jobs.jobs WHERE name = %s
"""
_WORKERS = "SELECT count(*) FROM leadconnector_jobs.workers"
_LOOK_SECONDS = 0.5
_START_SECONDS, _IDLE_SECONDS = 3.0, 10.0
_COMPUTE = "import time; sum(hash(str(n)) & 7 for n in range(2_000_000)); print(time.process_time())"


class Carried(Struct):
    """What the workers took together."""

    rows: int
    seconds: float
    cpu: float
    """Seconds of the workers, less what they would have taken without work."""
    most_mib: float
    """Of the largest."""
    database_cpu: float

    @property
    def cost(self) -> float:
        """Microseconds of a worker for each row."""
        return self.cpu / self.rows * 1e6


@contextmanager
def hire(url: str, workers: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Workers in processes of their own, which end by themselves after a SIGTERM."""
    command = [sys.executable, "-m", "tests.benchmarks.cluster.worker", url]
    crew = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]  # noqa: S603
    try:
        yield crew
    finally:
        for process in crew:
            process.send_signal(signal.SIGTERM)
        for process in crew:
            process.wait()


def measure_idle(url: str) -> float:
    """CPU seconds that a worker takes each second while there is nothing to do."""
    with hire(url, 1) as [worker]:
        time.sleep(_START_SECONDS)
        before = read_cpu(worker.pid)
        time.sleep(_IDLE_SECONDS)
        return (read_cpu(worker.pid) - before) / _IDLE_SECONDS


def measure_machine(processes: int) -> float:
    """CPU seconds of the same computation in one of so many processes at once: cores may share more than memory."""
    command = [sys.executable, "-c", _COMPUTE]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]  # noqa: S603
    return sum(float(one.communicate()[0]) for one in started) / processes


def carry_out(server: PostgresServer, job: str, rows: int, workers: int, idle: float = 0.0) -> Carried:
    """A job that exists already, from when all workers have registered until its end."""
    with hire(server.url, workers) as crew:
        wait_for(server.url, _WORKERS, (), (workers,), crew)
        cpu, database, began = _sum_cpu(crew), read_database_cpu(server), time.perf_counter()
        asyncio.run(_submit(f"{server.url}#{job}"))
        wait_for(server.url, _STATE, (job,), ("done", rows), crew)
        seconds = time.perf_counter() - began
        cpu, database = _sum_cpu(crew) - cpu, read_database_cpu(server) - database
    most_mib = max(float(process.communicate()[0]) for process in crew)
    return Carried(rows, seconds, cpu - seconds * workers * idle, most_mib, database)


def _sum_cpu(crew: list[subprocess.Popen[str]]) -> float:
    return sum(read_cpu(process.pid) for process in crew)


def wait_for(
    url: str, query: str, values: tuple[str, ...], expected: tuple[object, ...], crew: list[subprocess.Popen[str]]
) -> None:
    """Until a query has this row."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(query.encode(), values).fetchone() != expected:
            if any(process.poll() is not None for process in crew):
                raise RuntimeError("a worker has ended")
            time.sleep(_LOOK_SECONDS)


async def _submit(place: str) -> None:
    async with await BulkJob.open(place, connect()) as job:
        await job.submit()


def measure(rows: int, locations: int, rounds: int) -> dict[int, list[Carried]]:
    """Each number of workers carries out jobs of its own, in turn."""
    found: dict[int, list[Carried]] = {workers: [] for workers in COUNTS}
    with PostgresServer() as server:
        asyncio.run(migrate(server.url))
        idle = measure_idle(server.url)
        for number in range(rounds):
            for workers in COUNTS[number % len(COUNTS) :] + COUNTS[: number % len(COUNTS)]:
                name = uuid.uuid4().hex[:12]
                take_in(f"{server.url}#{name}", rows, locations)
                found[workers].append(carry_out(server, name, rows, workers, idle))
    return found
