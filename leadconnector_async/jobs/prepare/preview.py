"""What a job would change, read from its journal: exactly what will be sent."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ...exceptions import RowFault
from ..journal.counts import count_requests, list_examples, list_faults, summarize
from ..journal.load import MOST_NAMED
from ..journal.protocol import Journal
from ..states import RowState


class Example(Struct, frozen=True):
    """What one row would change."""

    line: int
    event_id: str
    differences: tuple[tuple[str, str, str], ...]
    """Field, before and after, in words."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a job would change."""

    counts: Mapping[RowState, int]
    examples: tuple[Example, ...]
    """The first of its changes."""
    faults: tuple[RowFault, ...]
    """Why rows were refused; of very many, the first."""
    requests: Mapping[str, int]
    """Changes to send, by location."""
    seconds: Mapping[str, float]
    """How long that will take, by location, computed from the rate limits."""

    @property
    def remaining_seconds(self) -> float:
        """How long until the slowest location is done."""
        return max(self.seconds.values(), default=0.0)


def read_preview(most: int, journal: Journal) -> Preview:
    """Everything but the seconds."""
    return Preview(
        faults=tuple(list_faults(MOST_NAMED, journal)[0]),
        counts=summarize(journal).counts,
        examples=tuple(Example(row.line, row.event_id, row.differences) for row in list_examples(most, journal)),
        requests=count_requests(journal),
        seconds={},
    )
