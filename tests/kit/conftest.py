"""The kit's clock needs asyncio's own loop, so the programs that these tests start run on it."""

import pytest


@pytest.fixture(autouse=True)
def own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where everything else runs on uvloop, which reaches other processes through their path."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
