"""This checkout against another one: the same benchmarks, in turn, in one run.

Each side runs in a process of its own, on its own code, and both talk to the same server. A round measures one side
and then the other; the order changes from round to round, so that neither a slow minute of the machine nor a warm
cache favours one of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .server import serve

HERE = Path(__file__).parents[2]
WORKER = "tests.benchmarks.worker"
ROUNDS = {"call": 60, "cost": 9, "import": 30, "limiter": 4, "bulk": 9, "job": 5}
"""The limiter is played in virtual time: there a round is a seed."""
Figures = dict[str, float]


class Side:
    """A checkout, in a process of its own."""

    def __init__(self, checkout: Path, python: str, url: str) -> None:
        self.figures: dict[str, list[float]] = {}
        self._process = subprocess.Popen(  # noqa: S603
            [python, "-m", WORKER, url],
            cwd=checkout,
            env=build_environment(checkout),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, name: str, number: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name} {number}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the worker ended while it measured {name}; what it says is above")
        for figure, value in json.loads(line).items():
            self.figures.setdefault(figure, []).append(value)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def build_environment(checkout: Path) -> dict[str, str]:
    """As here, but with bytecode, which an installed package has: else importing would measure the compiler."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    beside = str(Path(tempfile.gettempdir(), "leadconnector-benchmarks"))
    return {"PYTHONPYCACHEPREFIX": beside, **kept, "PYTHONPATH": str(checkout)}


@contextmanager
def open_sides(checkouts: Sequence[Path], python: str) -> Iterator[list[Side]]:
    with serve() as (url, server):
        print(f"server: {server} on 127.0.0.1\n")
        sides = [Side(one.resolve(), python, url) for one in checkouts]
        try:
            yield sides
        finally:
            for side in sides:
                side.close()


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The quartiles, of however few values."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def is_worse(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """By more than the interquartile range, whichever side's is the larger."""
    (low, mine, high), (other_low, other, other_high) = spread(ours), spread(theirs)
    return mine - other > max(high - low, other_high - other_low)


def render(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    """One row of the table."""
    shown = [f"{middle:.4g} | {low:.4g} - {high:.4g}" for low, middle, high in (spread(theirs), spread(ours))]
    ratios = [one / other if other else 1.0 + one for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = spread(ratios)
    verdict = "worse" if is_worse(ours, theirs) else "better" if is_worse(theirs, ours) else ""
    return f"| {name} | {' | '.join(shown)} | {middle:.3f} | {low:.3f} - {high:.3f} | {verdict} |"


def run(arguments: Sequence[str]) -> None:
    """Print a table for each benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks against", description=__doc__)
    parser.add_argument("other", type=Path, help="the folder of the other checkout")
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(ROUNDS)}; all if left out")
    parser.add_argument("--rounds", type=int, help="instead of the usual number of each benchmark")
    parser.add_argument("--python", default=sys.executable, help="the interpreter for both sides")
    given = parser.parse_intermixed_args(arguments)
    if unknown := {*given.kinds} - {*ROUNDS}:
        parser.error(f"there are no such benchmarks: {', '.join(sorted(unknown))}")
    with open_sides([given.other, HERE], given.python) as (other, this):
        for kind in given.kinds or ROUNDS:
            rounds = given.rounds or ROUNDS[kind]
            known = {*this.figures}
            for number in range(rounds):
                for side in (other, this) if number % 2 else (this, other):
                    side.measure(kind, number)
            print(f"**{kind}**, {rounds} rounds in turn; less is better\n")
            print("| what | other | quartiles | this | quartiles | this / other | quartiles | beyond the spread |")
            print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
            for name, values in this.figures.items():
                if name not in known and name in other.figures:
                    print(render(name, values, other.figures[name]))
            print(flush=True)
