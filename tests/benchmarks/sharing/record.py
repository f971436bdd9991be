"""Records the run that `docs/draw_lease.py` draws: a front desk and three jobs, one killed, and a lost store."""

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from .callers import OURS, Setting
from .counting import Arrival
from .rows import MOST, Bench
from .worker import Task

RECORDED = Path(__file__).parents[3] / "docs/recorded_run.json"
NAMES = ("front desk", "job 1", "job 2", "job 3")
SECONDS = 30.0
KILLED_AT, LOST_AT, BACK_AT = 7.3, 14.0, 19.0
STORE = "valkey"


class Recorded(Struct):
    """A run as the server saw it; moments in seconds from its beginning."""

    max_requests: int
    interval: float
    seconds: float
    killed_at: float
    lost_at: float
    back_at: float
    admitted: dict[str, list[float]]
    """By the process that sent them."""
    refused: list[float]


def run(bench: Bench) -> None:
    """The third job is killed; later the store is killed too, and started again, empty."""
    place, server = bench.take_place("sliding"), bench.get_server(STORE)
    tasks = [
        Task(
            Setting(
                OURS, structs.replace(place, event_ids=(event_id,)), server.url, len(NAMES), bulk=name != NAMES[0]
            ),
            seconds=SECONDS,
            lanes=1 if name == NAMES[0] else MOST,
            every=bench.interval / 10 if name == NAMES[0] else 0.0,
        )
        for name, event_id in zip(NAMES, place.event_ids, strict=False)
    ]
    run = bench.crew.begin(tasks)
    run.wait_until(KILLED_AT)
    run.processes[-1].kill()
    killed_at = time.monotonic()
    run.wait_until(LOST_AT)
    server.kill()
    lost_at = time.monotonic()
    run.wait_until(BACK_AT)
    server.start()
    back_at = time.monotonic()
    run.collect()
    arrivals = bench.server.count(place).arrivals
    recorded = Recorded(
        max_requests=MOST,
        interval=bench.interval,
        seconds=SECONDS,
        killed_at=round(killed_at - run.begin, 2),
        lost_at=round(lost_at - run.begin, 2),
        back_at=round(back_at - run.begin, 2),
        admitted={
            name: _list_moments(arrivals, run.begin, 200, event_id)
            for name, event_id in zip(NAMES, place.event_ids, strict=False)
        },
        refused=[at for event_id in place.event_ids for at in _list_moments(arrivals, run.begin, 429, event_id)],
    )
    RECORDED.write_bytes(msgspec.json.format(msgspec.json.encode(recorded), indent=0) + b"\n")
    print(f"{RECORDED.name}: {len(arrivals)} requests, {len(recorded.refused)} of them refused")


def _list_moments(arrivals: Iterable[Arrival], begin: float, status: int, event_id: str) -> list[float]:
    return [round(one.at - begin, 3) for one in arrivals if (one.status, one.event_id) == (status, event_id)]
