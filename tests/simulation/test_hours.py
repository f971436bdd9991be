"""A job that keeps to the night, in virtual time: over midnight, and over the night in which the clock changes."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import groupby
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from msgspec import Struct

from leadconnector_async.jobs import JobOptions, JobProgress, JobSummary, control, job
from leadconnector_async.jobs.run import location
from leadconnector_async.sandbox import Limits

from .bulk import open_job
from .virtual import run
from .world import World

ZONE = ZoneInfo("America/New_York")
OPTIONS = JobOptions(
    concurrency=1, rate=0.0025, max_reading_age=86_400, only="22:00-06:00", only_timezone="America/New_York"
)
"""9 rows an hour."""
HALF_A_DAY = timedelta(hours=12)


class Night(Struct):
    """What became of a job."""

    began: float
    """The time on the wall when the clock of the loop was at zero."""
    sent: list[datetime]
    """When each row was sent, by the clock of the zone."""
    summary: JobSummary
    seen: list[tuple[float, JobProgress]]
    """The progress, with the time on the wall."""
    ended: float

    @property
    def waits(self) -> list[tuple[str, str]]:
        """From when, by the hour, to when it was paused outside of its hours, and said so."""
        found: list[tuple[str, str]] = []
        for resume_at, group in groupby(self.seen, lambda one: one[1].resume_at):
            shown = list(group)
            assert {progress.phase == "paused" for _, progress in shown} == {resume_at is not None}
            if resume_at is not None:
                found.append((show(shown[0][0])[:5], show(resume_at)))
        return found


def show(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, ZONE):%d %H:%M %Z}"


@contextmanager
def ticking_slowly() -> Iterator[None]:
    """Whatever happens several times a second happens every five minutes: a day has many seconds."""
    slowly = ((job, "_TICK"), (control, "TICK"), (location, "_LONGEST_NAP"))
    with ExitStack() as stack:
        for module, name in slowly:
            stack.enter_context(mock.patch.object(module, name, 300.0))
        yield


async def play(began: str, rows: int, options: JobOptions = OPTIONS) -> Night:
    """Run a job from a time on the wall to its end."""
    world = World(Limits(max_requests=100), appointments=rows, log_size=100_000)
    loop, zero = asyncio.get_running_loop(), datetime.fromisoformat(began).timestamp() - 20.0
    seen: list[tuple[float, JobProgress]] = []
    with ticking_slowly():
        async with open_job(world, {world.sandbox.location_id: rows}, options=options, began=zero) as opened:
            summary = await opened.run(on_progress=lambda progress: seen.append((zero + loop.time(), progress)))
    writes = world.sandbox.requests.of("update_appointment")
    sent = [datetime.fromtimestamp(zero + one.at, ZONE) for one in writes]
    return Night(zero, sent, summary, seen, zero + loop.time())


@pytest.mark.parametrize(
    ("began", "waits", "first_night"),
    [
        ("2027-06-01T21:00:00-04:00", [("01 21", "01 22:00 EDT"), ("02 06", "02 22:00 EDT")], 8 * 9),
        ("2027-03-13T23:00:00-05:00", [("14 06", "14 22:00 EDT")], 6 * 9),
        ("2027-11-06T23:00:00-04:00", [("07 06", "07 22:00 EST")], 8 * 9),
    ],
)
def test_rows_are_sent_at_night_only(began: str, waits: list[tuple[str, str]], first_night: int) -> None:
    """Whenever it is started; the rest in the next night. It says until when it waits, and when it will end."""
    night = run(play(began, 80))
    assert night.summary.counts == {"applied": 80}
    assert len(night.sent) == 80
    assert all(one.hour >= 22 or one.hour < 6 for one in night.sent)
    assert night.waits == waits
    assert sum(one - night.sent[0] < HALF_A_DAY for one in night.sent) == pytest.approx(first_night, abs=1)
    announced = [at + progress.remaining_seconds for at, progress in night.seen if progress.remaining_seconds]
    assert announced[10:] == pytest.approx([night.ended] * len(announced[10:]), abs=6 / 0.0025)


async def stop_outside() -> tuple[JobSummary, float]:
    """Start a job at noon, stop it an hour later, and measure how long that takes."""
    world, loop = World(Limits(max_requests=100), appointments=9), asyncio.get_running_loop()
    noon = datetime.fromisoformat("2027-06-01T12:00:00-04:00").timestamp()
    with ticking_slowly():
        async with open_job(world, {world.sandbox.location_id: 9}, options=OPTIONS, began=noon) as opened:
            running = asyncio.create_task(opened.run())
            await asyncio.sleep(3600)
            opened.stop()
            stopped_at = loop.time()
            return await running, loop.time() - stopped_at


def test_a_job_that_waits_for_the_night_can_be_stopped() -> None:
    """At once, and nothing was sent."""
    summary, seconds = run(stop_outside())
    assert ([one.kind for one in summary.stopped], summary.counts) == (["interrupted"], {"pending": 9})
    assert seconds < 1
