"""Which pictures a report shows, and what is said below each.

Rule: a picture that would say nothing is left out: one that has no rows, or a single one.

Knows the drawings. Must not know the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from .days import Days
from .drawing import (
    choose_rate,
    draw_days,
    draw_latencies,
    draw_places,
    draw_throughput,
    name_picture,
    render_day,
    render_seconds,
)
from .figures import LEAST_ANSWERS, MOST_LOCATIONS, Latencies, Place, Throughput
from .page import build_picture


def show_throughput(found: Throughput | None) -> Iterator[str]:
    """How fast rows ended."""
    if found is None or len(found.counts) < 2:
        return
    words, rates = choose_rate(found)
    rows = sum(found.counts)
    said = [f"{rows:,} rows in {_render_length(found.edges[-1])} of running, at most {max(rates):,.1f} {words}."]
    if len(found.stretches) > 1:
        later = ", ".join(_render_moment(at) for _, at in found.stretches[1:])
        said.append(f"Dotted lines: it went on at {later} UTC; the time between is left out.")
    keys = {"good": "rows that ended"}
    if any(found.paused):
        keys["doubt"] = "pauses after a server's limit"
        said.append("The darker the shade, the longer, and the more locations, paused.")
    picture = name_picture(draw_throughput(found), f"Rows over time: {said[0]}")
    yield build_picture("Rows over time", picture, " ".join(said), keys)


def show_latencies(found: Latencies | None) -> Iterator[str]:
    """How long answers took."""
    if found is None or sum(found.counts) < LEAST_ANSWERS:
        return
    within = ", ".join(f"{percent} % within {render_seconds(seconds)}" for percent, seconds in found.percentiles)
    words = f"Dotted lines: {within}. The slowest took {render_seconds(found.slowest)}."
    yield build_picture("Answers", name_picture(draw_latencies(found), f"How long answers took: {words}"), words)


def show_places(places: Sequence[Place]) -> Iterator[str]:
    """What became of the rows of the largest locations."""
    if len(places) < 2:
        return
    shown = places[:MOST_LOCATIONS]
    keys = {
        colour: words
        for colour, words, count in (
            ("good", "as planned", sum(place.as_planned for place in shown)),
            ("bad", "not changed", sum(place.not_changed for place in shown)),
            ("doubt", "unknown", sum(place.unknown for place in shown)),
            ("quiet", "still to go", sum(place.left for place in shown)),
        )
        if count
    }
    which = (
        "All locations" if len(shown) == len(places) else f"The {len(shown)} largest of {len(places):,} locations"
    )
    words = f"{which}. Small parts are drawn wider, so that they can be seen."
    picture = name_picture(draw_places(shown), f"Rows of each location, as in the table below. {which}.")
    yield build_picture("Locations", picture, words, keys)


def show_days(found: Days | None) -> Iterator[str]:
    """Where appointments were and are."""
    if found is None:
        return
    first, last = (f"{render_day(day, 'day')} {day.year}" for day in (found.begins[0], found.begins[-1]))
    span = f"on {first}" if first == last else f"from {first} to {last}"
    count = sum(found.before)
    words = (
        f"{count:,} appointment{'' if count == 1 else 's'} {span}, by the clock that the server shows; "
        "those that were not changed stand where they were."
    )
    title = f"Appointments by {found.step}, before and after"
    picture = name_picture(draw_days(found), f"{title}: {words}")
    yield build_picture(title, picture, words, {"quiet": "before", "good": "after"})


def _render_length(seconds: float) -> str:
    if seconds < 60:
        return render_seconds(seconds)
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def _render_moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
