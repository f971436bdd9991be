"""Draws `pages/explanation/window.svg` from two simulations: `python -m docs.draw_window` beside the README.

Above, the slots of a location that allows four requests in ten seconds: each request takes one when it leaves and
frees it ten seconds after its answer; the server counts it somewhere between. Below, how many requests a server
that refuses nothing counts in any ten seconds, if 400 are sent at once by this library and by a leaky bucket.
"""

import asyncio
import random
from bisect import bisect_right
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from msgspec import Struct

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.events import Answered, Event, Sent
from leadconnector_async.sandbox import Limits
from tests.benchmarks.limiters import Build, UseAiolimiter, use_ours
from tests.simulation.virtual import run
from tests.simulation.world import World, heavy_tailed, usual

PICTURE = Path(__file__).parent / "pages/explanation/window.svg"
INTERVAL, SLOTS, LIMIT = 10.0, 4, 100
ENDLESS = Limits(max_requests=10**6, headers=False)
OURS, OTHER, GREY = "#0b6e4f", "#c8553d", "#6b7280"


class Stay(Struct):
    """When a request left, was counted, and was answered."""

    sent_at: float
    counted_at: float
    answered_at: float

    @property
    def free_at(self) -> float:
        """When its slot may be used again."""
        return self.answered_at + INTERVAL


def crawl(dice: random.Random) -> float:
    """A line so slow that one sees it."""
    return 12 * heavy_tailed(dice)


async def simulate_stays() -> list[Stay]:
    """Twelve reads on the slow line, four of them in ten seconds."""
    world = World(ENDLESS, latency=crawl, seed=5)
    client = world.connect(rate_limit=RateLimit(max_requests=SLOTS))
    return await asyncio.gather(
        *(follow(world, client, event_id) for event_id in world.sandbox.appointment_ids[:12])
    )


async def follow(world: World, client: LeadConnector, event_id: str) -> Stay:
    """Read one appointment, and note when its request was where."""
    loop = asyncio.get_running_loop()
    seen: dict[type[Event], float] = {}
    watched = client.with_options(on_event=lambda event: seen.update({type(event): loop.time()}))
    await watched.get_appointment(event_id)
    (counted_at,) = (one.at for one in world.sandbox.requests if one.event_id == event_id)
    return Stay(seen[Sent], counted_at, seen[Answered])


async def simulate_count(build: Build) -> list[float]:
    """When the server counted each of 400 reads that were asked for at once."""
    world = World(ENDLESS, latency=usual)
    call, ids = build(world), world.sandbox.appointment_ids
    await asyncio.gather(*(call(ids[n % len(ids)]) for n in range(400)))
    return [request.at for request in world.sandbox.requests]


def draw_stays(axes: Axes, stays: list[Stay]) -> None:
    """A row for each slot; every request in the one that was free first."""
    free_at = [0.0] * SLOTS
    for stay in sorted(stays, key=lambda one: one.sent_at):
        row = min((at, number) for number, at in enumerate(free_at) if at <= stay.sent_at + 1e-3)[1]
        free_at[row] = stay.free_at
        axes.barh(row, stay.free_at - stay.answered_at, left=stay.answered_at, color=OURS, alpha=0.25, height=0.6)
        axes.barh(row, stay.answered_at - stay.sent_at, left=stay.sent_at, color=OURS, height=0.6)
        axes.plot(stay.counted_at, row, marker="|", color="white", markersize=11, markeredgewidth=2)
    axes.set_yticks(range(SLOTS), [f"slot {number + 1}" for number in range(SLOTS)])
    axes.invert_yaxis()
    axes.set_title(
        "A slot: under way (dark; white: counted by the server), then taken for ten more seconds", loc="left"
    )


def draw_count(axes: Axes, counted: list[float], name: str, color: str) -> None:
    """A curve: how many of them fell into the ten seconds before each moment."""
    counted = sorted(counted)
    moments = [step / 20 for step in range(42 * 20)]
    held = [bisect_right(counted, now) - bisect_right(counted, now - INTERVAL) for now in moments]
    axes.plot(moments, held, color=color, label=f"{name}: {max(held)} at most")


def main() -> None:
    """Simulate, draw and write the picture."""
    mpl.rcParams.update({"svg.hashsalt": "window", "font.size": 9, "axes.titlesize": 9, "svg.fonttype": "none"})
    figure, (above, below) = plt.subplots(2, 1, figsize=(8.4, 5.6), sharex=True, layout="constrained")
    draw_stays(above, run(simulate_stays()))
    draw_count(below, run(simulate_count(use_ours)), "this library", OURS)
    draw_count(below, run(simulate_count(UseAiolimiter)), f"leaky bucket of {LIMIT}", OTHER)
    below.axhline(LIMIT, color=GREY, linestyle=":", linewidth=1)
    below.set_title(f"Requests that the server counts in any ten seconds, where {LIMIT} are allowed", loc="left")
    below.set_ylim(0)
    below.legend(frameon=False, loc="lower right")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, 42)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
