"""How soon a process sees what somebody wants of its job, in virtual time."""

import asyncio
from typing import Literal, cast

import pytest

from leadconnector_async import JournalError
from leadconnector_async.jobs import JobOptions
from leadconnector_async.jobs.control import TICK, Control, follow, wait_while_paused
from leadconnector_async.jobs.journal.instructions import Instructions, Wanted
from leadconnector_async.jobs.journal.writer import JournalWriter

pytestmark = pytest.mark.looptime


class Row:
    """The row of a job, in a database that is sometimes busy."""

    def __init__(self) -> None:
        self.instructions = Instructions("run", None)
        self.is_busy = False

    async def run(self, work: object) -> Instructions:
        await asyncio.sleep(0.01)
        if self.is_busy:
            raise JournalError("it is busy")
        return self.instructions


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.509, 1.0])
async def test_an_instruction_is_seen_within_half_a_second(moment: float) -> None:
    """Whenever it is written; and a rate that the program itself has set is left alone until the row changes."""
    row, control, loop = Row(), Control(JobOptions(verify=True)), asyncio.get_running_loop()
    following = asyncio.create_task(follow(control, cast("JournalWriter", row)))
    for instructions in (Instructions("pause", None), Instructions("run", 5.0), Instructions("cancel", 5.0)):
        await asyncio.sleep(moment)
        row.instructions, written = instructions, loop.time()
        await control.wait_for_change()
        assert loop.time() - written <= TICK + 0.02
        assert (control.wanted, control.options) == (
            instructions.wanted,
            JobOptions(verify=True, rate=instructions.rate),
        )
    following.cancel()


async def test_a_busy_database_delays_an_instruction_and_loses_none() -> None:
    """The run itself says so, if it is more than that."""
    row, control, loop = Row(), Control(JobOptions()), asyncio.get_running_loop()
    following = asyncio.create_task(follow(control, cast("JournalWriter", row)))
    row.is_busy, row.instructions = True, Instructions("pause", None)
    loop.call_later(20, setattr, row, "is_busy", False)
    await control.wait_for_change()
    assert 20 <= loop.time() <= 20.6
    following.cancel()


@pytest.mark.parametrize("then", ["run", "cancel", "stopped"])
async def test_a_paused_job_waits_until_something_else_is_wanted(then: Wanted | Literal["stopped"]) -> None:
    """However long; a new rate does not end it."""
    control, loop, stopped = Control(JobOptions()), asyncio.get_running_loop(), asyncio.Event()
    control.update("pause", JobOptions())
    loop.call_later(1800, control.update, "pause", JobOptions(rate=2.0))
    if then == "stopped":
        loop.call_later(3600, stopped.set)
        loop.call_later(3600, control.notify)
    else:
        loop.call_later(3600, control.update, then, JobOptions(rate=2.0))
    await wait_while_paused(control, stopped.is_set)
    assert loop.time() == 3600
