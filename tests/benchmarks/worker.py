"""One side of a comparison: it measures the checkout it runs in, by that checkout's own benchmarks, when told.

It reads the name of a benchmark and the number of a round from each line of stdin, and writes its figures as a line
of JSON to stdout. Every figure is a cost: less is better.
"""

import asyncio
import gc
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from ..simulation.virtual import run as run_virtually
from . import bulk, call, imports, limiter, limiters, pace, promises
from .made import build_location_id

CALLS = 200
"""In a round: short rounds, and many of them, so that both sides meet the same moods of the machine."""
ROWS = 10_000
"""Of a job in a process of its own."""
Figures = dict[str, float]


class Worker:
    """What is kept from one round to the next: a loop, open connections, a prepared job."""

    def __init__(self, url: str, place: Path, runner: asyncio.Runner, stack: AsyncExitStack) -> None:
        self._url = url
        self._place = place
        self._runner = runner
        self._stack = stack
        self._kept: dict[str, Any] = {}

    def measure_call(self, number: int) -> Figures:
        """CPU of one update."""
        return self._runner.run(self._call())

    async def _call(self) -> Figures:
        if "candidates" not in self._kept:
            self._kept["candidates"] = await call.open_candidates(self._url, self._stack)
        figures: Figures = {}
        for concurrency in (1, 50):
            ours, by_hand = [await self._time_candidate(name, concurrency) for name in (call.OURS, call.HAND)]
            figures[f"update, concurrency {concurrency}: CPU µs"] = ours
            figures[f"update, concurrency {concurrency}: of aiohttp by hand"] = ours / by_hand
        return figures

    async def _time_candidate(self, name: str, concurrency: int) -> float:
        candidate = self._kept["candidates"][name]
        if (name, concurrency) not in self._kept:
            self._kept[name, concurrency] = await call.measure(candidate, concurrency, CALLS)
        return await call.measure(candidate, concurrency, CALLS)

    def measure_cost(self, number: int) -> Figures:
        """What limiter and retry add to a call."""
        return {"limiter and retry: µs a call": float(promises.measure_cost().split()[0])}

    def measure_import(self, number: int) -> Figures:
        """The package, beside aiohttp alone."""
        if "installed" not in self._kept:
            self._kept["installed"] = self._stack.enter_context(imports.install())
        ours, base = (
            imports.measure(imports.STATEMENTS[name], self._kept["installed"]) for name in (imports.OURS, "aiohttp")
        )
        return {"import: CPU ms": ours, "import: of aiohttp": ours / base}

    def measure_limiter(self, number: int) -> Figures:
        """All scenarios, in virtual time; the round is the seed."""
        figures: Figures = {}
        for one in limiter.SCENARIOS:
            played = [
                run_virtually(limiter.deliver(one, limiters.use_ours, number, phase)) for phase in range(one.phases)
            ]
            figures[f"{one.name}: refused"] = max(run.refused for run in played)
            figures[f"{one.name}: of the bound"] = max(run.seconds for run in played) / one.bound
        return figures

    def measure_bulk(self, number: int) -> Figures:
        """Rows on real sockets."""
        return self._runner.run(self._bulk(number))

    async def _bulk(self, number: int) -> Figures:
        folder = self._place / "job"
        if "client" not in self._kept:
            await pace.prepare(folder)
            client = call.LeadConnector("pit-benchmark", base_url=self._url, location_id=build_location_id(0))
            self._kept["client"] = await self._stack.enter_async_context(client)
            await pace.CANDIDATES[pace.BARE](self._kept["client"], folder)
        seconds: Figures = {}
        for name, candidate in pace.CANDIDATES.items():
            gc.collect()
            seconds[name] = await candidate(self._kept["client"], folder)
        figures = {f"{name}: µs a row": 1e6 * one / pace.ROWS for name, one in seconds.items()}
        others = {f"{name}: of the bare call": one / seconds[pace.BARE] for name, one in seconds.items()}
        return figures | {name: one for name, one in others.items() if not name.startswith(pace.BARE)}

    def measure_job(self, number: int) -> Figures:
        """A whole job, in a process of its own."""
        one = bulk.measure("job", ROWS)
        steps = {"create": one.create, "prepare": one.prepare, "run": one.run}
        figures = {f"job of {ROWS:,} rows: {name}, s": seconds for name, seconds in steps.items()}
        return {**figures, f"job of {ROWS:,} rows: most memory, MiB": one.most_mib}


MEASURES: dict[str, Callable[[Worker, int], Figures]] = {
    "call": Worker.measure_call,
    "cost": Worker.measure_cost,
    "import": Worker.measure_import,
    "limiter": Worker.measure_limiter,
    "bulk": Worker.measure_bulk,
    "job": Worker.measure_job,
}


def main(url: str) -> None:
    with tempfile.TemporaryDirectory() as place, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        worker = Worker(url, Path(place), runner, stack)
        for line in sys.stdin:
            name, number = line.split()
            sys.stdout.write(json.dumps(MEASURES[name](worker, int(number))) + "\n")
            sys.stdout.flush()
        runner.run(stack.aclose())


if __name__ == "__main__":
    main(sys.argv[1])
