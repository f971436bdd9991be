"""A program that cannot start another thread: what it is told, and that nothing of it happens later."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leadconnector_async import (
    FileTokenStore,
    JournalError,
    LeadConnector,
    Shared,
    StoredToken,
    StoreUnavailableError,
    TokenStoreError,
)
from leadconnector_async._system.threads import NoThreadError, submit
from leadconnector_async.jobs import BulkJob
from leadconnector_async.sandbox import Sandbox

from . import loops
from .api.test_large_responses import COUNT, ENDS, EVENT, START, build_body
from .conftest import QUICK
from .jobs.jobbing import rows, week_later
from .raw_server import answer, raw_server
from .shortage import no_threads

OLD, NEW = (StoredToken(access_token=name, refresh_token=name, expires_at=9.0) for name in ("old", "new"))


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """Of the program: it has no thread yet."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def test_what_was_refused_is_not_done_later(executor: ThreadPoolExecutor) -> None:
    """The executor still has it, and comes to it first."""
    done: list[str] = []
    with no_threads(), pytest.raises(NoThreadError, match="can't start new thread"):
        submit(executor, lambda: done.append("refused"))
    submit(executor, lambda: done.append("done")).result()
    assert done == ["done"]


async def test_a_token_that_was_not_saved_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    """Whose refresh token is the only one that still works."""
    store, busy = FileTokenStore(tmp_path / "tokens.json"), threading.Event()
    working = asyncio.get_running_loop().run_in_executor(None, busy.wait)
    try:
        with no_threads():
            with pytest.raises(TokenStoreError, match=r"could not be written: .*can't start new thread"):
                await store.save("a", OLD)
            with pytest.raises(TokenStoreError, match=r"could not be read: .*can't start new thread"):
                await store.load("a")
        await store.save("a", NEW)
    finally:
        busy.set()
    await working
    assert await store.load("a") == NEW


async def test_a_store_that_needs_a_thread_is_away_until_there_is_one(store_url: str) -> None:
    """SQLite always does, a server for looking up its name: uvloop has threads of its own for that."""
    if loops.NAME != "asyncio" and not store_url.startswith("sqlite"):
        pytest.skip("no thread of Python's is needed")
    shared = Shared(store_url.replace("127.0.0.1", "localhost"), allow_plaintext=True)
    with no_threads():
        with pytest.raises(StoreUnavailableError, match="can't start new thread"):
            await shared.migrate()
        await shared.aclose()
    await shared.migrate()
    assert (await shared.store.read("key")).content is None
    await shared.aclose()


async def test_a_large_response_is_read_all_the_same() -> None:
    """By the event loop."""
    async with (
        raw_server(answer(200, build_body(lambda _: EVENT))) as raw,
        LeadConnector("token", base_url=raw.url, location_id="l", retry=QUICK) as client,
    ):
        with no_threads():
            assert len(await client.list_events(user_id="u", start=START, end=ENDS)) == COUNT


async def test_a_job_is_opened_when_there_is_a_thread(
    executor: ThreadPoolExecutor, client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    """What could not be opened does not lock its folder, whatever the executor remembers."""
    plan = rows(*week_later(sandbox, 2))
    with no_threads(), pytest.raises(JournalError, match="can't start new thread"):
        await BulkJob.create(tmp_path / "day.job", client, plan, thread=executor)
    async with await BulkJob.create(tmp_path / "day.job", client, plan):
        pass
    with no_threads(), pytest.raises(JournalError, match="can't start new thread"):
        await BulkJob.open(tmp_path / "day.job", client, thread=executor)
    async with await BulkJob.open(tmp_path / "day.job", client, thread=executor) as job:
        assert (await job.run()).counts == {"applied": 2}
