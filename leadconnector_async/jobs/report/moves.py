"""The first table of a report: whose appointment goes from when to when, by the calendar's clock."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from ..._api.fields import PERSONAL
from ..journal.counts import ChangeRow, ListedRow, list_reported
from ..journal.protocol import Journal
from ..plan.rows import defuse
from ..prepare.changes import (
    Known,
    RowChange,
    Stay,
    build_change,
    learn_zone,
    place_start,
    render_moment,
    render_title,
)
from ..prepare.zones import CalendarZones, name_offset
from ..states import ROW_STATES
from .charts import escape_html

MOST_MOVES: Final = 5_000
"""Rows of the table: a page with many more would be slow to open."""
_Cell = tuple[str, str]
"""What is shown, and what it is sorted by."""


class Moves:
    """The changes of a job, and what they show of the zones of its calendars."""

    def __init__(self, journal: Journal) -> None:
        self._zones = CalendarZones()
        self._rows = list(islice(list_reported(journal), MOST_MOVES))
        for row in self._rows:
            learn_zone(self._zones, row)

    def render(self, total: int, *, has_many: bool) -> Iterator[str]:
        """The table, of so many rows of the job; empty if no change was planned."""
        if not self._rows:
            return
        location = ["location"] if has_many else []
        columns = ["title", "contact", *location, "from", "to", "also changed", "state"]
        heads = "".join(f'<th scope="col">{name}</th>' for name in columns)
        yield "<h2>Who moves from when to when</h2>\n"
        yield f'<table class="wide" id="moves">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
        for row in self._rows:
            yield f"<tr>{''.join(self._render_row(row, columns, has_many=has_many))}</tr>\n"
        yield "</tbody>\n</table>\n"
        if len(self._rows) == MOST_MOVES and total > MOST_MOVES:
            yield f'<p class="soft">… and {total - MOST_MOVES:,} more.</p>\n'

    def find_start(self, row: ListedRow) -> str:
        """When the appointment of a row was before the job; empty if that is not known."""
        start = place_start(self._zones, row)
        return "" if start is None else _render(start)

    def _render_row(self, row: ChangeRow, columns: Sequence[str], *, has_many: bool) -> Iterator[str]:
        change = build_change(row, Known(self._zones))
        location = [_say(row.location)] if has_many else []
        cells = [
            _say(render_title(change.found)),
            _say(change.found.contact_id or ""),
            *location,
            _time(change.before),
            _time(change.after) if change.moves else _say("stays"),
            _say(", ".join(_list_others(change))),
            _say(ROW_STATES[row.state].words),
        ]
        for name, (text, key) in zip(columns, cells, strict=True):
            sorted_by = f' data-key="{escape_html(key)}"' if key != text else ""
            yield f'<td data-label="{name}"{sorted_by}>{escape_html(defuse(text))}</td>'


def _say(text: str) -> _Cell:
    return text, text


def _time(stay: Stay | None) -> _Cell:
    if stay is None:
        return "", ""
    return _render(stay.start), stay.start.astimezone(UTC).isoformat()


def _render(moment: datetime) -> str:
    return f"{render_moment(moment)} ({name_offset(moment)})"


def _list_others(change: RowChange) -> Iterator[str]:
    """What else changes; an address and a description are nobody's business here."""
    if change.before is not None and change.after is not None and change.before.length != change.after.length:
        yield "length"
    for name, before, after in change.differences:
        yield name if name in PERSONAL and name != "title" else f"{name}: {before} → {after}"


SCRIPT: Final = """
(() => {
  const table = document.getElementById("moves");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const search = document.createElement("input"), label = document.createElement("label");
  const count = document.createElement("output"), line = document.createElement("p");
  search.type = "search";
  label.append("Search ", search);
  line.append(label, " ", count);
  table.before(line);
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? `${shown} of ${rows.length}` : "";
  });
  const order = new Intl.Collator(undefined, { numeric: true }).compare;
  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const read = (row) => row.cells[index].dataset.key ?? row.cells[index].textContent;
      body.append(...rows.sort((one, other) => sign * order(read(one), read(other))));
    });
  });
})();
"""
"""Search and sort; without it the table is complete, too. It loads nothing."""
SCRIPT_HASH: Final = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
"""The only script that the page may run."""
MOVES_STYLE: Final = """
[hidden] { display: none !important; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
input[type=search] { font: inherit; padding: .2rem .4rem; width: min(100%, 20rem); }
td[data-label=from], td[data-label=to], td[data-label=time] { min-width: 11rem;
  font-variant-numeric: tabular-nums; }
td[data-label=title] { overflow-wrap: break-word; }
@media print { p:has(input[type=search]) { display: none; } }
"""
