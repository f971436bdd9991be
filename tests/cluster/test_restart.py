"""Everything is killed at once, and started again."""

import asyncio
from pathlib import Path

import pytest

from .field import lay_out

LOCATIONS, ROWS = 4, 30
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


@pytest.mark.parametrize("written", [0, LOCATIONS * ROWS // 3])
async def test_a_job_goes_on_by_itself_after_everything_was_killed(tmp_path: Path, written: int) -> None:
    """Workers and database, right after `submit` and in the middle: whoever is started carries out the rest."""
    async with lay_out(tmp_path, LOCATIONS, ROWS) as field:
        workers = [await field.start() for _ in range(2)]
        plan = await field.submit("week", rate=10.0)
        await field.until_written(written)
        await asyncio.to_thread(field.server.kill)
        for worker in workers:
            worker.kill()
            await worker.wait()
        await asyncio.to_thread(field.server.start)
        for _ in range(2):
            await field.start()
        verdict = await field.finish("week", plan)
        assert verdict.holds, verdict
