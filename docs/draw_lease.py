"""Draws `pages/explanation/lease.svg` from a recorded run: `python -m docs.draw_lease` beside the README.

`python -m tests.benchmarks sharing record` records one. Above, when the server received the requests of each
process; below, how many it counts in any interval.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.benchmarks.sharing.record import RECORDED, Recorded

PICTURE = Path(__file__).parent / "pages/explanation/lease.svg"
LEFT, RIGHT, WIDTH, HEIGHT = 84, 630, 640, 404
BIN = 0.1
ROW, FIRST_ROW = 44, 36
BOTTOM, TOP = 360.0, 240.0
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2933; }
.end { text-anchor: end; } .middle { text-anchor: middle; } .paper { fill: #fff; }
.desk { fill: #1d5fa8; } .job { fill: #0b6e4f; } .gone { fill: #6b7280; opacity: 0.18; }
.axis { stroke: #1f2933; } .limit { stroke: #c8553d; stroke-dasharray: 4 3; } .killed { stroke: #c8553d; }
.count { stroke: #0b6e4f; stroke-width: 1.4; fill: none; } .refused { fill: #c8553d; }
@media (prefers-color-scheme: dark) {
text { fill: #e5e9ee; } .paper { fill: #14181d; } .desk { fill: #6cb1ff; } .job { fill: #4fc79c; }
.gone { fill: #b6bec9; } .axis { stroke: #e5e9ee; } .limit, .killed { stroke: #ff8f73; }
.count { stroke: #4fc79c; } .refused { fill: #ff8f73; }
}
"""


class Picture:
    """One recorded run."""

    def __init__(self, run: Recorded) -> None:
        self._run = run

    def place(self, seconds: float) -> float:
        """Where a moment is drawn, from left to right."""
        return round(LEFT + seconds / self._run.seconds * (RIGHT - LEFT), 1)

    def draw(self) -> Iterator[str]:
        """All of it."""
        run = self._run
        begin, end = self.place(run.lost_at), self.place(run.back_at)
        yield f'<rect class="gone" x="{begin}" y="20" width="{end - begin:.1f}" height="{BOTTOM - 20:g}"/>'
        yield write((begin + end) / 2, 14, "store down", "middle")
        x = self.place(run.killed_at)
        last = FIRST_ROW + ROW * (len(run.admitted) - 1)
        yield f'<line class="killed" x1="{x}" y1="{last - 12}" x2="{x}" y2="{last + 36}"/>'
        yield write(x + 6, last + 12, "kill -9")
        yield from self.draw_rows()
        yield from self.draw_count()
        for second in range(0, int(run.seconds) + 1, 5):
            yield write(self.place(second), BOTTOM + 18, str(second), "middle")
        yield write((LEFT + RIGHT) / 2, BOTTOM + 36, "seconds", "middle")

    def draw_rows(self) -> Iterator[str]:
        """For each process, how many of its requests arrived in each tenth of a second."""
        bins = {name: Counter(int(at / BIN) for at in times) for name, times in self._run.admitted.items()}
        for number, (name, counted) in enumerate(bins.items()):
            base = FIRST_ROW + ROW * number + 30
            most = max(counted.values(), default=1)
            yield write(LEFT - 8, base - 8, name, "end")
            yield f'<line class="axis" x1="{LEFT}" y1="{base}" x2="{RIGHT}" y2="{base}"/>'
            width = BIN / self._run.seconds * (RIGHT - LEFT)
            parts = (
                f"M{self.place(one * BIN)} {base}v-{28 * count / most:.1f}h{width:.1f}v{28 * count / most:.1f}z"
                for one, count in sorted(counted.items())
            )
            yield f'<path class="{"job" if number else "desk"}" d="{"".join(parts)}"/>'

    def draw_count(self) -> Iterator[str]:
        """How many requests the server counts in the interval before each moment."""
        run = self._run
        times = sorted(at for one in run.admitted.values() for at in one)
        moments = [step / 20 for step in range(int(run.seconds * 20) + 1)]
        held = [bisect_right(times, at) - bisect_right(times, at - run.interval) for at in moments]
        most = max(bisect_right(times, at) - bisect_right(times, at - run.interval) for at in times)
        text = (
            f"Requests in any {run.interval:g} s: at most {most} of {run.max_requests}; {len(run.refused)} refused"
        )
        yield write(LEFT, TOP - 14, text)
        for count in (0, run.max_requests // 2, run.max_requests):
            yield write(LEFT - 8, self.level(count) + 4, str(count), "end")
        for kind, count in (("axis", 0), ("limit", run.max_requests)):
            y = self.level(count)
            yield f'<line class="{kind}" x1="{LEFT}" y1="{y:g}" x2="{RIGHT}" y2="{y:g}"/>'
        points = " ".join(f"{self.place(at)},{self.level(one)}" for at, one in zip(moments, held, strict=True))
        yield f'<polyline class="count" points="{points}"/>'
        for at in run.refused:
            yield f'<circle class="refused" cx="{self.place(at)}" cy="{self.level(0)}" r="3"/>'

    def level(self, count: float) -> float:
        """Where a count is drawn, from top to bottom."""
        return round(BOTTOM - (BOTTOM - TOP) * count / self._run.max_requests, 1)


def write(x: float, y: float, text: str, kind: str = "start") -> str:
    """A text."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{text}</text>'


def main() -> None:
    """Draw and write the picture."""
    run = msgspec.json.decode(RECORDED.read_bytes(), type=Recorded)
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {size}>',
        f'<style>{STYLE}</style>\n<rect class="paper" {size}/>',
        *Picture(run).draw(),
        "</svg>\n",
    ]
    PICTURE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
