"""The parts of a report's page: headings, paragraphs and tables in HTML.

Whatever is passed in is text and is escaped. The page loads nothing, and suits phones, desktops, paper, light, dark
and screen readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .charts import CHART_STYLE
from .texts import defuse, escape_html

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
    """All up to the first heading."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape_html(title)}</title>\n<style>{_STYLE}{CHART_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )


def end_page() -> str:
    """All behind the last part."""
    return "</main>\n</body>\n</html>\n"


def build_heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape_html(text)}</h{level}>\n"


def build_text(text: str, *, soft: bool = False) -> str:
    """A paragraph."""
    kind = ' class="soft"' if soft else ""
    return f"<p{kind}>{escape_html(text)}</p>\n"


def build_figures(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A table of names and figures."""
    yield "<table>\n<tbody>\n"
    for name, figure in rows:
        yield f'<tr><th scope="row">{escape_html(name)}</th><td class="number">{escape_html(figure)}</td></tr>\n'
    yield "</tbody>\n</table>\n"


def build_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A table with a heading; on a phone each row stands by itself. Numbers stand to the right, but for lines."""
    known = list(rows)
    numbers = [name != "line" and isinstance(value, int) for name, value in zip(columns, known[0], strict=True)]
    heads = "".join(
        f'<th scope="col"{_mark(is_number)}>{escape_html(name)}</th>'
        for name, is_number in zip(columns, numbers, strict=True)
    )
    yield f'<table class="wide">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
    for row in known:
        cells = (
            f'<td{_mark(is_number)} data-label="{escape_html(name)}">{_show(value, is_number)}</td>'
            for name, is_number, value in zip(columns, numbers, row, strict=True)
        )
        yield f"<tr>{''.join(cells)}</tr>\n"
    yield "</tbody>\n</table>\n"


def _mark(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _show(value: object, is_number: bool) -> str:
    return f"{value:,}" if is_number else escape_html("" if value is None else defuse(str(value)))
