"""The charts of a report, as SVG inside of its page.

A chart is drawn in a box of 360 units that the page scales; its text has about 12 pixels on a phone and 14 on a
desktop. Colours are classes of `CHART_STYLE`, which takes them from the page's palette: one drawing serves light,
dark and print. A chart that would show nothing, or a single row, is left out.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

from ..._validation.text import shorten
from .stats import LEAST_RESPONSES, MOST_LOCATIONS, PARTS, Days, Latencies, LocationCounts, Throughput

CHART_STYLE: Final = """
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 2.2rem 3rem; align-items: start; margin-top: 2.4rem; }
figure { margin: 0; }
figcaption { font-size: .875rem; }
svg { display: block; width: 100%; max-width: 27rem; height: auto; margin-bottom: .4rem; overflow: visible; }
svg text { font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; fill: var(--soft); }
svg text.name { fill: var(--ink); }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg line, svg rect { shape-rendering: crispEdges; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); }
svg .mark { stroke: var(--ink); stroke-dasharray: 2 2; }
.good { --colour: var(--good); } .bad { --colour: var(--bad); }
.doubt { --colour: var(--doubt); } .quiet { --colour: var(--quiet); }
svg path, svg rect { fill: var(--colour); }
.key { white-space: nowrap; margin-right: .9rem; }
.key::before { content: ""; display: inline-block; width: .7em; height: .7em; margin-right: .4em;
  background: var(--colour); print-color-adjust: exact; }
"""
_WIDTH: Final = 360
_TITLE: Final = 10
"""Where the baseline of the title is, from the top; likewise below."""
_TOP: Final = 22
_BASE: Final = 170
_TICK_LABELS: Final = 186
_AXIS_TITLE: Final = 203
_RIGHT: Final = 352
_DIGIT: Final = 7
"""The width that a character may take."""
_GAP: Final = 6
_SPILL: Final = 10
"""How far a label may reach into the page's margin."""
_ROW: Final = 32
_LEAST: Final = 1.5
"""The height or width of a bar that is not empty, so that it can be seen."""
_LONGEST_NAME: Final = 28
_MOST_LABELS: Final = 5
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS: Final = (("seconds", 1.0, 180.0), ("minutes", 60.0, 10_800.0), ("hours", 3600.0, 259_200.0))
_RATES: Final = (("a second", 1.0), ("a minute", 60.0), ("an hour", 3600.0))
_STEPS: Final = (1, 2, 2.5, 4, 5, 10)
_DIGITS: Final = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 2.0, 3.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOURS: Final = dict(zip(PARTS, ("good", "bad", "doubt", "quiet"), strict=True))


def draw_charts(
    throughput: Throughput | None,
    latencies: Latencies | None,
    locations: Sequence[LocationCounts],
    days: Days | None,
) -> Iterator[str]:
    """One figure for each that has something to show."""
    if throughput is not None and len(throughput.counts) > 1:
        yield _chart_throughput(throughput)
    if latencies is not None and sum(latencies.counts) >= LEAST_RESPONSES:
        yield _chart_latencies(latencies)
    if len(locations) > 1:
        yield _chart_locations(locations)
    if days is not None:
        yield _chart_days(days)


def escape_html(value: object) -> str:
    """Text for a page; U+FFFD replaces what would control a terminal or the writing direction."""
    return html.escape(_CONTROLS.sub("\ufffd", str(value)))


