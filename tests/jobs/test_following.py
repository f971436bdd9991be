"""The progress of a job out of its rows: rates, forecasts, phases and workers, without a clock or a database."""

import pytest

from leadconnector_async.jobs.following import Follower
from leadconnector_async.jobs.journal.instructions import Wanted
from leadconnector_async.jobs.journal.leases import Beat
from leadconnector_async.jobs.journal.progress import JobRow, LocationRow, Standing
from leadconnector_async.jobs.journal.tables import Phase


def see(
    *locations: tuple[int, int],
    phase: Phase = "running",
    wanted: Wanted = "run",
    paused: dict[str, float] | None = None,
    beats: tuple[Beat, ...] = (),
) -> Standing:
    """A job whose locations have so many rows, of which so many are applied."""
    rows = [
        LocationRow(f"loc{number}", count, applied, 0, 0, 0, 1, 1)
        for number, (count, applied) in enumerate(locations)
    ]
    job = JobRow(phase, wanted, 1, sum(count for count, _ in locations), 1, None, None)
    return Standing(job, rows, paused or {}, list(beats))


def test_every_result_is_counted_once() -> None:
    """Rows that were already as planned are done, and neither applied nor failed."""
    row = LocationRow("loc", 100, 1, 2, 4, 8, 1, 0)
    unread = LocationRow("other", 10, 0, 0, 0, 0, 0, 0)
    progress = Follower().describe(
        Standing(JobRow("running", "run", 1, 110, 1, None, None), [row, unread], {}, []), 0, 0
    )
    assert (progress.done, progress.total) == (15, 110)
    assert (progress.applied, progress.unknown, progress.failed) == (1, 4, 8)
    assert (progress.locations, progress.prepared) == (2, 1)


def test_the_rate_is_that_of_the_last_thirty_seconds() -> None:
    """Nothing is known at first; what was done before the first reading does not count."""
    follower = Follower()
    first = follower.describe(see((1000, 500)), 0.0, 0.0)
    assert (first.rate, first.remaining_seconds) == (0.0, None)
    assert follower.describe(see((1000, 510)), 1.0, 1.0).rate == 10.0
    for second in range(2, 100):
        progress = follower.describe(see((1000, min(1000, 500 + 10 * second))), float(second), 0.0)
    assert (progress.done, progress.rate, progress.remaining_seconds) == (1000, 0.0, 0.0)


def test_the_end_is_that_of_the_slowest_location() -> None:
    """Or of all that remains at the rate of all, while locations wait for a worker."""
    follower = Follower()
    follower.describe(see((100, 0), (100, 0)), 0.0, 0.0)
    assert follower.describe(see((100, 90), (100, 10)), 10.0, 0.0).remaining_seconds == pytest.approx(90.0)
    follower = Follower()
    follower.describe(see((100, 0), (900, 0)), 0.0, 0.0)
    assert follower.describe(see((100, 50), (900, 0)), 10.0, 0.0).remaining_seconds == pytest.approx(190.0)


@pytest.mark.parametrize(
    ("phase", "wanted", "shown"),
    [
        ("running", "run", "running"),
        ("running", "pause", "paused"),
        ("preparing", "pause", "paused"),
        ("done", "pause", "done"),
        ("running", "cancel", "running"),
    ],
)
def test_a_job_that_is_to_pause_is_shown_as_paused(phase: Phase, wanted: Wanted, shown: str) -> None:
    """Unless it has ended."""
    assert Follower().describe(see((1, 0), phase=phase, wanted=wanted), 0.0, 0.0).phase == shown


def test_a_paused_location_says_for_how_long() -> None:
    """By the clock of the day, which its worker wrote down."""
    assert Follower().describe(see((1, 0), paused={"loc0": 107.0}), 5.0, 100.0).pauses == {"loc0": "7 s more"}


def test_workers_are_those_that_beat() -> None:
    """One whose row was left by a `kill -9` counts until its lease has passed since it was first read."""
    follower = Follower()
    dead, alive = Beat(1, 50, 6.0), Beat(2, 7, 6.0)
    assert follower.describe(see((1, 0), beats=(dead, alive)), 0.0, 0.0).workers == 2
    assert follower.describe(see((1, 0), beats=(dead, Beat(2, 8, 6.0))), 5.0, 0.0).workers == 2
    assert follower.describe(see((1, 0), beats=(dead, Beat(2, 9, 6.0))), 6.0, 0.0).workers == 1


def test_a_job_is_alone_after_thirty_seconds_without_a_beat() -> None:
    """A row that was there at the first reading is no worker until it changes; a new one is."""
    follower = Follower()
    for now in (0.0, 10.0, 29.0):
        follower.describe(see((1, 0), beats=(Beat(1, 5, 6.0),)), now, 0.0)
        assert not follower.is_alone(now)
    assert follower.is_alone(30.0)
    follower.describe(see((1, 0), beats=(Beat(1, 6, 6.0),)), 30.0, 0.0)
    assert not follower.is_alone(59.0)
    follower.describe(see((1, 0), beats=(Beat(1, 6, 6.0), Beat(2, 0, 6.0))), 55.0, 0.0)
    assert not follower.is_alone(84.0)
    assert follower.is_alone(85.0)
