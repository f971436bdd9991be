"""The pictures of a report, by matplotlib, as SVG that stands in a page by itself.

Rule: a picture is drawn from figures that were counted already, and draws nothing that it was not given.

Needs matplotlib (extra `cli`), imported on first use: it is large. Must not know the journal.
"""

# pyright: basic
# mypy: disallow-untyped-calls=False
# (matplotlib's own types are partial)

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK: Final = "#5b6b7c"
_BLUE, _RED, _AMBER, _GREY = "#2a7ab9", "#c0392b", "#d08a1d", "#b8c2cc"
_SIZE: Final = (7.2, 2.4)
_SETTINGS: Final = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
}


def draw_timeline(counts: Sequence[tuple[float, int]], width: float, pauses: Sequence[tuple[float, float]]) -> str:
    """Finished rows over time, in steps of `width` seconds; pauses of locations are shaded."""
    began = counts[0][0]
    unit, size = _choose_unit(counts[-1][0] - began)

    def draw(axes: Axes) -> None:
        for paused, seconds in pauses:
            left = (paused - began) / size
            axes.axvspan(left, left + seconds / size, color=_AMBER, alpha=0.18, linewidth=0)
        axes.step(
            [(at - began) / size for at, _ in counts],
            [count / width for _, count in counts],
            where="post",
            color=_BLUE,
        )
        axes.set_xlabel(f"{unit} since {datetime.fromtimestamp(began, UTC):%d %B %Y, %H:%M:%S} UTC")
        axes.set_ylabel("rows a second")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)

    return _render(draw)


def draw_latencies(seconds: Sequence[float]) -> str:
    """How long answers took."""

    def draw(axes: Axes) -> None:
        milliseconds = [one * 1000 for one in seconds]
        bins = min(40, max(10, len(milliseconds) // 4))
        axes.hist(milliseconds, bins=bins, range=(0, max(milliseconds) * 1.05), color=_BLUE)
        axes.set_xlabel("milliseconds until the answer")
        axes.set_ylabel("rows")
        axes.set_xlim(left=0)

    return _render(draw)


def draw_locations(counts: Mapping[str, tuple[int, int, int]]) -> str:
    """Applied, failed and unknown rows of each location."""

    def draw(axes: Axes) -> None:
        names = [name if len(name) <= 22 else f"{name[:21]}…" for name in counts]
        places = range(len(names))
        left = [0] * len(names)
        for part, (label, colour) in enumerate((("applied", _BLUE), ("failed", _RED), ("unknown", _AMBER))):
            widths = [triple[part] for triple in counts.values()]
            axes.barh(places, widths, left=left, color=colour, label=label, height=0.7)
            left = [before + width for before, width in zip(left, widths, strict=True)]
        axes.set_yticks(list(places), names)
        axes.invert_yaxis()
        axes.set_xlabel("rows")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))

    return _render(draw, height=0.9 + 0.26 * len(counts))


def draw_days(before: Mapping[date, int], after: Mapping[date, int]) -> str:
    """Appointments on each day, before and after."""

    def draw(axes: Axes) -> None:
        days = sorted({*before, *after})
        places = range(len(days))
        axes.bar([x - 0.2 for x in places], [before.get(day, 0) for day in days], 0.4, color=_GREY, label="before")
        axes.bar([x + 0.2 for x in places], [after.get(day, 0) for day in days], 0.4, color=_BLUE, label="after")
        step = max(1, len(days) // 8)
        axes.set_xticks(list(places)[::step], [f"{day:%d %b}" for day in days[::step]])
        axes.set_ylabel("appointments")
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))

    return _render(draw)


def _render(draw: Callable[[Axes], None], height: float = _SIZE[1]) -> str:
    from matplotlib import rc_context  # noqa: PLC0415 - large
    from matplotlib.figure import Figure  # noqa: PLC0415 - large

    with rc_context(_SETTINGS):  # type: ignore[arg-type] # its keys are a closed list
        figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = content.getvalue()
    return text[text.index("<svg") :]


def _choose_unit(seconds: float) -> tuple[str, float]:
    """A unit in which a duration is a number that one can read, and its length."""
    if seconds < 300:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 4 * 3600 else ("hours", 3600.0)
