"""The event loop that tests run on: asyncio's own, or with `TEST_LOOP=uvloop` in the environment, uvloop's.

uvloop takes the place of asyncio's loop in the tests, in `asyncio.run`, and in the processes that tests start.
Tests in virtual time stay on asyncio's: uvloop gives nobody its clock. A test that hangs on uvloop is ended only
with `--timeout-method=thread`: a signal does not wake that loop.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

NAME = os.environ.get("TEST_LOOP", "asyncio")
_FOLDER = Path(__file__).parent / "on_uvloop"


def install() -> None:
    """Here, and in all processes that are started from now on."""
    if NAME == "asyncio":
        return
    if NAME != "uvloop":
        raise pytest.UsageError(f"TEST_LOOP={NAME} is not a valid loop; it is asyncio or uvloop")
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_FOLDER), inherited] if inherited else [str(_FOLDER)])


class VirtualTime:
    """A plugin of pytest: a test that is marked `looptime` gets asyncio's loop, whatever the others get.

    So does one with `leadconnector_clock`, which needs it, too.
    """

    def pytest_asyncio_loop_factories(
        self, item: pytest.Item
    ) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        needs_clock = "leadconnector_clock" in getattr(item, "fixturenames", ())
        if needs_clock or item.get_closest_marker("looptime") is not None:
            return {"asyncio": asyncio.SelectorEventLoop}
        return {NAME: asyncio.new_event_loop}
