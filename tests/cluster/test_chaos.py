"""A small campaign of faults: one of each kind."""

from pathlib import Path

import pytest

from . import chaos
from .script import SHORT

SEED = 4711


@pytest.mark.campaign(180)
@pytest.mark.timeout(300)
async def test_whatever_happens_no_row_is_lost_or_written_twice(tmp_path: Path) -> None:
    """Workers killed, stopped and cut off, the database restarted: 0 lost, 0 second writes, 0 429s."""
    tally = await chaos.run(SEED, len(SHORT), 2.0, tmp_path, print)
    assert not tally.complaints
    assert sum(tally.faults.values()) + tally.missed == len(SHORT)
    assert tally.missed <= len(SHORT) // 3
