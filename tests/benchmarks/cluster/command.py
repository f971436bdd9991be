"""`python -m tests.benchmarks cluster`: its options, the tables in their order, and what was asked of them."""

import argparse
import asyncio
import statistics
from collections.abc import Callable

from msgspec import Struct

from ...servers import PostgresServer
from . import cpu, crew, engine, fairness, paper
from . import statements as counted
from .plans import take_in
from .servers import migrate, read_database_cpu

MOST_BIG = 100_000
TICKETS_PER_LOCATION = 2
"""One to prepare it, one to run it."""


class Asked(Struct):
    """What a figure should be at most."""

    what: str
    most: float
    found: float
    form: str = "{:.2f}"


class Report(Struct):
    """What the tables have shown."""

    given: argparse.Namespace
    asked: list[Asked] = []
    carried: crew.Carried | None = None
    """By one worker."""
    sent: counted.Sent | None = None


Table = Callable[[Report], None]


def show(*cells: object) -> None:
    """A line of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*names: str) -> None:
    show(*names)
    show(*("---:" for _ in names))


def run_intake(report: Report) -> None:
    """A plan, from its file to its rows in Postgres."""
    rows, locations = report.given.rows, report.given.locations
    with PostgresServer() as server:
        asyncio.run(migrate(server.url))
        before = read_database_cpu(server)
        taken = take_in(f"{server.url}#intake", rows, locations)
        database = read_database_cpu(server) - before
    head("rows", "locations", "create, s", "CPU of the process, s", "of the database, s", "most memory, MiB")
    times = (taken.seconds, taken.cpu, database)
    show(f"{rows:,}", f"{locations:,}", *(f"{one:.1f}" for one in times), f"{taken.most_mib:.0f}")
    spent = (taken.cpu + database) * 1e6 / rows
    report.asked.append(Asked("CPU to take a million rows in, the database's included, s", 60, spent, "{:.1f}"))


def run_cpu(report: Report) -> None:
    """The same job in a folder and in Postgres, in turn."""
    found = cpu.run(report.given.carried // 4, report.given.rounds)
    head("journal", "CPU of the process, us per row", "of the database", "of SQLite's", "with the database")
    for name, rounds in found.items():
        pairs = list(zip(rounds, found[cpu.FOLDER], strict=True))
        own = statistics.median(one.process / other.process for one, other in pairs)
        both = statistics.median((one.process + one.database) / other.process for one, other in pairs)
        process, database = (
            statistics.median(getattr(one, of) for one in rounds) for of in ("process", "database")
        )
        show(name, f"{process:.0f}", f"{database:.0f}", f"{own:.2f}", f"{both:.2f}")
    report.asked.append(Asked("CPU per row of a process, of SQLite's", 1.3, own))


def run_workers(report: Report) -> None:
    """Whole jobs, prepared and run, with the limits out of the way."""
    given = report.given
    found = crew.measure(given.carried, given.carried // given.per_location, given.rounds)
    alone = crew.measure_machine(1)
    names = ("rows/s", "CPU, us per row", "of one worker's", "of one process of the machine", "of the database")
    head("workers", *names, "memory of one, MiB")
    for workers, rounds in found.items():
        ratio = statistics.median(one.cost / other.cost for one, other in zip(rounds, found[1], strict=True))
        middle = sorted(rounds, key=lambda one: one.cost)[len(rounds) // 2]
        database = middle.database_cpu / middle.rows * 1e6
        most = max(one.most_mib for one in rounds)
        pace = statistics.median(one.rows / one.seconds for one in rounds)
        machine = f"{crew.measure_machine(workers) / alone:.2f}"
        costs = (f"{middle.cost:.0f}", f"{ratio:.2f}", machine, f"{database:.0f}")
        show(workers, f"{pace:.0f}", *costs, f"{most:.0f}")
        if workers > 1:
            report.asked.append(Asked(f"CPU per row of {workers} workers, of one's", 1.05, ratio))
    report.carried = sorted(found[1], key=lambda one: one.cost)[len(found[1]) // 2]
    most = max(one.most_mib for rounds in found.values() for one in rounds)
    report.asked.append(Asked("memory of a worker, MiB", 150, most, "{:.0f}"))


def run_engine(report: Report) -> None:
    """Tickets for which nothing is done."""
    given = report.given
    tickets = given.carried // given.per_location * TICKETS_PER_LOCATION
    one = engine.measure(tickets)
    head("tickets", "CPU to write one, ms", "CPU to work one off, ms", "CPU of the database, ms", "wall time, ms")
    figures = (one.write, one.work, one.database, one.wall)
    show(f"{tickets:,}", *(f"{figure:.2f}" for figure in figures))
    if report.carried is not None:
        whole = (report.carried.cpu + report.carried.database_cpu) / report.carried.rows * given.per_location
        spent = TICKETS_PER_LOCATION * (one.write + one.work + one.database) / 1e3
        report.asked.append(Asked("the engine's share of the CPU of a job, %", 2, spent / whole * 100))


def run_statements(report: Report) -> None:
    """By what they are for."""
    given = report.given
    report.sent = sent = counted.measure(given.carried // 2, given.carried // 2 // given.per_location)
    kinds = sorted(sent.per_row)
    head(*(f"{kind}, per row" for kind in kinds), "an idle worker, per second")
    show(*(f"{sent.per_row[kind]:.2f}" for kind in kinds), f"{sent.idle:.0f}")


def run_paper(report: Report) -> None:
    """Computed from the tables before."""
    if report.carried is None or report.sent is None:
        print("(needs the tables `workers` and `statements`)")
        return
    one = report.carried
    sent = sum(report.sent.per_row.values())
    needs = paper.compute(paper.Costs(one.cpu / one.rows, one.database_cpu / one.rows, sent, report.sent.idle))
    head("workers", "rows/s", "cores of the workers", "cores of the database", "statements/s", "connections")
    cores = (f"{needs.worker_cores:.0f}", f"{needs.database_cores:.0f}")
    show(paper.WORKERS, f"{needs.rows:,.0f}", *cores, f"{needs.statements:,.0f}", needs.connections)


def run_fairness(report: Report) -> None:
    """In virtual time."""
    big = min(report.given.rows, MOST_BIG)
    others = f"{fairness.OTHERS} locations of {fairness.ROWS} rows, s"
    head("workers", others, f"beside one of {big:,}, s", "ratio")
    for workers, (alone, beside) in fairness.run(big).items():
        show(workers, f"{alone:.2f}", f"{beside:.2f}", f"{beside / alone:.3f}")
        report.asked.append(Asked(f"small locations beside a large one, {workers} workers", 1.1, beside / alone))


TABLES: dict[str, Table] = {
    "intake": run_intake,
    "cpu": run_cpu,
    "workers": run_workers,
    "engine": run_engine,
    "statements": run_statements,
    "paper": run_paper,
    "fairness": run_fairness,
}


def run(arguments: list[str]) -> None:
    """Print the tables that were asked for; all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks cluster")
    parser.add_argument(
        "tables", nargs="*", choices=[[], *TABLES], default=[], metavar="TABLE", help=", ".join(TABLES)
    )
    parser.add_argument("--rows", type=int, default=100_000, help="of the plan that is taken in")
    parser.add_argument("--locations", type=int, default=500, help="of that plan")
    parser.add_argument("--carried", type=int, default=10_000, help="rows of each job that is carried out")
    parser.add_argument("--per-location", type=int, default=200, help="rows of each location of these")
    parser.add_argument("--rounds", type=int, default=3, help="of `cpu` and `workers`")
    report = Report(parser.parse_args(arguments))
    for name in report.given.tables or TABLES:
        print(f"\n**{name}**\n")
        TABLES[name](report)
    print("\n**asked**\n")
    head("figure", "at most", "found")
    for one in report.asked:
        show(one.what, f"{one.most:g}", one.form.format(one.found))
