"""`report.html`: what a job has done, to look at, in one file.

Rule: the page refers to nothing outside of itself, and whatever came from a plan or a server is escaped. What is
shown is counted in the journal's database, so that a long job takes no more memory than a short one.

Knows the journal and the pictures. Must not import the client.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from .drawing import draw_days, draw_latencies, draw_locations, draw_timeline
from .journal import Journal
from .ledger import list_outcomes
from .outcomes import build_summary
from .states import JobSummary, RowOutcome
from .whole_file import replace_file

_MOST_ROWS: Final = 200
_MOST_LOCATIONS: Final = 20
_MOST_DAYS: Final = 60
_MOST_POINTS: Final = 200
_MOST_LATENCIES: Final = 5000
_HINT: Final = "Pictures need an extra: pip install 'leadconnector-async[cli]'"
_SPAN: Final = "SELECT MIN(done_at), MAX(done_at) FROM rows WHERE done_at IS NOT NULL AND parks IS NULL"
_STEPS: Final = """
    SELECT CAST((done_at - ?) / ? AS INTEGER) AS step, COUNT(*) FROM rows
    WHERE done_at IS NOT NULL AND parks IS NULL GROUP BY step
"""
_PAUSES: Final = "SELECT at, seconds FROM moments WHERE kind = 'paused' ORDER BY at LIMIT 500"
_LATENCIES: Final = """
    SELECT seconds FROM rows WHERE seconds > 0 AND (number % MAX(1, (SELECT COUNT(*) FROM rows) / ?)) = 0 LIMIT ?
"""
_LOCATIONS: Final = """
    SELECT location, SUM(state = 'applied'), SUM(state IN ('failed', 'skipped', 'refused')), SUM(state = 'unknown')
    FROM rows WHERE parks IS NULL GROUP BY location ORDER BY COUNT(*) DESC LIMIT ?
"""
_DAYS: Final = """
    SELECT {name} / 86400 AS day, COUNT(*) FROM rows
    WHERE state = 'applied' AND parks IS NULL AND {name} IS NOT NULL GROUP BY day ORDER BY COUNT(*) DESC LIMIT ?
"""
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #22303c; --soft: #5b6b7c; --line: #d9dfe5; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf0; --soft: #9fb0c0; --line: #35424e; --page: #12181d; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .4rem; }
p, figcaption, caption { color: var(--soft); }
figure { margin: 0; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
@media print { body { margin: 0; max-width: none; } figure, tr { break-inside: avoid; } }
"""
_WORDS: Final = {
    "applied": "applied",
    "in_place": "in place already",
    "failed": "failed",
    "skipped": "left out because of a conflict",
    "refused": "refused",
    "unknown": "outcome unknown",
    "ready": "still to go",
    "sent": "to be looked at again",
    "loaded": "not read yet",
}


def write_report(journal: Journal, path: str, summary: JobSummary) -> None:
    """Write the page anew. Raises `OSError`."""
    replace_file(path, _build_page(journal, summary))


def _build_page(journal: Journal, summary: JobSummary) -> Iterator[str]:
    figures = build_summary(journal, summary)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f"<title>{summary.total} rows</title>\n"
    yield f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
    yield f"<h1>{_describe_end(summary)}</h1>\n"
    yield f"<p>{_escape(figures['began_at'] or '')} to {_escape(figures['ended_at'] or '')}, "
    yield f"{_escape(figures['requests'])} requests</p>\n"
    yield from _build_counts(summary)
    try:
        yield from _build_pictures(journal)
    except ModuleNotFoundError:
        yield f"<p>{_escape(_HINT)}</p>\n"
    yield from _build_rows(journal, "Failed and left out", ("failed", "skipped", "refused"), "failed.csv")
    yield from _build_rows(journal, "Outcome unknown", ("unknown",), "unknown.csv")
    yield "</body>\n</html>\n"


def _describe_end(summary: JobSummary) -> str:
    if summary.stopped:
        return f"Stopped: {_escape(summary.stopped[0].reason)}"
    applied = summary.counts.get("applied", 0) + summary.counts.get("in_place", 0)
    return f"{applied} of {summary.total} appointments are as planned"


