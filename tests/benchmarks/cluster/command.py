"""`python -m tests.benchmarks cluster`: its options, and the tables in their order."""

import argparse
import asyncio
from collections.abc import Callable

from ...servers import PostgresServer
from . import engine, fairness
from .plans import take_in
from .servers import migrate

Table = Callable[[argparse.Namespace], None]


def show(*cells: object) -> None:
    """A line of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*names: str) -> None:
    show(*names)
    show(*("---:" for _ in names))


def run_intake(given: argparse.Namespace) -> None:
    """A plan, from its file to its rows in Postgres."""
    with PostgresServer() as server:
        asyncio.run(migrate(server.url))
        taken = take_in(f"{server.url}#intake", given.rows, given.locations)
    head("rows", "locations", "create, s", "most memory, MiB")
    show(f"{given.rows:,}", f"{given.locations:,}", f"{taken.seconds:.1f}", f"{taken.most_mib:.0f}")


def run_engine(given: argparse.Namespace) -> None:
    """Tickets for which nothing is done."""
    one = engine.measure(given.locations)
    head("tickets", "CPU to write one, ms", "CPU to work one off, ms", "CPU of the database, ms", "wall time, ms")
    figures = (one.write, one.work, one.database, one.wall)
    show(f"{given.locations:,}", *(f"{figure:.2f}" for figure in figures))


def run_fairness(given: argparse.Namespace) -> None:
    """In virtual time."""
    others = f"{fairness.OTHERS} locations of {fairness.ROWS} rows, s"
    head("workers", others, f"beside one of {fairness.BIG:,}, s", "ratio")
    for workers, (alone, beside) in fairness.run().items():
        show(workers, f"{alone:.2f}", f"{beside:.2f}", f"{beside / alone:.3f}")


TABLES: dict[str, Table] = {
    "intake": run_intake,
    "engine": run_engine,
    "fairness": run_fairness,
}


def run(arguments: list[str]) -> None:
    """Print the tables that were asked for; all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks cluster")
    parser.add_argument(
        "tables", nargs="*", choices=[[], *TABLES], default=[], metavar="TABLE", help=", ".join(TABLES)
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--locations", type=int, default=5_000)
    given = parser.parse_args(arguments)
    for name in given.tables or TABLES:
        print(f"\n**{name}**\n")
        TABLES[name](given)
