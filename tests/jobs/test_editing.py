"""The campaign of hand edits, small; and that it sees what it is there to see."""

import pytest

from leadconnector_async._api.precondition import UpdateGuard
from leadconnector_async.jobs import BulkJob, Stopped

from .editing import run_campaign

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(180)]


async def test_no_edit_that_can_be_seen_is_overwritten() -> None:
    """Through stops, cancellations, prompts, copies, clocks that are set and running jobs; and all are listed."""
    tally = await run_campaign(30, seed=7, survived=20)
    assert tally.holds, tally


async def test_the_campaign_sees_a_job_that_believes_old_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fault put in (nothing is read again, and no age is too old), edits are lost."""

    async def read_nothing_again(job: BulkJob) -> tuple[Stopped, ...]:
        return await job._read_unread()

    monkeypatch.setattr(BulkJob, "_read_what_is_old", read_nothing_again)
    monkeypatch.setattr(UpdateGuard, "check_age", lambda self: None)
    assert (await run_campaign(20, seed=7)).lost > 0
