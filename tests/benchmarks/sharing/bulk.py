"""Bulk calls of several processes at once, by window model and store."""

from msgspec import Struct

from .callers import ALONE, NEED_NO_STORE, OURS, PEERS, Setting
from .rows import CALLS, Bench, print_head, print_row
from .worker import Task

PROCESSES = (4, 16)
COLUMNS = ("client", "store", "processes", "window", "429s", "finish / bound", "exchanges per call")


class Measured(Struct, frozen=True):
    """One row."""

    refused: int
    of_bound: float
    exchanges: float

    def render(self) -> tuple[str, ...]:
        return str(self.refused), f"{self.of_bound:.2f}", f"{self.exchanges:.2f}"


def split(calls: int, processes: int) -> list[int]:
    """As evenly as it goes."""
    return [calls // processes + (number < calls % processes) for number in range(processes)]


def measure(bench: Bench, caller: str, store: str | None, processes: int, model: str) -> Measured:
    """All calls at once, spread over the processes."""
    place = bench.take_place(model)  # type: ignore[arg-type]
    setting = Setting(caller, place, None if store is None else bench.get_url(store), processes)
    run = bench.crew.begin([Task(setting, calls=calls) for calls in split(CALLS, processes)])
    outcomes = run.collect()
    done = [at for one in outcomes for at in one.done]
    if len(done) != CALLS:
        raise RuntimeError(next(failure for one in outcomes for failure in one.failures))
    refused = bench.server.count(place).refused
    exchanges = sum(one.exchanges for one in outcomes) / CALLS
    return Measured(refused, (max(done) - run.begin) / bench.bound, exchanges)


def run_ours(bench: Bench) -> None:
    """Every store, with few and with many processes."""
    print_head(f"{CALLS} bulk calls, 100 in {bench.interval:g} s", *COLUMNS)
    for store in bench.names:
        for processes in PROCESSES:
            for model in bench.models:
                cells = measure(bench, OURS, store, processes, model).render()
                print_row(OURS, store, processes, model, *cells)


def run_peers(bench: Bench) -> None:
    """The other libraries, on Valkey; and this one with nothing shared."""
    print_head(f"The same, beside others: {CALLS} calls, 100 in {bench.interval:g} s", *COLUMNS)
    for caller in (ALONE, *PEERS):
        store = None if caller in NEED_NO_STORE else "valkey"
        for model in bench.models:
            print_row(caller, store or "none", 4, model, *measure(bench, caller, store, 4, model).render())
