"""The progress of a run, from the outcomes of its rows."""

import asyncio

import pytest

from leadconnector_async._api.precondition import ReadingClock
from leadconnector_async.jobs import JobOptions, RowOutcome
from leadconnector_async.jobs.control import Control
from leadconnector_async.jobs.eta import ReadingLog
from leadconnector_async.jobs.run.progress import Progress
from leadconnector_async.jobs.states import RowState


def make_progress(loads: dict[str, int], options: JobOptions) -> Progress:
    return Progress(loads, Control(options), ReadingLog(ReadingClock(asyncio.get_running_loop())), 0.0)


def end(progress: Progress, *states: RowState) -> list[str]:
    """Some rows have ended; returns why the job must stop."""
    outcomes = (RowOutcome(line=1, event_id="e", state=state) for state in states)
    return [stopped.reason for one in outcomes if (stopped := progress.count("loc", one)) is not None]


async def test_rows_that_are_sent_again_count_once() -> None:
    """Of three whose outcome was unknown, one was applied after all, one is sent again, and one stays unknown."""
    progress = make_progress({"loc": 5}, JobOptions())
    end(progress, "applied", "unknown", "unknown", "unknown")
    progress.reopen("loc", applied=1, again=1)
    shown = progress.describe(1.0)
    assert (shown.done, shown.total, shown.applied, shown.unknown) == (3, 5, 2, 1)
    end(progress, "applied", "applied")
    shown = progress.describe(2.0)
    assert (shown.done, shown.total, shown.applied, shown.unknown) == (5, 5, 4, 1)


@pytest.mark.parametrize("again", [0, 2])
async def test_what_was_read_back_is_no_error(again: int) -> None:
    """It no longer counts against `max_errors`."""
    progress = make_progress({"loc": 9}, JobOptions(max_errors=3))
    assert not end(progress, "unknown", "unknown")
    progress.reopen("loc", applied=2 - again, again=again)
    assert not end(progress, "failed", "failed")
    assert end(progress, "failed") == ["3 rows have failed; max_errors is 3"]
