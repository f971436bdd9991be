"""The heading of a table: which field each of its columns is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from ..._validation.text import show
from ...exceptions import RowFault
from .rows import BadRow, PlanRow, name_column
from .spelling import is_part_of_a_time

Cells: TypeAlias = Mapping[str, object]
Read: TypeAlias = Callable[[int, Cells], PlanRow | RowFault]
"""Checks a row of filled cells, by its line."""

MORE_CELLS: Final = "there are more cells than columns"
_ENDINGS: Final = (".csv", ".tsv", ".xlsx", ".xlsm", ".json", ".jsonl")
_TOGETHER: Final = "give the day and the time of day together, in start_time or end_time"
_LOOKS_LIKE_JSON: Final = ("{", "[")


def read_heading(cells: Iterable[str], line: int) -> tuple[list[str | None], list[RowFault]]:
    """The fields by column, `None` for one that is ignored; and what is wrong."""
    names: list[str | None] = []
    spellings: dict[str, str] = {}
    faults: list[RowFault] = []
    line = max(1, line)
    for cell in cells:
        try:
            name = name_column(cell)
        except BadRow as bad:
            faults.append(_describe_heading(line, bad))
            continue
        if name in spellings:
            both = f"{spellings[name]} and {cell.strip()}"
            faults.append(RowFault(line, name, f"two columns are the same field: {both}", "remove one"))
        elif name is not None:
            spellings[name] = cell.strip()
        names.append(name)
    if not faults and "event_id" not in names:
        faults.append(RowFault(line, "event_id", "there is no column event_id", "add it to the header row"))
    return names, faults


def _describe_heading(line: int, bad: BadRow) -> RowFault:
    if bad.column.startswith("<"):
        return RowFault(line, "", "this is HTML or XML, but CSV was expected", 'save it as "CSV UTF-8"')
    if bad.column.startswith(_LOOKS_LIKE_JSON):
        return RowFault(line, "", "this is JSON, but CSV was expected", "set the format to jsonl")
    if bad.column.endswith(_ENDINGS):
        hint = f"pass Path({show(bad.column)}) to read it"
        return RowFault(line, "", "this is the name of a file, but CSV was expected", hint)
    hint = _TOGETHER if is_part_of_a_time(bad.column) else bad.hint
    return RowFault(line, bad.column, bad.reason, hint)
