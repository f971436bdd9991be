"""Draws `pages/explanation/window.svg` from two simulations: `python -m docs.draw_window` beside the README.

Above, the slots of a location that allows four requests in ten seconds: each request takes a slot when it is sent
and frees it ten seconds after its response; the server counts it in between. Below, how many requests a server
without a limit counts in any ten seconds, if 400 are sent at once by this library and by a leaky bucket.
"""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.events import Event, RequestSent, ResponseReceived
from leadconnector_async.sandbox import Limits
from tests.benchmarks.limiters import Build, UseAiolimiter, use_ours
from tests.simulation.virtual import run
from tests.simulation.world import World, heavy_tailed, usual

PICTURE = Path(__file__).parent / "pages/explanation/window.svg"
INTERVAL, SLOTS, LIMIT = 10.0, 4, 100
ENDLESS = Limits(max_requests=10**6, headers=False)
SECONDS, LEFT, RIGHT = 42, 48, 630
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2933; }
.end { text-anchor: end; } .middle { text-anchor: middle; } .name { font-weight: 600; }
.ours { fill: #0b6e4f; } .taken { fill: #0b6e4f; opacity: 0.25; } .counted { fill: #fff; } .other { fill: #c8553d; }
polyline { stroke-width: 1.6; fill: none !important; }
polyline.ours { stroke: #0b6e4f; } polyline.other { stroke: #c8553d; }
.axis { stroke: #1f2933; } .limit { stroke: #6b7280; stroke-dasharray: 1 3; }
"""


class Stay(Struct):
    """When a request was sent, counted and responded to."""

    sent_at: float
    counted_at: float
    response_at: float

    @property
    def free_at(self) -> float:
        """When its slot may be used again."""
        return self.response_at + INTERVAL


def crawl(dice: random.Random) -> float:
    """A latency so long that it shows in the picture."""
    return 12 * heavy_tailed(dice)


async def simulate_stays() -> list[Stay]:
    """Twelve slow reads, at most four of them in ten seconds."""
    world = World(ENDLESS, latency=crawl, seed=5)
    client = world.connect(rate_limit=RateLimit(max_requests=SLOTS))
    return await asyncio.gather(
        *(follow(world, client, event_id) for event_id in world.sandbox.appointment_ids[:12])
    )


async def follow(world: World, client: LeadConnector, event_id: str) -> Stay:
    """Read one appointment, and record when its request was where."""
    loop = asyncio.get_running_loop()
    seen: dict[type[Event], float] = {}
    watched = client.with_options(on_event=lambda event: seen.update({type(event): loop.time()}))
    await watched.get_appointment(event_id)
    (counted_at,) = (one.at for one in world.sandbox.requests if one.event_id == event_id)
    return Stay(seen[RequestSent], counted_at, seen[ResponseReceived])


async def simulate_count(build: Build) -> list[float]:
    """When the server counted each of 400 simultaneous reads."""
    world = World(ENDLESS, latency=usual)
    call, ids = build(world), world.sandbox.appointment_ids
    await asyncio.gather(*(call(ids[n % len(ids)]) for n in range(400)))
    return [request.at for request in world.sandbox.requests]


def place(seconds: float) -> float:
    """Where a moment is drawn, from left to right."""
    return round(LEFT + seconds / SECONDS * (RIGHT - LEFT), 1)


def level(count: float) -> float:
    """Where a count is drawn, from top to bottom."""
    return 370 - 0.75 * count


def write(x: float, y: float, text: str, kind: str = "start") -> str:
    """A text."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{text}</text>'


def draw_bar(kind: str, begin: float, end: float, y: float, height: float) -> str:
    """A stretch of time."""
    left, right = place(begin), place(end)
    return f'<rect class="{kind}" x="{left:g}" y="{y:g}" width="{right - left:.1f}" height="{height:g}"/>'


def draw_stays(stays: list[Stay]) -> Iterator[str]:
    """A row for each slot; every request in the one that was free first."""
    yield write(LEFT, 16, "A slot: in flight (dark; white: counted by the server), then taken for ten more seconds")
    free_at = [0.0] * SLOTS
    for stay in sorted(stays, key=lambda one: one.sent_at):
        row = min((at, number) for number, at in enumerate(free_at) if at <= stay.sent_at + 1e-3)[1]
        free_at[row] = stay.free_at
        y = 28 + 36 * row
        yield draw_bar("taken", stay.response_at, stay.free_at, y, 24)
        yield draw_bar("ours", stay.sent_at, stay.response_at, y, 24)
        yield draw_bar("counted", stay.counted_at - 0.07, stay.counted_at + 0.07, y + 6, 12)
    for row in range(SLOTS):
        yield write(LEFT - 6, 44 + 36 * row, f"slot {row + 1}", "end")


def draw_counts(curves: dict[str, tuple[str, list[float]]]) -> Iterator[str]:
    """For each, how many requests fell into the ten seconds before each moment."""
    yield write(LEFT, 200, f"Requests that the server counts in any ten seconds, where {LIMIT} are allowed")
    for count in range(0, 201, 50):
        yield write(LEFT - 6, level(count) + 4, str(count), "end")
    for kind, count in (("axis", 0), ("limit", LIMIT)):
        yield f'<line class="{kind}" x1="{LEFT}" y1="{level(count):g}" x2="{RIGHT}" y2="{level(count):g}"/>'
    for y, (kind, (name, times)) in zip((344, 361), curves.items(), strict=True):
        counted = sorted(times)
        moments = [step / 20 for step in range(SECONDS * 20)]
        held = [bisect_right(counted, now) - bisect_right(counted, now - INTERVAL) for now in moments]
        points = " ".join(f"{place(now):g},{level(count):g}" for now, count in zip(moments, held, strict=True))
        yield f'<polyline class="{kind}" points="{points}"/>'
        yield write(place(12), y, f"{name}: {max(held)} at most", f"name {kind}")
    for second in range(0, SECONDS, 5):
        yield write(place(second), 388, str(second), "middle")
    yield write((LEFT + RIGHT) / 2, 406, "seconds", "middle")


def main() -> None:
    """Simulate, draw and write the picture."""
    curves = {
        "ours": ("this library", run(simulate_count(use_ours))),
        "other": (f"leaky bucket of {LIMIT}", run(simulate_count(UseAiolimiter))),
    }
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 414" width="640" height="414">',
        f'<style>{STYLE}</style>\n<rect class="counted" width="640" height="414"/>',
        *draw_stays(run(simulate_stays())),
        *draw_counts(curves),
        "</svg>\n",
    ]
    PICTURE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
