"""The page *Share limits between processes* as it says: a web application, four workers, and a job beside it."""

import asyncio
from pathlib import Path

import pytest

from leadconnector_async.sandbox import Limits, Sandbox

from ..cli import shell
from .site import Site

WORKERS = 4
READS = ROWS = 60
pytestmark = pytest.mark.timeout(180)


async def test_people_and_a_job_share_one_limit(tmp_path: Path) -> None:
    """Workers under uvicorn and a job on the command line: every read succeeds, every row is applied, no 429."""
    async with Sandbox(limits=Limits(max_requests=20, interval=1.0)) as sandbox:
        ids = sandbox.appointment_ids
        rows = [f"{event_id},Moved" for event_id in ids[:ROWS]]
        (tmp_path / "plan.csv").write_text("\n".join(["event_id,title", *rows]))
        environment = shell.build_environment(sandbox, LEADCONNECTOR_SHARED=f"sqlite:///{tmp_path}/shared.db")
        async with Site(tmp_path, environment, WORKERS) as site:
            await site.wait(ids[0])
            job = asyncio.create_task(shell.run(tmp_path, environment, "reschedule", "plan.csv", "--yes"))
            statuses = await asyncio.gather(*(site.read(event_id) for event_id in ids[ROWS : ROWS + READS]))
            ended = await job
        assert statuses == [200] * READS
        assert (ended.code, ended.err.count("Traceback")) == (0, 0), ended.err
        assert len(site.workers) == WORKERS
        assert {sandbox.appointment(event_id).title for event_id in ids[:ROWS]} == {"Moved"}
        assert sandbox.requests.count_statuses()[429] == 0
