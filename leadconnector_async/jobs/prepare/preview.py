"""What a job would change, read from its journal: exactly what will be sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from ...exceptions import RowFault
from ..journal.counts import count_requests, list_faults, summarize
from ..journal.load import MOST_NAMED
from ..journal.protocol import Journal
from ..states import RowState
from .changes import Known, RowChange, read_changes, render_length, render_move, render_title
from .plan_warnings import PlanWarning, WarningCounter


class Example(Struct, frozen=True):
    """What one row would change."""

    line: int
    """The line of its plan."""
    event_id: str
    """The appointment."""
    differences: tuple[tuple[str, str, str], ...]
    """What changes besides the times: field, before and after, in words."""
    title: str = ""
    """Of the appointment as it is now."""
    move: str = ""
    """From when to when, with weekdays, by the calendar's clock on both sides; empty if it does not move."""
    name: str = ""
    """Of the contact; empty unless it was asked for."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a job would change."""

    counts: Mapping[RowState, int]
    """The number of rows in each state."""
    examples: tuple[Example, ...]
    """The first of its changes."""
    faults: tuple[RowFault, ...]
    """Why rows were refused; of very many, the first."""
    requests: Mapping[str, int]
    """Changes to send, by location."""
    seconds: Mapping[str, float]
    """How long that will take, by location, computed from the rate limits."""
    warnings: tuple[PlanWarning, ...] = ()
    """What can be sent, but may not be meant."""

    @property
    def remaining_seconds(self) -> float:
        """How long until the slowest location is done."""
        return max(self.seconds.values(), default=0.0)


def read_preview(most: int, known: Known, journal: Journal) -> Preview:
    """Everything but the seconds."""
    counter = WarningCounter(datetime.now(UTC))
    examples: list[Example] = []
    for change in read_changes(known, journal):
        counter.add(change)
        if len(examples) < most:
            examples.append(_build_example(change))
    return Preview(
        faults=tuple(list_faults(MOST_NAMED, journal)[0]),
        counts=summarize(journal).counts,
        examples=tuple(examples),
        requests=count_requests(journal),
        seconds={},
        warnings=counter.build(),
    )


def _build_example(change: RowChange) -> Example:
    before, after = change.before, change.after
    differences = change.differences
    move = ""
    if before is not None and after is not None and before != after:
        move = render_move(before, after)
        if before.length != after.length:
            differences = (("length", render_length(before.length), render_length(after.length)), *differences)
    return Example(change.line, change.event_id, differences, render_title(change.found), move, change.name)
