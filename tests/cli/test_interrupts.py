"""Ctrl-C at other moments than in the middle of a run, and readers that go away, as a user meets them."""

import asyncio
import json
import os
import pty
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import FAST, writes
from .shell import COMMAND, build_environment, run, start


@pytest.fixture
async def clinic() -> AsyncIterator[Sandbox]:
    async with Sandbox(limits=FAST, appointments=12) as sandbox:
        yield sandbox


def write_plan(clinic: Sandbox, folder: Path) -> None:
    rows = "".join(f"{event_id},New title\n" for event_id in clinic.appointment_ids)
    (folder / "day.csv").write_text(f"event_id,title\n{rows}")


async def test_an_interrupt_while_the_calendar_is_read_leaves_nothing(clinic: Sandbox, tmp_path: Path) -> None:
    """SIGTERM is the same: exit code 5 at once, although an answer is still to come."""
    write_plan(clinic, tmp_path)
    clinic.faults.plan("get_appointment", ["stall 60"])
    process = await start(tmp_path, build_environment(clinic), "reschedule", "day.csv", "--yes")
    while not clinic.requests:
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert (process.returncode, out) == (5, b"")
    assert err == b"Interrupted before anything was changed.\n"
    assert os.listdir(tmp_path) == ["day.csv"]


async def test_an_interrupt_while_the_plan_is_read_leaves_nothing(clinic: Sandbox, tmp_path: Path) -> None:
    """Also where the rest of the plan never comes."""
    pipe = asyncio.subprocess.PIPE
    process = await start(tmp_path, build_environment(clinic), "reschedule", "-", "--yes", stdin=pipe)
    assert process.stdin is not None
    process.stdin.write(b"event_id,title\n")
    while not os.listdir(tmp_path):
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 5
    assert process.stderr is not None
    assert await process.stderr.read() == b"Interrupted before anything was changed.\n"
    assert os.listdir(tmp_path) == []


async def test_an_interrupt_instead_of_an_answer_leaves_nothing(clinic: Sandbox, tmp_path: Path) -> None:
    """On a terminal; the question is asked there, and nowhere else."""
    write_plan(clinic, tmp_path)
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("reschedule", "day.csv"),
        cwd=tmp_path,
        env=build_environment(clinic, TERM="xterm"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while b"[y/N]" not in shown:
        shown += await asyncio.to_thread(os.read, master, 65536)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 5
    os.close(master)
    assert not writes(clinic)
    assert os.listdir(tmp_path) == ["day.csv"]


async def test_a_job_can_be_looked_at_while_it_runs(clinic: Sandbox, tmp_path: Path) -> None:
    """`status` reads the journal and keeps nobody out; a second `resume` has nothing to do."""
    write_plan(clinic, tmp_path)
    environment = build_environment(clinic)
    process = await start(tmp_path, environment, "reschedule", "day.csv", "--yes", "--rate", "0.1")
    while not writes(clinic):
        await asyncio.sleep(0.02)
    status, second = await asyncio.gather(
        run(tmp_path, environment, "status", "day.job", "--json"), run(tmp_path, environment, "resume", "day.job")
    )
    assert status.code == 5
    assert json.loads(status.out)["remaining"] > 0
    assert (second.code, second.out, second.err) == (0, "day.job is running.\n", "")
    process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    assert process.returncode == 5
    assert b"leadconnector resume day.job" in out


async def test_a_reader_that_goes_away_ends_nothing(clinic: Sandbox, tmp_path: Path) -> None:
    """`| head`: the job is done all the same, its exit code is what it is, and there is no traceback."""
    write_plan(clinic, tmp_path)
    ended = []
    for flags in (("--yes", "--json"), ("--yes", "--job", "other.job")):
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("reschedule", "day.csv", *flags),
            cwd=tmp_path,
            env=build_environment(clinic),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        os.close(reading)
        _, err = await process.communicate()
        ended.append(process.returncode)
        assert b"Traceback" not in err
        assert b"Broken" not in err
    assert ended == [0, 0]
    assert len(writes(clinic)) == 12
