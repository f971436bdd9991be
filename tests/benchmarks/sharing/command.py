"""`python -m tests.benchmarks sharing`: its options, and the tables in their order."""

import argparse
from collections.abc import Callable

from . import bulk, faults, web
from .rows import MODELS, STORES, Bench, open_bench

ROWS: dict[str, Callable[[Bench], None]] = {
    "bulk": bulk.run_ours,
    "peers": bulk.run_peers,
    "holders": faults.run_holders,
    "outages": faults.run_outages,
    "web": web.run,
}


def run(arguments: list[str]) -> None:
    """Print the tables that were asked for; all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks sharing")
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], default=[], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--interval", type=float, default=2.0, help="length of the window in seconds: 2 or 10")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    options = parser.parse_args(arguments)
    with open_bench(options.interval, tuple(options.models), tuple(options.stores)) as bench:
        for name in options.rows or ROWS:
            ROWS[name](bench)