def _build_counts(summary: JobSummary) -> Iterator[str]:
    yield "<table>\n"
    for state, words in _WORDS.items():
        count = {str(one): number for one, number in summary.counts.items()}.get(state, 0)
        if count:
            yield f'<tr><th scope="row">{words}</th><td class="number">{count}</td></tr>\n'
    if summary.repeated:
        yield '<tr><th scope="row">automations may have run twice (repeated.csv)</th>'
        yield f'<td class="number">{summary.repeated}</td></tr>\n'
    yield "</table>\n"


def _build_pictures(journal: Journal) -> Iterator[str]:
    first, last = journal.read_one(_SPAN) or (None, None)
    if not isinstance(first, float) or not isinstance(last, float):
        return
    width = max(1.0, (last - first) / _MOST_POINTS)
    counted = {_count(step): _count(count) for step, count in journal.read(_STEPS, (first, width))}
    steps = [(first + step * width, counted.get(step, 0)) for step in range(max(counted) + 2)]
    pauses = [(float(str(at)), float(str(seconds))) for at, seconds in journal.read(_PAUSES)]
    shaded = "; pauses for a limit are shaded" if pauses else ""
    yield _frame("Throughput", f"Finished rows a second{shaded}.", draw_timeline(steps, width, pauses))
    latencies = [float(str(one)) for (one,) in journal.read(_LATENCIES, (_MOST_LATENCIES, _MOST_LATENCIES))]
    if latencies:
        yield _frame("Latency", "How long the last answer of each row took.", draw_latencies(latencies))
    yield from _build_locations(journal)
    before, after = (_count_days(journal, name) for name in ("start_before", "start_after"))
    if before and before != after:
        yield _frame("Before and after", "Applied changes by day, in UTC.", draw_days(before, after))


def _build_locations(journal: Journal) -> Iterator[str]:
    counts = {
        str(location) or "own location": (_count(applied), _count(failed), _count(unknown))
        for location, applied, failed, unknown in journal.read(_LOCATIONS, (_MOST_LOCATIONS,))
    }
    if len(counts) > 1:
        words = f"The {len(counts)} largest." if len(counts) == _MOST_LOCATIONS else "All locations."
        yield _frame("Locations", words, draw_locations(counts))


def _count_days(journal: Journal, name: str) -> dict[date, int]:
    days = {_count(day): _count(count) for day, count in journal.read(_DAYS.format(name=name), (_MOST_DAYS,))}
    epoch = datetime(1970, 1, 1, tzinfo=UTC).date()
    return {epoch + timedelta(days=day): count for day, count in days.items()}


def _frame(title: str, words: str, picture: str) -> str:
    named = picture.replace("<svg", f'<svg role="img" aria-label="{_escape(f"{title}. {words}")}"', 1)
    return f"<h2>{_escape(title)}</h2>\n<figure>\n{named}\n<figcaption>{_escape(words)}</figcaption>\n</figure>\n"


def _build_rows(journal: Journal, title: str, states: Iterable[str], file: str) -> Iterator[str]:
    shown = 0
    left = 0
    for outcome in list_outcomes(journal, states):  # type: ignore[arg-type] # the states of this file
        if shown == _MOST_ROWS:
            left += 1
            continue
        if not shown:
            yield f'<h2>{title}</h2>\n<div class="wide"><table>\n'
            yield "<tr><th>line</th><th>event</th><th>state</th><th>reason</th></tr>\n"
        shown += 1
        yield _build_row(outcome)
    if shown:
        yield f"</table></div>\n<p>{f'and {left} more, all of them ' if left else 'Also '}in {file}</p>\n"


def _build_row(outcome: RowOutcome) -> str:
    cells = (str(outcome.line), f"<code>{_escape(outcome.event_id)}</code>", outcome.state, _escape(outcome.reason))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _count(value: object) -> int:
    return int(str(value))


def _escape(value: object) -> str:
    return html.escape(str(value))
