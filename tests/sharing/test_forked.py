"""Processes that are forked from one whose client is in use."""

import asyncio
import sys
from pathlib import Path

import pytest

from leadconnector_async import Shared

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


async def run_script(module: str, store_url: str) -> str:
    """What a script prints that forks while its store, which is ready, is in use."""
    shared = Shared(store_url)
    await shared.migrate()
    await shared.aclose()
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, store_url), cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await script.communicate()
    return printed.decode()


async def test_a_child_may_close_its_own_client_and_an_inherited_one(store_url: str) -> None:
    """It waits for no event loop of its parent, and disturbs none of the parent's connections."""
    printed = await run_script("tests.sharing.forked", store_url)
    assert printed.split("\n") == ["ended 0", "ended 0", "ended 0", "True", "True", ""]


async def test_what_a_child_writes_is_not_lost(store_url: str) -> None:
    """Also after the parent, and another process after it, have closed the store, which then seems to be unused."""
    assert await run_script("tests.sharing.forked_file", store_url) == "4\n"
