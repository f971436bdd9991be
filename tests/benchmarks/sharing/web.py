"""A web application under `uvicorn --workers 4` with a bulk job beside it: how long people wait for a read."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from ...sharing.site import Site
from .counting import CountingServer, Place
from .rows import MOST, Bench, print_head, print_row
from .stores import prepare

WORKERS = 4
READS = 300
READS_PER_WINDOW = 10
ROWS = 4000
"""More than the job can write while people read."""
COMMAND = (sys.executable, "-c", "from leadconnector_async.cli import main; main()")


def run(bench: Bench) -> None:
    """Reads of one appointment each, one after the other in the rhythm of a busy front desk."""
    columns = ("store", "reads", "failed", "median", "p90", "p99", "longest", "429s", "rows of the job meanwhile")
    print_head(f"FastAPI under uvicorn --workers {WORKERS}, a bulk job beside it", *columns)
    for store in bench.names:
        with CountingServer(locations=1, appointments=ROWS) as server:
            asyncio.run(_measure(bench, store, server))


async def _measure(bench: Bench, store: str, server: CountingServer) -> None:
    place = server.take_place("sliding", MOST, bench.interval)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = (
            f"sqlite:///{folder / 'web.db'}" if store == "sqlite" else await asyncio.to_thread(bench.get_url, store)
        )
        await asyncio.to_thread(prepare, url)
        environment = _build_environment(place, url)
        async with Site(folder, environment, WORKERS) as site:
            await site.wait(place.event_ids[0])
            with _run_job(folder, place, environment):
                await asyncio.sleep(2 * bench.interval)
                began = time.monotonic()
                statuses, took = await _read(site, place, bench.interval / READS_PER_WINDOW)
        count = server.count(place)
    cuts = [quantiles(took, n=100)[percent - 1] for percent in (50, 90, 99)]
    rows = sum(at >= began for at in count.admitted) - READS
    failed = sum(status != 200 for status in statuses)
    print_row(store, READS, failed, *(f"{1000 * one:.0f} ms" for one in (*cuts, max(took))), count.refused, rows)


async def _read(site: Site, place: Place, every: float) -> tuple[list[int], list[float]]:
    took: list[float] = []

    async def read(number: int) -> int:
        began = time.monotonic()
        status = await site.read(place.event_ids[number])
        took.append(time.monotonic() - began)
        return status

    reading: list[asyncio.Task[int]] = []
    for number in range(READS):
        reading.append(asyncio.create_task(read(number)))
        await asyncio.sleep(every)
    return list(await asyncio.gather(*reading)), took


def _build_environment(place: Place, url: str) -> dict[str, str]:
    return {
        **os.environ,
        "LEADCONNECTOR_TOKEN": place.token,
        "LEADCONNECTOR_BASE_URL": place.url,
        "LEADCONNECTOR_LOCATION_ID": place.location_id,
        "LEADCONNECTOR_SHARED": url,
    }


@contextmanager
def _run_job(folder: Path, place: Place, environment: dict[str, str]) -> Iterator[None]:
    """Rows enough to last; what is not written at the end is left."""
    lines = [f"{event_id},Moved {number}" for number, event_id in enumerate(place.event_ids)]
    (folder / "plan.csv").write_text("event_id,title\n" + "\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        command = [*COMMAND, "reschedule", "plan.csv", "--yes"]
        job = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)  # noqa: S603
        try:
            yield
            if job.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
        finally:
            job.kill()
            job.wait()
