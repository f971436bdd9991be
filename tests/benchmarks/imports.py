"""The time to import the package, beside its dependencies, each in a fresh interpreter."""

import statistics
import subprocess
import sys

ROUNDS = 15
STATEMENTS = {
    "leadconnector_async": "import leadconnector_async",
    "aiohttp": "import aiohttp",
    "aiohttp, tenacity, msgspec, dateutil": "import aiohttp, tenacity, msgspec, dateutil.rrule",
    "vendor's SDK": "import highlevel",
}


def measure(statement: str) -> float:
    """Milliseconds of CPU that the import takes inside a fresh interpreter."""
    code = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
    return float(done.stdout) * 1000


def run() -> None:
    figures: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for statement in STATEMENTS.values():
        measure(statement)
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            figures[name].append(measure(statement))
    print("| import | ms (median) | of aiohttp |\n| --- | ---: | ---: |")
    for name, values in figures.items():
        ratio = statistics.median(one / base for one, base in zip(values, figures["aiohttp"], strict=True))
        print(f"| {name} | {statistics.median(values):.0f} | {ratio:.2f} |")
