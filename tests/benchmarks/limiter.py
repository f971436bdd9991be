"""What the limiter promises, in virtual time, beside its peers."""

import asyncio
import math

from msgspec import Struct

from leadconnector_async.sandbox import Limits

from ..simulation.virtual import run as run_virtually
from ..simulation.windows import Algorithm
from ..simulation.world import World, heavy_tailed, usual
from .limiters import CALLERS, INTERVAL, Build
from .promises import PROMISES

REQUESTS = 1000
PHASES = 8
SEEDS = range(4)
PATIENCE = 10
"""After how many times the bound a client is given up."""
_NONE = "0 refused, 93 s"


class Scenario(Struct, frozen=True, kw_only=True):
    """One row of the table, played by everybody."""

    name: str
    limits: Limits = Limits()
    algorithm: Algorithm = "sliding"
    bound: float = 90.0
    """Seconds that no client without refusals can beat, not knowing the phase of the window."""
    promised: str = _NONE
    """What this library promises."""
    requests: int = REQUESTS
    processes: int = 1
    phases: int = 1
    heavy: bool = False


SCENARIOS = [
    Scenario(name="fixed window, 8 phases", algorithm="fixed", phases=PHASES),
    Scenario(name="window opened by a request", algorithm="opened"),
    Scenario(name="sliding log", algorithm="sliding"),
    Scenario(name="log that counts refusals", algorithm="counting"),
    Scenario(name="token bucket", algorithm="bucket"),
    Scenario(name="weighted counter, 8 phases", algorithm="counter", promised="10 refused", phases=PHASES),
    Scenario(name="sliding log, heavy-tailed latency", limits=Limits(), promised="0 refused, 95 s", heavy=True),
    Scenario(name="half of it used by others", limits=Limits(others=5.0), bound=200, promised="10 refused, 222 s"),
    Scenario(
        name="real limit 20, 200 requests", limits=Limits(max_requests=20), promised="20 refused", requests=200
    ),
    Scenario(
        name="real limit 20, no headers, 200 requests",
        limits=Limits(max_requests=20, headers=False),
        promised="20 refused",
        requests=200,
    ),
    Scenario(name="4 processes", limits=Limits(), promised="25 refused, 120 s", processes=4),
]


class Played(Struct, frozen=True):
    """What it came to."""

    refused: int
    seconds: float

    def render(self, bound: float) -> str:
        if self.seconds == math.inf:
            return f"{self.refused} | not done after {PATIENCE * bound:g} | > {PATIENCE}"
        return f"{self.refused} | {self.seconds:.1f} | {self.seconds / bound:.2f}"


async def deliver(scenario: Scenario, build: Build, seed: int, phase: int) -> Played:
    """Send all requests of a scenario at once, `phase` eighths of a window after one began."""
    latency = heavy_tailed if scenario.heavy else usual
    world = World(scenario.limits, algorithm=scenario.algorithm, latency=latency, seed=seed, log_size=1_000_000)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1000 + phase * INTERVAL / PHASES)
    callers = [build(world) for _ in range(scenario.processes)]
    ids, began = world.sandbox.appointment_ids, loop.time()
    calls = (callers[n % len(callers)](ids[n % len(ids)]) for n in range(scenario.requests))
    try:
        async with asyncio.timeout(PATIENCE * scenario.bound):
            await asyncio.gather(*calls)
        seconds = loop.time() - began
    except TimeoutError:
        seconds = math.inf
    return Played(world.sandbox.requests.count_statuses()[429], seconds)


def play_worst(scenario: Scenario, build: Build) -> Played:
    """The most refusals and the most seconds of all runs."""
    runs = [(seed, phase) for seed in SEEDS for phase in range(scenario.phases)]
    played = [run_virtually(deliver(scenario, build, seed, phase)) for seed, phase in runs]
    return Played(max(one.refused for one in played), max(one.seconds for one in played))


def run() -> None:
    """Print the tables."""
    print(
        f"{REQUESTS} requests at once where nothing else is said, in virtual time; the worst of {len(SEEDS)} runs"
    )
    for scenario in SCENARIOS:
        print(f"\n**{scenario.name}**: bound {scenario.bound:g} s; promised: at most {scenario.promised}\n")
        print("| client | refused (429) | seconds | of the bound |")
        print("| --- | ---: | ---: | ---: |")
        for name, build in CALLERS.items():
            print(f"| {name} | {play_worst(scenario, build).render(scenario.bound)} |", flush=True)
    print("\n| this library alone | measured | promised |\n| --- | ---: | ---: |")
    for promise in PROMISES:
        print(f"| {promise.name} | {promise.measure()} | {promise.promised} |", flush=True)
