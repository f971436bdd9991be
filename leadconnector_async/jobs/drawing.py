"""The pictures of a report, by matplotlib, as SVG that stands in a page by itself.

Rule: a picture is drawn from figures that were counted already, and draws nothing that it was not given. Its
colours are variables of the page, its letters are the page's own, and it refers to nothing.

Needs matplotlib (extra `cli`), imported on first use: it is large. Must not know the journal.
"""

# pyright: basic
# mypy: disallow-untyped-calls=False
# (matplotlib's own types are partial)

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from .days import Days
from .figures import Latencies, Place, Throughput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = {
    "ink": "#22303c",
    "soft": "#5b6b7c",
    "line": "#d9dfe5",
    "good": "#2a7ab9",
    "bad": "#c0392b",
    "doubt": "#d08a1d",
    "quiet": "#b8c2cc",
}
"""By their names in the page; of the light scheme."""
_WIDTH: Final = 4.2
_HEIGHT: Final = 2.5
_LONGEST_NAME: Final = 30
_MOST_TICKS: Final = 5
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS: Final = (("seconds", 1.0, 180.0), ("minutes", 60.0, 10_800.0), ("hours", 3600.0, 259_200.0))
_SETTINGS: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": COLOURS["soft"],
    "axes.labelcolor": COLOURS["soft"],
    "axes.titlecolor": COLOURS["soft"],
    "xtick.color": COLOURS["soft"],
    "ytick.color": COLOURS["soft"],
    "text.color": COLOURS["ink"],
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.8,
}
_UNWANTED: Final = re.compile(
    r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>| xmlns(?::\w+)?=\"[^\"]*\"", re.DOTALL
)
_SIZE: Final = re.compile(r' (?:width|height|version)="[^"]*"')


def draw_throughput(found: Throughput) -> str:
    """Rows that ended, over the time that the job ran; pauses are shaded."""
    unit, size = next(((name, size) for name, size, most in _UNITS if found.edges[-1] <= most), ("days", 86_400.0))
    edges = [edge / size for edge in found.edges]
    words, rates = choose_rate(found)

    def draw(axes: Axes) -> None:
        for left, right, share in zip(edges, edges[1:], found.paused, strict=False):
            if share > 0:
                axes.axvspan(left, right, color=COLOURS["doubt"], alpha=0.12 + 0.33 * share, linewidth=0)
        axes.stairs(rates, edges, fill=True, color=COLOURS["good"])
        for begin, _ in found.stretches[1:]:
            axes.axvline(begin / size, color=COLOURS["ink"], linestyle=(0, (2, 2)), linewidth=0.9)
        axes.set_title(f"rows {words}", loc="left")
        axes.set_xlabel(f"{unit} of running")
        axes.set_xlim(0, edges[-1])

    return _render("throughput", draw)


def choose_rate(found: Throughput) -> tuple[str, list[float]]:
    """The rate of each step, in a unit in which the largest one is a number that one can read."""
    lengths = [right - left for left, right in zip(found.edges, found.edges[1:], strict=False)]
    rates = [count / length for count, length in zip(found.counts, lengths, strict=True)]
    for words, seconds in (("a second", 1), ("a minute", 60)):
        if max(rates) * seconds >= 2:
            return words, [rate * seconds for rate in rates]
    return "an hour", [rate * 3600 for rate in rates]


def draw_latencies(found: Latencies) -> str:
    """How long answers took, on a scale on which each step is a multiple of the one before."""

    def draw(axes: Axes) -> None:
        axes.stairs(found.counts, found.edges, fill=True, color=COLOURS["good"])
        axes.set_xscale("log")
        axes.set_xlim(found.edges[0], found.edges[-1])
        _set_ticks(axes, *_choose_times(found.edges[0], found.edges[-1]))
        for _, seconds in found.percentiles:
            axes.axvline(seconds, color=COLOURS["ink"], linewidth=0.9, linestyle=(0, (2, 2)))
        axes.set_title("rows", loc="left")

    return _render("latencies", draw)


