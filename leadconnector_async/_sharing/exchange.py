"""One exchange between a member and the shared state of its location: the arithmetic, and nothing else."""

from __future__ import annotations

from .state import BudgetState, Grant, Report
from .store import Reading


def exchange(state: BudgetState | None, reading: Reading, report: Report) -> tuple[BudgetState, Grant]:
    """Take a report in and grant what is free; returns the new state and what the member may do.

    `state` is what `decode(reading.content)` gave; it is used up, so decode again after a swap that lost. The grant
    counts only once the new state has been swapped in.
    """
    raise NotImplementedError
