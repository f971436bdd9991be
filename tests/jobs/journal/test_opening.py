"""Opening a journal in its thread: nothing stays open for somebody who no longer waits for it."""

import asyncio
import threading

import pytest

from leadconnector_async.jobs.journal.writer import make_thread, open_in


async def test_what_is_opened_too_late_is_closed() -> None:
    """A connection that was asked for by a task that has been cancelled meanwhile."""
    thread, begun, may_end, closed = make_thread(), threading.Event(), threading.Event(), list[str]()

    def open_slowly() -> str:
        begun.set()
        may_end.wait()
        return "a connection"

    opening = asyncio.create_task(open_in(thread, open_slowly, closed.append))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not closed
    may_end.set()
    thread.shutdown(wait=True)
    assert closed == ["a connection"]


async def test_what_is_opened_in_time_stays_open() -> None:
    """It belongs to the caller."""
    thread, closed = make_thread(), list[str]()
    assert await open_in(thread, lambda: "a connection", closed.append) == "a connection"
    thread.shutdown(wait=True)
    assert not closed
