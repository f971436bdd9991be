"""Processes that are killed or frozen, stores that are lost, and one process that is cut off from its store."""

import random
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from msgspec import Struct

from ...simulation.windows import Algorithm
from .callers import OURS, Setting
from .counting import Count
from .crew import Run
from .proxy import Proxy
from .rows import HOLD, MOST, RESERVE, Bench, print_head, print_row
from .stores import prepare
from .worker import Outcome, Task

PROCESSES = 4
WINDOWS_BEFORE, WINDOWS_AFTER = 4, 10
"""For which a process runs before it is disturbed, and after."""
FROZEN_FOR = 6.0
DOWN_FOR = 5.0
CUT_OFF_FOR = 20.0
DISTURBED_AT = 15.0
OUTAGE_SECONDS = 60.0
SERVED: tuple[str, ...] = ("postgres", "valkey")
"""Stores that can be lost: a file cannot."""
ENOUGH = 0.95
STEPS = 100

Disturb = Callable[[Run, float], None]


class Ended(Struct):
    """What came of a run."""

    begin: float
    count: Count
    outcomes: list[Outcome]
    disturbed_at: float

    @property
    def failures(self) -> int:
        return sum(len(one.failures) for one in self.outcomes)


def run_endless(
    bench: Bench, urls: Sequence[str], model: Algorithm, seconds: float, disturb: Callable[[Run], float]
) -> Ended:
    """Bulk calls for a while in a process for each address; `disturb` returns the moment at which it did."""
    place = bench.take_place(model)
    settings = [Setting(OURS, place, url, len(urls)) for url in urls]
    run = bench.crew.begin([Task(one, seconds=seconds, lanes=MOST) for one in settings])
    disturbed_at = disturb(run)
    outcomes = run.collect()
    return Ended(run.begin, bench.server.count(place), outcomes, disturbed_at)


def find_return(admitted: Iterable[float], since: float, interval: float) -> float | None:
    """Seconds from a moment until the server sees a full window again; `None` if it lacked none after that.

    Bursts follow each other at an interval and a round trip: a window is as long as the last ones before that took.
    """
    times, step, full = sorted(admitted), interval / STEPS, MOST - RESERVE
    took = [end - at for at, end in zip(times, times[full:], strict=False) if end < since]
    window = max(interval, median(took[-2 * full :]))
    moments = [since + number * step for number in range(int((times[-1] - since) / step))]
    held = [bisect_right(times, at) - bisect_right(times, at - window) for at in moments]
    lacking = (n for n in range(STEPS, len(held)) if max(held[n - STEPS : n]) < ENOUGH * full)
    first = next(lacking, None)
    if first is None:
        return None
    return next((moments[n] - since for n in range(first, len(held)) if held[n] >= ENOUGH * full), float("inf"))


def kill_one(run: Run, interval: float) -> float:
    """At a random moment of a window."""
    run.wait_until((WINDOWS_BEFORE + random.random()) * interval)
    run.processes[-1].kill()
    return time.monotonic()


def freeze_one(run: Run, interval: float) -> float:
    """At a random moment of a window. Its share is kept for it meanwhile: it may be cut off, and use it."""
    run.wait_until((WINDOWS_BEFORE + random.random()) * interval)
    run.processes[-1].freeze()
    time.sleep(FROZEN_FOR)
    run.processes[-1].thaw()
    return time.monotonic()


HOLDERS: dict[str, Callable[[Run, float], float]] = {
    "kill -9": kill_one,
    f"SIGSTOP for {FROZEN_FOR:g} s": freeze_one,
}


def run_holders(bench: Bench) -> None:
    """One of the processes is killed; one is frozen and continued."""
    columns = ("one process", "store", "window", "429s", "calls failed", "its share is back after", "hold + T")
    print_head(f"One of {PROCESSES} processes is disturbed", *columns)
    for name, disturb in HOLDERS.items():
        for store in bench.names:
            urls = [bench.get_url(store)] * PROCESSES
            for model in bench.models:
                _print_holder(bench, name, store, urls, model, disturb)


def _print_holder(
    bench: Bench,
    name: str,
    store: str,
    urls: Sequence[str],
    model: Algorithm,
    disturb: Callable[[Run, float], float],
) -> None:
    seconds = (WINDOWS_BEFORE + WINDOWS_AFTER) * bench.interval
    ended = run_endless(bench, urls, model, seconds, lambda run: disturb(run, bench.interval))
    back = find_return(ended.count.admitted, ended.disturbed_at, bench.interval)
    shown = "at once" if back is None else f"{back:.1f} s"
    print_row(name, store, model, ended.count.refused, ended.failures, shown, f"{HOLD + bench.interval:g} s")


def run_outages(bench: Bench) -> None:
    """The store is down, forgets everything, or cannot be reached by one process."""
    columns = ("the store", "store", "window", "429s", "calls failed", "calls in a minute", "of the undisturbed")
    print_head(f"{PROCESSES} processes for {OUTAGE_SECONDS:g} s", *columns)
    for store in bench.names:
        if store in SERVED:
            for model in bench.models:
                _run_outages_of(bench, store, model)


def _run_outages_of(bench: Bench, store: str, model: Algorithm) -> None:
    undisturbed = 0
    for name, disturb in OUTAGES.items():
        with Proxy(bench.get_server(store).port) as proxy:
            cut_off = bench.get_server(store).build_url(proxy.port)
            urls = [*[bench.get_url(store)] * (PROCESSES - 1), cut_off]
            ended = run_endless(bench, urls, model, OUTAGE_SECONDS, Outage(bench, store, proxy, disturb))
        sent = sum(at <= ended.begin + OUTAGE_SECONDS for at in ended.count.admitted)
        undisturbed = undisturbed or sent
        print_row(
            name, store, model, ended.count.refused, ended.failures, sent, f"{100 * sent / undisturbed:.0f} %"
        )


class Outage(Struct):
    """What happens to a store during a run."""

    bench: Bench
    store: str
    proxy: Proxy
    happen: Callable[["Outage"], None]

    def __call__(self, run: Run) -> float:
        run.wait_until(DISTURBED_AT)
        began = time.monotonic()
        self.happen(self)
        return began

    def go_down(self) -> None:
        """A Postgres server remembers, one of Valkey does not."""
        server = self.bench.get_server(self.store)
        server.kill()
        time.sleep(DOWN_FOR)
        server.start()

    def forget(self) -> None:
        """Down as long, and then there is nothing but empty tables."""
        server = self.bench.get_server(self.store)
        server.kill()
        server.forget()
        time.sleep(DOWN_FOR)
        server.start()
        prepare(server.url)

    def cut_one_off(self) -> None:
        """The other processes do not notice."""
        self.proxy.cut()
        time.sleep(CUT_OFF_FOR)
        self.proxy.mend()

    def do_nothing(self) -> None:
        """For comparison."""


OUTAGES: dict[str, Callable[[Outage], None]] = {
    "undisturbed": Outage.do_nothing,
    f"down for {DOWN_FOR:g} s": Outage.go_down,
    f"down for {DOWN_FOR:g} s, restarted empty": Outage.forget,
    f"out of reach of one process for {CUT_OFF_FOR:g} s": Outage.cut_one_off,
}
