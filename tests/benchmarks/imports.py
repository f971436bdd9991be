"""The time to import the package as it is installed, beside its dependencies, each in a fresh interpreter.

An editable install would be compiled again at every import wherever bytecode is not written.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from operator import truediv
from pathlib import Path

ROUNDS = 31
ROOT = Path(__file__).parents[2]
OURS, DEPENDENCIES = "leadconnector_async", "aiohttp, tenacity, msgspec, dateutil"
STATEMENTS = {
    OURS: "import leadconnector_async",
    f"{OURS}, and a first client": "import leadconnector_async; leadconnector_async.LeadConnector('token')",
    "aiohttp": "import aiohttp",
    DEPENDENCIES: "import aiohttp, tenacity, msgspec, dateutil.rrule",
    "vendor's SDK": "import highlevel",
}


@contextmanager
def install(root: Path = ROOT) -> Iterator[Path]:
    """A folder with the package in it, from a wheel, its bytecode included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--compile", "--target", folder]
        subprocess.run([*command, str(root)], check=True)  # noqa: S603
        yield Path(folder)


def measure(statement: str, installed: Path) -> float:
    """Milliseconds of CPU that the import takes inside a fresh interpreter."""
    code = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=installed,
        env={**kept, "PYTHONPATH": str(installed)},
    )
    return float(done.stdout) * 1000


def run() -> None:
    """Print the table."""
    figures: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    with install() as installed:
        for statement in STATEMENTS.values():
            measure(statement, installed)
        for _ in range(ROUNDS):
            for name, statement in STATEMENTS.items():
                figures[name].append(measure(statement, installed))
    print("| import | ms (median) | of aiohttp | of the four dependencies |\n| --- | ---: | ---: | ---: |")
    for name, values in figures.items():
        ratios = [compare(values, figures[base]) for base in ("aiohttp", DEPENDENCIES)]
        print(f"| {name} | {statistics.median(values):.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


def compare(some: list[float], others: list[float]) -> float:
    """The median of each round's ratio."""
    return statistics.median(map(truediv, some, others))
