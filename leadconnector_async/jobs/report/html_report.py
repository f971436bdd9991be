"""`report.html`: what a job did, as one self-contained page: who moves, what failed, and the figures last.

Figures are counted in the journal's database, and tables are bounded, so a long job takes no more memory than a
short one. Appointments are shown by title and contact id; their addresses and descriptions are left out. Whatever
comes from a plan or a server is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from ..._api.fields import PERSONAL
from ..._system.files import replace_file
from ..journal.counts import Listing, list_rows, read_totals
from ..journal.facts import get_fact
from ..journal.protocol import Journal
from ..plan.rows import defuse
from ..prepare.changes import render_title
from ..states import NOT_CHANGED, ROW_STATES, JobSummary, RowResult, count_rows, list_states
from .charts import CHART_STYLE, draw_charts, escape_html, render_seconds
from .moves import MOVES_STYLE, SCRIPT, SCRIPT_HASH, Moves
from .stats import (
    LEAST_RESPONSES,
    MOST_LOCATIONS,
    PARTS,
    Latencies,
    LocationCounts,
    count_days,
    count_latencies,
    count_locations,
    count_throughput,
    gather_locations,
)

MOST_ROWS: Final = 200
_MOST_STOPS: Final = 20
_TEXT: Final = r"(?:empty|'(?:[^'\\]|\\.)*['…]|\"(?:[^\"\\]|\\.)*[\"…])"
_PERSONAL: Final = re.compile(rf"\b({'|'.join(PERSONAL)}) was {_TEXT}, is {_TEXT}")
"""As `FieldChange` words it."""


def write_report(journal: Journal, path: str, name: str, summary: JobSummary) -> None:
    """Write or replace the file, whole or not at all; `name` is that of the job. Raises `OSError`."""
    replace_file(path, _build_page(journal, name, summary))


def _build_page(journal: Journal, name: str, summary: JobSummary) -> Iterator[str]:
    good = count_rows(summary.counts, list_states("as planned"))
    title = f"{good:,} of {_count(summary.total, 'appointment')} {'is' if good == 1 else 'are'} as planned"
    yield begin_page(f"{name}: {title}")
    yield build_heading(title, 1)
    yield from _build_facts(journal, name, summary)
    locations, latencies = count_locations(journal), count_latencies(journal)
    has_many = len(locations) > 1
    moves = Moves(journal)
    failed = count_rows(summary.counts, NOT_CHANGED)
    yield from moves.render(summary.total - failed, has_many=has_many)
    unknown = summary.counts.get("unknown", 0)
    yield from _build_rows(journal, moves, "Not changed", "not changed", failed, "failed.csv", has_many)
    yield from _build_rows(journal, moves, "Outcome unknown", "unknown", unknown, "unknown.csv", has_many)
    title = "Contacts may have been notified twice"
    yield from _build_rows(journal, moves, title, "repeated", summary.repeated, "repeated.csv", has_many)
    yield build_heading("Figures")
    yield from build_figures(_list_figures(summary, latencies))
    charts = list(draw_charts(count_throughput(journal), latencies, locations, count_days(journal)))
    if charts:
        yield f'<div class="charts">\n{"".join(charts)}</div>\n'
    if has_many:
        yield from _build_locations(locations)
    yield end_page()


def _build_facts(journal: Journal, name: str, summary: JobSummary) -> Iterator[str]:
    totals = read_totals(journal)
    plan = (get_fact("plan", journal) or "")[:12]
    if totals.first_sent is not None and totals.last_done is not None:
        span = f"{_render_time(totals.first_sent)} to {_render_time(totals.last_done)} UTC"
        yield build_text(f"Job {name}, plan {plan}: {_count(totals.requests or 0, 'request')}, {span}.", soft=True)
    else:
        yield build_text(f"Job {name}, plan {plan}: no requests were sent.", soft=True)
    for stopped in summary.stopped[:_MOST_STOPS]:
        where = f"Location {stopped.location_id}" if stopped.location_id else "The job"
        yield build_text(f"{where} stopped early: {_hide_personal(stopped.reason)}")
    if len(summary.stopped) > _MOST_STOPS:
        yield build_text(f"… and {len(summary.stopped) - _MOST_STOPS:,} more locations.")
    if summary.remaining:
        yield build_text(f"{_count(summary.remaining, 'row')} remaining: resume the job.")


def _list_figures(summary: JobSummary, latencies: Latencies | None) -> Iterator[tuple[str, str]]:
    for state, kind in ROW_STATES.items():
        if count := summary.counts.get(state, 0):
            yield kind.words, f"{count:,}"
    yield "total", f"{summary.total:,}"
    if summary.repeated:
        yield "of these, possibly notified twice", f"{summary.repeated:,}"
    if latencies is not None and sum(latencies.counts) >= LEAST_RESPONSES:
        for percent, seconds in latencies.percentiles:
            yield f"{percent} % of responses within", render_seconds(seconds)


def _build_locations(locations: list[LocationCounts]) -> Iterator[str]:
    yield build_heading("Locations")
    if len(locations) > MOST_LOCATIONS:
        yield build_text(
            f"The {MOST_LOCATIONS} largest of {len(locations):,}; all of them in summary.json.", soft=True
        )
    shown: list[RowResult] = [part for part in PARTS if any(one.parts[part] for one in locations)]
    rows = (
        [one.name or "default location", *(one.parts[part] for part in shown), one.total]
        for one in gather_locations(locations)
    )
    yield from build_table(["location", *shown, "total"], rows)


def _build_rows(
    journal: Journal, moves: Moves, title: str, listing: Listing, count: int, file: str, has_many: bool
) -> Iterator[str]:
    rows = list(_list_rows(journal, moves, listing, has_many)) if count else []
    if not rows:
        return
    yield build_heading(f"{title}: {_count(count, 'row')}")
    where = ["location"] if has_many else []
    columns = ["title", "time", "state", "reason", "line", "event", *where, "trace id"]
    yield from build_table(columns, rows)
    more = f"… and {count - MOST_ROWS:,} more, in {file}" if count > MOST_ROWS else f"Also in {file}"
    yield build_text(f"{more}.", soft=True)


def _list_rows(journal: Journal, moves: Moves, listing: Listing, has_many: bool) -> Iterator[list[object]]:
    for row in list_rows(listing, journal, MOST_ROWS):
        where = [row.location] if has_many else []
        known = render_title(row.before), moves.find_start(row)
        yield [*known, row.state, _hide_personal(row.reason), row.line, row.event_id, *where, row.trace_id]


def _hide_personal(reason: str) -> str:
    """A reason without personal data of the appointment."""
    return _PERSONAL.sub(r"\1 has changed", reason)


def _render_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


_STYLE: Final = """
:root { color-scheme: light dark; --ink: #22303c; --soft: #5b6b7c; --line: #d9dfe5; --page: #fff;
  --good: #2a7ab9; --bad: #c0392b; --doubt: #d08a1d; --quiet: #b8c2cc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf0; --soft: #a3b3c2; --line: #35424e; --page: #12181d;
    --good: #5fa8dd; --bad: #e57368; --doubt: #e0a94a; --quiet: #55636f; }
}
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 62rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 .4rem; text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.6rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
p { max-width: 42rem; margin: .4rem 0; overflow-wrap: anywhere; }
.soft, figcaption { color: var(--soft); }
table { border-collapse: collapse; font-size: .925rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { font-weight: 600; }
thead th { color: var(--soft); font-weight: 400; white-space: nowrap; }
.number { text-align: right; padding-left: 1rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
td[data-label=event], td[data-label=location] { min-width: 11.5rem; }
td[data-label=line], td[data-label=state] { white-space: nowrap; }
@media (max-width: 40rem) {
  .wide thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
  .wide, .wide tbody, .wide tr { display: block; }
  .wide tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .wide td { display: inline-block; border: 0; padding: 0 1rem 0 0; text-align: left; white-space: normal; }
  .wide td::before { content: attr(data-label) " "; color: var(--soft); }
  .wide td:empty { display: none; }
}
@media print {
  :root { --ink: #000; --soft: #444; --line: #ccc; --page: #fff; --good: #2a7ab9; --bad: #c0392b; --doubt: #d08a1d;
    --quiet: #b8c2cc; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
}
"""


def begin_page(title: str) -> str:
    """Everything above the first heading."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{SCRIPT_HASH}'\">\n"
        f"<title>{escape_html(title)}</title>\n<style>{_STYLE}{CHART_STYLE}{MOVES_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )


def end_page() -> str:
    """The script that searches and sorts, and everything below it."""
    return f"<script>{SCRIPT}</script>\n</main>\n</body>\n</html>\n"


def build_heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape_html(text)}</h{level}>\n"


def build_text(text: str, *, soft: bool = False) -> str:
    """A paragraph."""
    kind = ' class="soft"' if soft else ""
    return f"<p{kind}>{escape_html(text)}</p>\n"


def build_figures(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A table of names and numbers."""
    yield "<table>\n<tbody>\n"
    for name, figure in rows:
        yield f'<tr><th scope="row">{escape_html(name)}</th><td class="number">{escape_html(figure)}</td></tr>\n'
    yield "</tbody>\n</table>\n"


class Sortable(Struct, frozen=True):
    """A cell that is sorted by something else than its text."""

    text: str
    key: str


def build_table(columns: Sequence[str], rows: Iterable[Sequence[object]], mark: str = "") -> Iterator[str]:
    """A table with a header row; on a phone each row becomes a block. Counts are right-aligned.

    `mark` is its id: `moves` is the one that `SCRIPT` searches and sorts.
    """
    known = list(rows)
    numbers = [name != "line" and isinstance(value, int) for name, value in zip(columns, known[0], strict=True)]
    heads = "".join(
        f'<th scope="col"{_mark(is_number)}>{escape_html(name)}</th>'
        for name, is_number in zip(columns, numbers, strict=True)
    )
    named = f' id="{mark}"' if mark else ""
    yield f'<table class="wide"{named}>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
    for row in known:
        cells = (
            f'<td{_mark(is_number)} data-label="{escape_html(name)}"{_key(value)}>{_show(value, is_number)}</td>'
            for name, is_number, value in zip(columns, numbers, row, strict=True)
        )
        yield f"<tr>{''.join(cells)}</tr>\n"
    yield "</tbody>\n</table>\n"


def _mark(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _key(value: object) -> str:
    return f' data-key="{escape_html(value.key)}"' if isinstance(value, Sortable) else ""


def _show(value: object, is_number: bool) -> str:
    if isinstance(value, Sortable):
        value = value.text
    return f"{value:,}" if is_number else escape_html("" if value is None else defuse(str(value)))
