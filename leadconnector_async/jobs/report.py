"""`report.html`: what a job did, as one page that stands alone.

What is shown is counted in the journal's database, so a long job takes no more memory than a short one. Rows are
identified by line and event id; personal data of an appointment is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from .charts import draw_charts, render_seconds
from .journal import Journal
from .outcomes import read_totals
from .page import begin_page, build_figures, build_heading, build_table, build_text, end_page
from .states import JobSummary, RowState
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
from .whole_file import replace_file

MOST_ROWS: Final = 200
_MOST_STOPS: Final = 20
_ROWS: Final = """
    SELECT line, event_id, location, state, reason, trace_id FROM rows
    WHERE parks IS NULL AND {condition} ORDER BY number LIMIT ?
"""
_NOT_CHANGED: Final = "state IN ('failed', 'skipped', 'refused')"
_UNKNOWN: Final = "state = 'unknown'"
_REPEATED: Final = "repeated = 1"
_TEXT: Final = r"(?:empty|'(?:[^'\\]|\\.)*['…]|\"(?:[^\"\\]|\\.)*[\"…])"
_PERSONAL: Final = re.compile(rf"\b(title|address|description) was {_TEXT}, is {_TEXT}")
"""As `FieldChange` words it."""
_WORDS: Final[Mapping[RowState, str]] = {
    "applied": "changed",
    "in_place": "already as planned",
    "failed": "failed",
    "skipped": "skipped: in conflict, or changed by someone else",
    "refused": "rejected before sending",
    "unknown": "outcome unknown",
    "ready": "pending",
    "sent": "sent, outcome not checked yet",
    "loaded": "not read yet",
}


def write_report(journal: Journal, path: str, summary: JobSummary) -> None:
    """Write or replace the file, whole or not at all. Raises `OSError`."""
    name = os.path.basename(os.path.dirname(os.path.abspath(path)))
    replace_file(path, _build_page(journal, name, summary))


def _build_page(journal: Journal, name: str, summary: JobSummary) -> Iterator[str]:
    good = summary.counts.get("applied", 0) + summary.counts.get("in_place", 0)
    title = f"{good:,} of {_count(summary.total, 'appointment')} {'is' if good == 1 else 'are'} as planned"
    yield begin_page(f"{name}: {title}")
    yield build_heading(title, 1)
    yield from _build_facts(journal, name, summary)
    locations, latencies = count_locations(journal), count_latencies(journal)
    yield build_heading("Outcome")
    yield from build_figures(_list_figures(summary, latencies))
    charts = list(draw_charts(count_throughput(journal), latencies, locations, count_days(journal)))
    if charts:
        yield f'<div class="charts">\n{"".join(charts)}</div>\n'
    has_many = len(locations) > 1
    if has_many:
        yield from _build_locations(locations)
    failed = sum(summary.counts.get(state, 0) for state in ("failed", "skipped", "refused"))
    yield from _build_rows(journal, "Not changed", _NOT_CHANGED, failed, "failed.csv", has_many)
    unknown = summary.counts.get("unknown", 0)
    yield from _build_rows(journal, "Outcome unknown", _UNKNOWN, unknown, "unknown.csv", has_many)
    title = "Contacts may have been notified twice"
    yield from _build_rows(journal, title, _REPEATED, summary.repeated, "repeated.csv", has_many)
    yield end_page()


def _build_facts(journal: Journal, name: str, summary: JobSummary) -> Iterator[str]:
    requests, began_at, ended_at = read_totals(journal)
    plan = (journal.get_fact("plan") or "")[:12]
    if began_at and ended_at:
        span = f"{_render_time(began_at)} to {_render_time(ended_at)} UTC"
        yield build_text(f"Job {name}, plan {plan}: {_count(requests, 'request')}, {span}.", soft=True)
    else:
        yield build_text(f"Job {name}, plan {plan}: no requests were sent.", soft=True)
    for stopped in summary.stopped[:_MOST_STOPS]:
        where = f"Location {stopped.location_id}" if stopped.location_id else "The job"
        yield build_text(f"{where} stopped early: {_hide_personal(stopped.reason)}")
    if len(summary.stopped) > _MOST_STOPS:
        yield build_text(f"… and {len(summary.stopped) - _MOST_STOPS:,} more locations.")
    if summary.left:
        yield build_text(f"{_count(summary.left, 'row')} remaining: resume the job.")


def _list_figures(summary: JobSummary, latencies: Latencies | None) -> Iterator[tuple[str, str]]:
    for state, words in _WORDS.items():
        if count := summary.counts.get(state, 0):
            yield words, f"{count:,}"
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
    shown = [part for part in PARTS if any(one.parts[part] for one in locations)]
    rows = (
        [one.name or "default location", *(one.parts[part] for part in shown), one.total]
        for one in gather_locations(locations)
    )
    yield from build_table(["location", *shown, "total"], rows)


def _build_rows(
    journal: Journal, title: str, condition: str, count: int, file: str, has_many: bool
) -> Iterator[str]:
    rows = list(_list_rows(journal, condition, has_many)) if count else []
    if not rows:
        return
    yield build_heading(f"{title}: {_count(count, 'row')}")
    columns = ["line", "event", *(["location"] if has_many else []), "state", "reason", "trace id"]
    yield from build_table(columns, rows)
    more = f"… and {count - MOST_ROWS:,} more, in {file}" if count > MOST_ROWS else f"Also in {file}"
    yield build_text(f"{more}.", soft=True)


def _list_rows(journal: Journal, condition: str, has_many: bool) -> Iterator[list[object]]:
    query = _ROWS.format(condition=condition)
    for line, event_id, location, state, reason, trace_id in journal.read(query, (MOST_ROWS,)):
        where = [location] if has_many else []
        yield [line, event_id, *where, state, _hide_personal(str(reason)), trace_id]


def _hide_personal(reason: str) -> str:
    """A reason without personal data of the appointment."""
    return _PERSONAL.sub(r"\1 has changed", reason)


def _render_time(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