def render_seconds(seconds: float) -> str:
    """In the unit that people would use."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 60 else f"{seconds / 60:.1f} min"


def _chart_throughput(found: Throughput) -> str:
    """Finished rows over running time; pauses are shaded."""
    total = found.edges[-1]
    unit, size = next(((name, size) for name, size, most in _UNITS if total <= most), ("days", 86_400.0))
    rate, rates = _choose_rate(found)
    plot = _Plot(f"rows {rate}", max(rates), 0, total)
    for left, right, share in zip(found.edges, found.edges[1:], found.paused, strict=False):
        if share > 0:
            plot.shade(left, right, 0.12 + 0.33 * share)
    plot.stairs(found.edges, rates)
    for begin, _ in found.stretches[1:]:
        plot.mark(begin)
    ticks = _choose_ticks(total / size, 6)
    plot.label([tick * size for tick in ticks], [f"{tick:,}" for tick in ticks], f"{unit} of running time")

    said = (
        f"{sum(found.counts):,} rows in {_render_length(total)} of running time, at most {max(rates):,.1f} {rate}."
    )
    notes, keys = [said], {"good": "finished rows"}
    if len(found.stretches) > 1:
        later = ", ".join(_render_moment(at) for _, at in found.stretches[1:])
        notes.append(f"Dotted lines: resumed at {later} UTC; the time between is left out.")
    if any(found.paused):
        keys["doubt"] = "paused by the rate limit"
        notes.append("The darker the shade, the longer the pauses and the more locations paused.")
    title = "Rows over time"
    return _build_figure(title, plot.render(f"{title}: {said}"), " ".join(notes), keys)


def _choose_rate(found: Throughput) -> tuple[str, list[float]]:
    """The rate of each step, in the shortest unit of time that gives readable numbers."""
    rates = [
        count / (right - left)
        for count, left, right in zip(found.counts, found.edges, found.edges[1:], strict=False)
    ]
    unit, seconds = next(((unit, size) for unit, size in _RATES if max(rates) * size >= 2), ("a day", 86_400.0))
    return unit, [rate * seconds for rate in rates]


def _chart_latencies(found: Latencies) -> str:
    """Response times on a logarithmic scale."""
    lowest, highest = found.edges[0], found.edges[-1]
    plot = _Plot("rows", max(found.counts), math.log(lowest), math.log(highest))
    plot.stairs([math.log(edge) for edge in found.edges], found.counts)
    plot.annotate([(math.log(seconds), f"{percent} %") for percent, seconds in found.percentiles])
    times = _choose_times(lowest, highest)
    plot.label([math.log(time) for time in times], [render_seconds(time).replace(".0 ", " ") for time in times])

    within = ", ".join(f"{percent} % within {render_seconds(seconds)}" for percent, seconds in found.percentiles)
    said = f"{within}. The slowest took {render_seconds(found.slowest)}."
    title = "Response times"
    return _build_figure(title, plot.render(f"{title}: {said}"), f"Dotted lines: {said}")


def _choose_times(lowest: float, highest: float) -> list[float]:
    """Round times in between, or the two ends if there are none."""
    shown: list[float] = []
    for digits in _DIGITS:
        times = (digit * 10.0**power for power in range(-5, 6) for digit in digits)
        shown = [time for time in times if lowest <= time <= highest]
        if len(shown) > 2:
            break
    return shown if len(shown) > 1 else [lowest, highest]


def _chart_days(found: Days) -> str:
    """Appointments before the job, and in front of them those after it."""
    count = len(found.begins)
    spare = max(0, _MOST_LABELS - count) / 2
    title = "appointments" if found.step == "day" else f"appointments a {found.step}"
    plot = _Plot(title, max(*found.before, *found.after), -0.5 - spare, count - 0.5 + spare)
    for kind, width, counts in (("quiet", 0.86, found.before), ("good", 0.46, found.after)):
        for index, number in enumerate(counts):
            if number:
                plot.bar(kind, index, width, number)
    shown = range(0, count, -(-count // _MOST_LABELS))
    plot.label(shown, [_render_day(found.begins[index], found.step) for index in shown])

    first, last = (f"{_render_day(day, 'day')} {day.year}" for day in (found.begins[0], found.begins[-1]))
    span = f"on {first}" if first == last else f"from {first} to {last}"
    appointments = sum(found.before)
    words = (
        f"{appointments:,} appointment{'' if appointments == 1 else 's'} {span}, in the calendar's time zone; "
        "those that were not changed are shown where they were."
    )
    title = f"Appointments by {found.step}, before and after"
    return _build_figure(title, plot.render(f"{title}: {words}"), words, {"quiet": "before", "good": "after"})


def _chart_locations(locations: Sequence[LocationCounts]) -> str:
    """A bar for each of the largest locations, with its name above."""
    shown = locations[:MOST_LOCATIONS]
    largest = max(one.total for one in shown)
    parts: list[str] = []
    for index, one in enumerate(shown):
        base = _TITLE + _ROW * index
        parts.append(_text(0, base, shorten(one.name, _LONGEST_NAME), "name"))
        parts.append(_text(_WIDTH, base, f"{one.total:,}", "name end"))
        left = 0.0
        for part, count in one.parts.items():
            if count:
                width = max(_LEAST, count / largest * (_WIDTH - 3 * _LEAST))
                parts.append(f'<rect class="{_COLOURS[part]}" {_box(left, base + 5, width, 8)}/>')
                left += width

    all_of_them = len(shown) == len(locations)
    which = "All locations" if all_of_them else f"The {len(shown)} largest of {len(locations):,} locations"
    keys = {_COLOURS[part]: part for part in PARTS if any(one.parts[part] for one in shown)}
    title = f"Rows of each location, as in the table below. {which}."
    svg = _render_svg(title, _ROW * len(shown), parts)
    return _build_figure("Locations", svg, f"{which}. Very small counts are drawn wider than to scale.", keys)


class _Plot:
    """A chart with two axes: elements are drawn in the order of the calls, over horizontal grid lines."""

    def __init__(self, title: str, highest: float, low: float, high: float) -> None:
        ticks = _choose_ticks(highest, 4)
        labels = [f"{tick:,}" for tick in ticks]
        self._left = 4 + _DIGIT * len(labels[-1])
        self._highest, self._low, self._high = highest, low, high
        self._height = _TICK_LABELS + 4
        self._title_end = self._left + _DIGIT * len(title) + _GAP
        self._parts = [_text(self._left, _TITLE, title)]
        for tick, label in zip(ticks, labels, strict=True):
            kind = "grid" if tick else "axis"
            self._parts.append(_line(kind, self._left, self._y(tick), _RIGHT, self._y(tick)))
            self._parts.append(_text(self._left - 5, self._y(tick) + 4, label, "end"))

    def shade(self, left: float, right: float, opacity: float) -> None:
        """Mark a span from top to bottom."""
        box = _box(self._x(left), _TOP, self._x(right) - self._x(left), _BASE - _TOP)
        self._parts.append(f'<rect class="doubt" opacity="{opacity:.2f}" {box}/>')

    def stairs(self, edges: Sequence[float], values: Sequence[float]) -> None:
        """Fill the area below one step for each value."""
        steps = "".join(
            f"V{self._top(value):g}H{self._x(right):g}" for value, right in zip(values, edges[1:], strict=True)
        )
        self._parts.append(f'<path class="good" d="M{self._x(edges[0]):g} {_BASE}{steps}V{_BASE}Z"/>')

    def bar(self, kind: str, middle: float, width: float, value: float) -> None:
        """Draw one bar."""
        left, right, top = self._x(middle - width / 2), self._x(middle + width / 2), self._top(value)
        self._parts.append(f'<rect class="{kind}" {_box(left, top, right - left, _BASE - top)}/>')

    def mark(self, at: float) -> None:
        """Draw a dotted line from top to bottom."""
        self._parts.append(_line("mark", self._x(at), _TOP - 4, self._x(at), _BASE))

    def annotate(self, notes: Sequence[tuple[float, str]]) -> None:
        """Mark points, given from left to right, with a text above each; overlapping texts are moved apart."""
        room = _GAP + _DIGIT * max(len(text) for _, text in notes)
        centres: list[float] = []
        leftmost = self._title_end + room / 2
        for at, _ in notes:
            self.mark(at)
            centres.append(max(self._x(at), leftmost))
            leftmost = centres[-1] + room
        for index in reversed(range(len(centres))):
            centres[index] = min(centres[index], _WIDTH - room * (len(centres) - index - 0.5))
        self._parts += [_text(x, _TITLE, text, "middle") for x, (_, text) in zip(centres, notes, strict=True)]

    def label(self, places: Sequence[float], labels: Sequence[str], title: str = "") -> None:
        """Write below the horizontal axis."""
        for place, label in zip(places, labels, strict=True):
            x = min(self._x(place), _WIDTH + _SPILL - _DIGIT * len(label) / 2)
            self._parts.append(_text(x, _TICK_LABELS, label, "middle"))
        if title:
            self._parts.append(_text((self._left + _RIGHT) / 2, _AXIS_TITLE, title, "middle"))
            self._height = _AXIS_TITLE + 4

    def render(self, name: str) -> str:
        """The SVG element; screen readers read out `name`."""
        return _render_svg(name, self._height, self._parts)

    def _x(self, value: float) -> float:
        return round(self._left + (value - self._low) / (self._high - self._low) * (_RIGHT - self._left), 1)

    def _y(self, value: float) -> float:
        return round(_BASE - value / self._highest * (_BASE - _TOP), 1)

    def _top(self, value: float) -> float:
        """Of a bar."""
        return min(self._y(value), _BASE - _LEAST) if value else _BASE


def _choose_ticks(highest: float, most: int) -> list[int]:
    """Round whole numbers from 0 up to `highest`, `most` steps or fewer."""
    power = 10 ** math.floor(math.log10(max(1.0, highest / most)))
    step = next(step for digit in _STEPS if highest // (step := int(digit * power)) <= most)
    return list(range(0, math.floor(highest) + 1, step))


def _render_svg(name: str, height: float, parts: Sequence[str]) -> str:
    content = "\n".join(parts)
    return f'<svg role="img" aria-label="{escape_html(name)}" viewBox="0 0 {_WIDTH} {height:g}">\n{content}\n</svg>'


def _text(x: float, y: float, text: str, kind: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape_html(text)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _box(x: float, y: float, width: float, height: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'


def _build_figure(title: str, svg: str, words: str, keys: Mapping[str, str] | None = None) -> str:
    """A chart with its heading, the meaning of its colours, and its caption."""
    marks = "".join(f'<span class="key {kind}">{escape_html(key)}</span> ' for kind, key in (keys or {}).items())
    legend = f"<div>{marks}</div>" if marks else ""
    return (
        f"<figure>\n<h3>{escape_html(title)}</h3>\n{svg}\n"
        f"<figcaption>{legend}{escape_html(words)}</figcaption>\n</figure>\n"
    )


def _render_day(day: date, step: str) -> str:
    """The first day of a step."""
    month = _MONTHS[day.month - 1]
    return {"month": f"{month} {day.year}", "year": str(day.year)}.get(step, f"{day.day} {month}")


def _render_length(seconds: float) -> str:
    if seconds < 60:
        return render_seconds(seconds)
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def _render_moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
