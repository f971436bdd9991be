"""`python -m tests.benchmarks people`: people beside bulk jobs, without a reserve and with one that follows demand.

Several models are measured at once, each in locations of its own, and so are both rates: a row pools the calls of
both.
"""

import argparse
import inspect
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from leadconnector_async import LeadConnector

from ...simulation.front_desk import find_quantile
from ...simulation.windows import WINDOWS, Algorithm
from ..sharing.child import Child
from ..sharing.counting import CountingServer, Place
from .desk import Duty, Seen

MOST = 100
RATES = (5.0, 10.0)
"""Calls of people in a window: 0.5 and 1 a second where it is 10 s long."""
WINDOWS_LONG = 24
"""So many windows make 360 calls of both rates, more or less: at least 300 are pooled for a row."""
MODELS_AT_ONCE = 3
"""More would measure the processor: each sends 100 requests in a second."""
HEAD_START = 0.5
MODULE = f"{__package__}.desk"


class Scene(Struct, frozen=True):
    """Who shares a location."""

    name: str
    processes: int
    shared: str | None = None

    def divide(self) -> Iterator[tuple[bool, bool]]:
        """For each process: whether people are in it, and whether a job is."""
        for number in range(self.processes):
            yield number == 0, number > 0 or self.processes == 1


class Run(Struct, frozen=True):
    """One location after its time: all that its processes have seen."""

    model: Algorithm
    seen: list[Seen]
    refused: int

    @property
    def waits(self) -> list[float]:
        return [wait for one in self.seen for wait in one.waits]

    def measure_of_bound(self, interval: float) -> float:
        """The jobs' time, as a part of what their rows take at least with what the reserve leaves."""
        rows = sum(one.rows for one in self.seen)
        reserve = statistics.mean(reserve for one in self.seen for reserve in one.reserves)
        windows = math.ceil(rows / (MOST - reserve)) - 1
        return max(one.seconds for one in self.seen) / (windows * interval)


class Bench(Struct):
    """The server that counts, and the processes."""

    server: CountingServer
    processes: list[Child]
    interval: float

    def play(self, scene: Scene, models: Sequence[Algorithm], reserve: int | None) -> list[Run]:
        """These models and all rates at once."""
        cases = [(model, rate) for model in models for rate in RATES]
        places = [self.server.take_place(model, MOST, self.interval) for model, _ in cases]
        while len(self.processes) < scene.processes:
            self.processes.append(Child(MODULE))
        members = self.processes[: scene.processes]
        for member, (people, job) in zip(members, scene.divide(), strict=True):
            rates = [rate / self.interval if people else 0.0 for _, rate in cases]
            member.write([self._build(scene, *one, job, reserve) for one in zip(places, rates, strict=True)])
        for member in members:
            member.read()  # it is ready
        begin = time.monotonic() + HEAD_START
        for member in members:
            member.write(begin)
        ends = [msgspec.convert(member.read(), list[Seen]) for member in members]
        return [
            Run(model, [end[number] for end in ends], self.server.count(place).refused)
            for number, ((model, _), place) in enumerate(zip(cases, places, strict=True))
        ]

    def _build(self, scene: Scene, place: Place, rate: float, job: bool, reserve: int | None) -> Duty:
        seconds = WINDOWS_LONG * self.interval
        return Duty(place, seconds, rate, job, reserve, scene.shared, hash(place.location_id) % 1000)


def print_scene(bench: Bench, scene: Scene, models: Sequence[Algorithm]) -> None:
    """The table of a scene: each model, before and after."""
    print(
        f"\n**{scene.name}**\n\n| window | reserve | calls | median | p90 | p99 | longest | failed | 429s | job |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for first in range(0, len(models), MODELS_AT_ONCE):
        some = models[first : first + MODELS_AT_ONCE]
        played = {reserve: bench.play(scene, some, reserve) for reserve in (0, None)}
        for model in some:
            for reserve, runs in played.items():
                mine = [run for run in runs if run.model == model]
                print_row(model, "none" if reserve == 0 else "follows demand", mine, bench.interval)


def print_row(model: str, reserve: str, runs: Sequence[Run], interval: float) -> None:
    waits = [wait for run in runs for wait in run.waits]
    moments = [*(find_quantile(waits, part) for part in (0.5, 0.9, 0.99)), max(waits)]
    shown = " | ".join(f"{one:.3f} s ({one / interval:.3f} T)" for one in moments)
    failed = sum(len(one.failed) for run in runs for one in run.seen)
    of_bound = max(run.measure_of_bound(interval) for run in runs)
    refused = sum(run.refused for run in runs)
    print(f"| {model} | {reserve} | {len(waits)} | {shown} | {failed} | {refused} | {of_bound:.2f} |", flush=True)


def list_scenes(stores: Sequence[str]) -> list[Scene]:
    """Without a store, and for each store."""
    alone = [Scene("one process", 1), Scene("two processes, nothing shared", 2)]
    if "shared" not in inspect.signature(LeadConnector).parameters:
        return alone
    return alone + [
        Scene(f"{processes} process{'es' * (processes > 1)} sharing {url.partition(':')[0]}", processes, url)
        for url in stores
        for processes in (1, 2, 4)
    ]


def run(arguments: list[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks people", description=__doc__)
    parser.add_argument("--interval", type=float, default=2.0, help="length of the window T in seconds")
    parser.add_argument("--models", nargs="+", choices=[*WINDOWS], default=[*WINDOWS])
    parser.add_argument("--shared", nargs="+", metavar="URL", help="stores; a new SQLite file if omitted")
    options = parser.parse_args(arguments)
    print(
        f"{MOST} requests in T = {options.interval:g} s; {RATES[0]:g} and {RATES[1]:g} calls of people in T, half "
        "of them updates; job: its time / the shortest with what the reserve leaves"
    )
    processes: list[Child] = []
    with tempfile.TemporaryDirectory() as folder, CountingServer() as server:
        stores = options.shared or [f"sqlite:///{Path(folder, 'shared.db')}"]
        try:
            for scene in list_scenes(stores):
                print_scene(Bench(server, processes, options.interval), scene, options.models)
        finally:
            for process in processes:
                process.close()