def draw_places(places: Sequence[Place]) -> str:
    """What became of the rows of each location; its name above its bar."""
    largest = max(place.total for place in places)
    parts = ("as_planned", "not_changed", "unknown", "left")
    colours = (COLOURS["good"], COLOURS["bad"], COLOURS["doubt"], COLOURS["quiet"])

    def draw(axes: Axes) -> None:
        for index, place in enumerate(places):
            left = 0.0
            for part, colour in zip(parts, colours, strict=True):
                count: int = getattr(place, part)
                width = max(count, 0.006 * largest) if count else 0.0
                axes.barh(index, width, 0.34, left=left, color=colour)
                left += width
            axes.text(0, index - 0.25, _shorten(place.name), verticalalignment="bottom")
            axes.text(
                largest, index - 0.25, f"{place.total:,}", verticalalignment="bottom", horizontalalignment="right"
            )
        axes.set_xlim(0, largest * 1.02)
        axes.set_ylim(len(places) - 0.6, -0.8)
        axes.set_axis_off()

    return _render("locations", draw, height=0.1 + 0.36 * len(places))


def draw_days(found: Days) -> str:
    """Appointments before, and in front of them those after."""

    def draw(axes: Axes) -> None:
        places = range(len(found.begins))
        axes.bar(places, found.before, 0.86, color=COLOURS["quiet"])
        axes.bar(places, found.after, 0.46, color=COLOURS["good"])
        step = -(-len(places) // _MOST_TICKS)
        shown = list(places)[:: max(1, step)]
        _set_ticks(axes, shown, [render_day(found.begins[place], found.step) for place in shown])
        axes.set_xlim(min(-0.6, len(places) / 2 - 3), max(len(places) - 0.4, len(places) / 2 + 2))
        axes.set_title("appointments" if found.step == "day" else f"appointments a {found.step}", loc="left")

    return _render("days", draw)


def render_seconds(seconds: float) -> str:
    """As people say it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 60 else f"{seconds / 60:.1f} min"


def render_day(day: date, step: str) -> str:
    """The beginning of a step."""
    month = _MONTHS[day.month - 1]
    return {"month": f"{month} {day.year}", "year": str(day.year)}.get(step, f"{day.day} {month}")


def _choose_times(lowest: float, highest: float) -> tuple[list[float], list[str]]:
    tens = math.log10(highest / lowest)
    digits = (1, 2, 5) if tens < 1.7 else (1, 3) if tens < 3 else (1,)
    times = [digit * 10.0**power for power in range(-5, 6) for digit in digits]
    shown = [time for time in times if lowest <= time <= highest]
    return shown, [render_seconds(time).replace(".0 ", " ") for time in shown]


def _set_ticks(axes: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    from matplotlib.ticker import NullLocator  # noqa: PLC0415 - large

    axes.set_xticks(list(places), list(labels))
    axes.xaxis.set_minor_locator(NullLocator())


def _shorten(name: str) -> str:
    shown = "".join(letter if " " <= letter <= "~" else "·" for letter in name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 1]}…"


def _render(name: str, draw: Callable[[Axes], None], height: float = _HEIGHT) -> str:
    from matplotlib import rc_context  # noqa: PLC0415 - large
    from matplotlib.figure import Figure  # noqa: PLC0415 - large

    with rc_context(_SETTINGS):  # type: ignore[arg-type] # its keys are a closed list
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        _calm(axes)
        draw(axes)
        return _inline(name, figure)


def _calm(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415 - large

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _inline(name: str, figure: Figure) -> str:
    """As a part of a page: names of its own, the page's colours, and nothing about where it comes from."""
    content = io.StringIO()
    figure.savefig(content, format="svg", transparent=True)
    text = content.getvalue()
    text = _UNWANTED.sub("", text[text.index("<svg") :])
    opening, rest = text.split(">", 1)
    text = f"{_SIZE.sub('', opening)}>{rest}"
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', text).replace("url(#", f"url(#{name}-")
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return text


def name_picture(svg: str, title: str) -> str:
    """Say to those who do not see it what a picture shows."""
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)
