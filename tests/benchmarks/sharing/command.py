"""`python -m tests.benchmarks sharing`: its options, and the tables in their order."""

import argparse
from collections.abc import Callable

from . import bulk, faults, quota, record, web
from .rows import MODELS, STORES, Bench, open_bench

ROWS: dict[str, Callable[[Bench], None]] = {
    "bulk": bulk.run_ours,
    "peers": bulk.run_peers,
    "holders": faults.run_holders,
    "outages": faults.run_outages,
    "quota": quota.run,
    "web": web.run,
}
ALL = {**ROWS, "record": record.run}
"""The last one only when it is asked for."""


def run(arguments: list[str]) -> None:
    """Print the tables that were asked for; all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks sharing")
    parser.add_argument("rows", nargs="*", choices=[[], *ALL], default=[], metavar="ROW", help=", ".join(ALL))
    parser.add_argument("--interval", type=float, default=2.0, help="length of the window in seconds: 2 or 10")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    options = parser.parse_args(arguments)
    with open_bench(options.interval, tuple(options.models), tuple(options.stores)) as bench:
        for name in options.rows or ROWS:
            ALL[name](bench)
