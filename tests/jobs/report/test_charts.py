"""Charts: legible on a phone and on a desktop, in light and in dark, and true to their figures."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import accumulate, pairwise
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async.jobs.report.charts import CHART_STYLE, draw_charts
from leadconnector_async.jobs.report.html_report import begin_page
from leadconnector_async.jobs.report.stats import PARTS, Days, Latencies, LocationCounts, Throughput

LETTER = 6.6
"""The mean width of a letter at 12 px, in units of the box."""
SPILL = 16
"""What the page leaves free beside a chart."""
COUNTS = st.integers(0, 250_000)


@st.composite
def throughputs(draw: st.DrawFn) -> Throughput:
    counts = draw(st.lists(COUNTS, min_size=2, max_size=90).filter(any))
    step = draw(st.sampled_from([0.1, 1, 60, 3600, 86400]))
    edges = [step * number for number in range(len(counts) + 1)]
    paused = draw(st.lists(st.floats(0, 1), min_size=len(counts), max_size=len(counts)))
    return Throughput(edges, counts, paused, [(0.0, 1e9), (edges[1], 1.1e9)])


@st.composite
def latencies(draw: st.DrawFn) -> Latencies:
    counts = draw(st.lists(COUNTS, min_size=5, max_size=28).filter(lambda counts: sum(counts) >= 20))
    lowest, ratio = draw(st.floats(0.0001, 10)), draw(st.floats(1.22, 10_000))
    edges = [lowest * ratio ** (number / len(counts)) for number in range(len(counts) + 1)]
    points = sorted(draw(st.lists(st.floats(lowest * 1.05, edges[-1] / 1.05), min_size=3, max_size=3)))
    return Latencies(edges, counts, list(zip((50, 95, 99), points, strict=True)), edges[-1] / 1.05)


@st.composite
def days(draw: st.DrawFn) -> Days:
    step, length = draw(st.sampled_from([("day", 1), ("week", 7), ("month", 31), ("year", 366)]))
    pairs = draw(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=45).filter(lambda found: any(found[0])))
    begins = [date(2026, 11, 28) + timedelta(days=length * index) for index in range(len(pairs))]
    return Days(step, begins, [one for one, _ in pairs], [one for _, one in pairs])


@st.composite
def locations(draw: st.DrawFn) -> list[LocationCounts]:
    row = st.lists(COUNTS, min_size=4, max_size=4).filter(any)
    found = draw(st.lists(row, min_size=2, max_size=24))
    return [
        LocationCounts(f"location {index}", dict(zip(PARTS, counts, strict=True)))
        for index, counts in enumerate(found)
    ]


def draw_one(
    throughput: Throughput | None = None,
    latencies: Latencies | None = None,
    locations: Sequence[LocationCounts] = (),
    days: Days | None = None,
) -> str:
    (figure,) = draw_charts(throughput, latencies, locations, days)
    return figure


def parse(figure: str) -> Element:
    """The picture in a figure."""
    return fromstring(figure[figure.index("<svg") : figure.index("</svg>") + 6])  # noqa: S314 - our own


def measure(text: Element) -> tuple[float, float]:
    """Where a text begins and ends, about."""
    width = LETTER * len(text.text or "")
    share = {"middle": 0.5, "end": 1.0}.get(text.get("class", "").split()[-1], 0.0)
    left = float(text.get("x", 0)) - share * width
    return left, left + width


def corners(picture: Element) -> Iterator[tuple[float, float]]:
    """The ends of lines, and the corners of bars and steps."""
    for one in picture.iter("line"):
        yield float(one.get("x1", 0)), float(one.get("y1", 0))
        yield float(one.get("x2", 0)), float(one.get("y2", 0))
    for one in picture.iter("rect"):
        x, y = float(one.get("x", 0)), float(one.get("y", 0))
        yield x, y
        yield x + float(one.get("width", 0)), y + float(one.get("height", 0))
    for one in picture.iter("path"):
        for x in re.findall(r"[MH]([-\d.]+)", one.get("d", "")):
            yield float(x), 0
        for y in re.findall(r"V([-\d.]+)", one.get("d", "")):
            yield 0, float(y)


def check(figure: str) -> Element:
    """All of it lies in the box, no text touches another one, and numbers of an axis ascend."""
    picture = parse(figure)
    _, _, width, height = map(float, picture.get("viewBox", "").split())
    assert all(-0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1 for x, y in corners(picture))
    lines: dict[float, list[tuple[float, float]]] = {}
    for text in picture.iter("text"):
        assert text.text
        assert 8 <= float(text.get("y", 0)) <= height
        lines.setdefault(float(text.get("y", 0)), []).append(measure(text))
    for spans in lines.values():
        assert min(spans)[0] >= -SPILL
        assert max(spans)[1] <= width + SPILL
        assert all(left[1] <= right[0] for left, right in pairwise(sorted(spans)))
    return picture


@given(throughputs())
def test_rows_over_time_fit_into_the_box(found: Throughput) -> None:
    """From seconds to months, from one row to millions."""
    check(draw_one(throughput=found))


@given(latencies())
def test_response_times_fit_into_the_box(found: Latencies) -> None:
    """From parts of a millisecond to hours; the marks are labelled in their order."""
    picture = check(draw_one(latencies=found))
    marks = [text for text in picture.iter("text") if (text.text or "").endswith(" %")]
    assert [mark.text for mark in marks] == ["50 %", "95 %", "99 %"]
    at = [float(mark.get("x", 0)) for mark in marks]
    assert at == sorted(at)
    axis = [text for text in picture.iter("text") if re.search(r"\d (ms|s|min)$", text.text or "")]
    assert len(axis) >= 2


@given(days())
def test_days_fit_into_the_box(found: Days) -> None:
    """A bar for each count that is not zero, and none for the others."""
    picture = check(draw_one(days=found))
    bars = [bar.get("class") for bar in picture.iter("rect")]
    assert bars.count("quiet") == sum(map(bool, found.before))
    assert bars.count("good") == sum(map(bool, found.after))
    assert all(float(bar.get("height", 0)) > 1 for bar in picture.iter("rect"))


@given(locations())
def test_locations_fit_into_the_box(found: list[LocationCounts]) -> None:
    """However few rows failed among many, they are seen."""
    picture = check(draw_one(locations=found))
    bars = [bar.get("class") for bar in picture.iter("rect")]
    for part, kind in zip(PARTS, ("good", "bad", "doubt", "quiet"), strict=True):
        assert bars.count(kind) == sum(one.parts[part] > 0 for one in found[:20])
    assert all(float(bar.get("width", 0)) > 1 for bar in picture.iter("rect"))


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (14, [0, 4, 8, 12]),
        (92, [0, 20, 40, 60, 80]),
        (135, [0, 40, 80, 120]),
        (1000, [0, 250, 500, 750, 1000]),
        (68_000, [0, 20_000, 40_000, 60_000]),
    ],
)
def test_numbers_of_the_axis_are_round(highest: int, ticks: list[int]) -> None:
    """Whole, at most four above zero, and each stands at its line."""
    picture = parse(draw_one(days=Days("day", [date(2027, 3, 1)], [highest], [0])))
    axis = [text for text in picture.iter("text") if text.get("class") == "end"]
    assert [text.text for text in axis] == [f"{tick:,}" for tick in ticks]
    lines = [line for line in picture.iter("line") if line.get("class") in ("grid", "axis")]
    base = float(lines[0].get("y1", 0))
    top = float(next(picture.iter("rect")).get("y", 0))
    for line, text, tick in zip(lines, axis, ticks, strict=True):
        assert float(line.get("y1", 0)) == pytest.approx(base - (base - top) * tick / highest, abs=0.2)
        assert float(text.get("y", 0)) == pytest.approx(float(line.get("y1", 0)) + 4)


@pytest.mark.parametrize(
    ("seconds", "labels", "unit"),
    [
        (100.0, "0 20 40 60 80 100", "seconds"),
        (7200.0, "0 20 40 60 80 100 120", "minutes"),
        (86_400.0, "0 4 8 12 16 20 24", "hours"),
        (864_000.0, "0 2 4 6 8 10", "days"),
    ],
)
def test_running_time_has_a_unit_that_fits(seconds: float, labels: str, unit: str) -> None:
    """From seconds to days, at most six steps."""
    edges = [seconds * part / 10 for part in range(11)]
    picture = parse(draw_one(throughput=Throughput(edges, [5] * 10, [0.0] * 10, [(0.0, 1e9)])))
    *axis, title = [text.text for text in picture.iter("text") if text.get("class") == "middle"]
    assert (" ".join(map(str, axis)), title) == (labels, f"{unit} of running time")


@pytest.mark.parametrize(
    ("lowest", "highest", "labels"),
    [
        (0.002, 33.0, ["10 ms", "100 ms", "1 s", "10 s"]),
        (0.05, 6.6, ["100 ms", "300 ms", "1 s", "3 s"]),
        (0.06, 0.48, ["100 ms", "200 ms", "300 ms"]),
        (0.19, 0.32, ["200 ms", "300 ms"]),
        (0.11, 0.13, ["110 ms", "130 ms"]),
    ],
)
def test_response_times_are_labelled_by_round_ones(lowest: float, highest: float, labels: list[str]) -> None:
    """As many as fit; the two ends if there is none in between."""
    edges = [lowest * (highest / lowest) ** (step / 5) for step in range(6)]
    points = [(50, edges[2]), (95, edges[3]), (99, edges[4])]
    picture = parse(draw_one(latencies=Latencies(edges, [9] * 5, points, highest)))
    assert [text.text for text in picture.iter("text") if text.get("class") == "middle"][3:] == labels


def test_steps_are_as_high_as_their_rates() -> None:
    """The area of the chart of throughput is that of its figures."""
    counts = [30, 60, 0, 120]
    found = Throughput([0.0, 10.0, 20.0, 30.0, 40.0], counts, [0.0, 0.25, 1.0, 0.0], [(0.0, 1e9)])
    picture = parse(draw_one(throughput=found))
    path = next(picture.iter("path")).get("d", "")
    heights = [float(y) for y in re.findall(r"V([\d.]+)H", path)]
    base = float(path.rpartition("V")[2].rstrip("Z"))
    assert [base - height for height in heights] == pytest.approx(
        [count / 120 * (base - heights[3]) for count in counts], abs=0.2
    )
    shades = [float(one.get("opacity", 0)) for one in picture.iter("rect")]
    assert shades == sorted(shades)
    assert len(shades) == 2


def test_colours_come_from_the_page() -> None:
    """Every class has a style, its colours are in the light and the dark palette, and a chart has none itself."""
    counts = list(range(1, 11))
    figures = list(
        draw_charts(
            Throughput([*map(float, range(11))], counts, [0.5] * 10, [(0.0, 1e9), (3.0, 2e9)]),
            Latencies([*accumulate([0.1] * 11)], counts, [(50, 0.3), (95, 0.9), (99, 1.0)], 1.1),
            [LocationCounts(name, dict.fromkeys(PARTS, 5)) for name in "ab"],
            Days("day", [date(2027, 3, 1)], [1], [2]),
        )
    )
    assert len(figures) == 4
    text = "".join(figures)
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb|style=|font", text)
    used = {name for names in re.findall(r'class="([^"]*)"', text) for name in names.split()}
    styled = set(re.findall(r"\.([a-z]+)", CHART_STYLE))
    assert used - {"start"} <= styled
    page = begin_page("x")
    light, dark = page.partition("@media print")[0].split("prefers-color-scheme: dark")
    for colour in set(re.findall(r"var\(--(\w+)\)", CHART_STYLE)) - {"colour"}:
        assert f"--{colour}: #" in light
        assert f"--{colour}: #" in dark


def test_a_chart_says_what_it_shows() -> None:
    """To those who hear the page, too: its title and its main figures."""
    figure = draw_one(days=Days("week", [date(2027, 3, 1), date(2027, 3, 8)], [7, 0], [0, 7]))
    picture = parse(figure)
    assert picture.get("role") == "img"
    said = picture.get("aria-label") or ""
    assert said.startswith("Appointments by week, before and after: 7 appointments from 1 Mar 2027 to 8 Mar 2027")


def test_names_are_shown_as_they_are() -> None:
    """In any script; what would be markup or turn the direction of writing is not."""
    name = "Praxis Müller 東京 <b>&\u202e"
    parts = dict.fromkeys(PARTS, 1)
    picture = parse(draw_one(locations=[LocationCounts(name, parts), LocationCounts("y" * 99, parts)]))
    names = [text.text or "" for text in picture.iter("text") if text.get("class") == "name"]
    assert names[0] == name.replace("\u202e", "\ufffd")
    assert len(names[1]) <= 28
    assert names[1].endswith("…")
