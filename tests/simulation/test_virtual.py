"""The loop in virtual time."""

import asyncio
import time

from .virtual import run


def test_time_passes_only_while_everybody_waits() -> None:
    """An hour takes no time, and what a thread would do is done at once."""

    async def wait() -> tuple[float, int]:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - began, await asyncio.to_thread(lambda: 1)

    began = time.monotonic()
    passed, result = run(wait())
    assert 3600 <= passed < 3601
    assert result == 1
    assert time.monotonic() - began < 60
