"""The campaign of faults: workers that move appointments are killed, stopped and cut off, their database restarted.

`python -m tests.cluster.chaos --seed 4711 --faults 200` is the whole of it; the test suite runs a small one. The
sandbox's own log and state are held against what the journals say. Exits with 1 if a row is lost, one that was
applied is written again, a request is refused for its rate, or a takeover takes longer than two leases.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from ..sharing.relay import relay
from .controller import Controller, Tally
from .field import LEASE, lay_out
from .script import draw

WORKERS, LOCATIONS, APPOINTMENTS = 3, 12, 40
RATE = 5.0
SLOTS = 6
"""Of each worker: two of them can hold all locations."""


async def run(seed: int, faults: int, lease: float, folder: Path, say: Callable[[str], object]) -> Tally:
    """One campaign."""
    async with AsyncExitStack() as stack:
        field = await stack.enter_async_context(lay_out(folder, LOCATIONS, APPOINTMENTS, lease=lease, slots=SLOTS))
        relays = [await stack.enter_async_context(relay(field.server.url)) for _ in range(WORKERS)]
        return await Controller(field, RATE, say).run(draw(seed, faults, lease), relays)


def render(tally: Tally) -> Iterator[str]:
    """A table, and what was not as it should be."""
    yield f"{'fault':32} {'times':>5} {'takeovers':>9} {'min':>6} {'median':>6} {'max':>6}\n"
    for name in sorted(tally.faults):
        yield f"{name:32} {tally.faults[name]:5} {_show(tally.takeovers.get(name, []))}\n"
    every = [seconds for found in tally.takeovers.values() for seconds in found]
    yield f"{'all':32} {sum(tally.faults.values()):5} {_show(every)}\n"
    yield f"{tally.jobs} jobs, {tally.rows} rows, {tally.missed} points that were not reached\n"
    yield from (f"{complaint}\n" for complaint in (*tally.complaints, *tally.late))


def _show(found: list[float]) -> str:
    measured = (min(found), statistics.median(found), max(found)) if found else ()
    return f"{len(found):9}" + "".join(f" {seconds:6.2f}" for seconds in measured)


def _print(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--lease", type=float, default=LEASE)
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(run(given.seed, given.faults, given.lease, Path(folder), _print))
    sys.stdout.writelines(render(tally))
    return 0 if tally.holds else 1


if __name__ == "__main__":
    sys.exit(main())
