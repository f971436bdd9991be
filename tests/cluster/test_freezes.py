"""A worker that was frozen, and continues when others have its locations: it writes nothing, anywhere."""

import time
from pathlib import Path

import pytest

from .field import LONGEST, lay_out

LOCATIONS, ROWS, RATE = 4, 30, 10.0
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


@pytest.mark.parametrize("point", ["in-transaction", "before-send", "intent-committed", "on-the-way"])
async def test_a_frozen_worker_holds_nobody_up_and_writes_nothing_twice(tmp_path: Path, point: str) -> None:
    """Frozen with an open transaction, between intent and send, with a request on its way: others take over."""
    async with lay_out(tmp_path, LOCATIONS, ROWS) as field:
        frozen = await field.start()
        plan = await field.submit("week", rate=RATE)
        assert await frozen.lead_to(point, 10, "stop", LONGEST), frozen.read_errors()
        began = time.monotonic()
        held = await field.watcher.list_held(frozen.pid)
        assert held
        await field.start()
        assert await field.watcher.measure(held, began, LONGEST)
        await field.until_written(LOCATIONS * ROWS)
        frozen.thaw()
        assert (await field.finish("week", plan)).holds
        frozen.terminate()
        assert await frozen.wait() == 0, frozen.read_errors()
        assert (await field.finish("week", plan)).holds
