"""An async stream of rows, read from the thread of a journal.

Rule: the loop reads the stream, the thread waits for it; whoever gives up frees the thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from threading import Lock
from typing import Final, TypeVar

from .any_rows import AnyRow, RowSource

T = TypeVar("T")
_MOST_TOGETHER: Final = 500
"""Rows that are handed over at once: going from thread to thread costs more than a row."""


class StreamEnded(Exception):  # noqa: N818 - it never leaves the thread
    """Nobody wants the rest."""


class Stream(Iterator[AnyRow]):
    """The rows of an async stream, one after the other; iterate it in any thread but the loop's."""

    def __init__(self, rows: AsyncIterable[AnyRow]) -> None:
        self._rows: AsyncIterator[AnyRow] = aiter(rows)
        self._loop = asyncio.get_running_loop()
        self._known: Iterator[AnyRow] = iter(())
        self._reading: Future[list[AnyRow]] | None = None
        self._has_ended = self._is_stopped = False
        self._lock = Lock()
        self.failure: BaseException | None = None
        """What the stream itself has raised."""

    def __next__(self) -> AnyRow:
        for row in self._known:
            return row
        if self._has_ended:
            raise StopIteration
        with self._lock:
            if self._is_stopped:
                raise StreamEnded
            self._reading = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        self._known = iter(self._reading.result())
        if self.failure is not None:
            raise StreamEnded
        return next(self._known)

    def stop(self) -> None:
        """Free the thread: what it waits for never comes. In the loop's thread."""
        with self._lock:
            self._is_stopped = True
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> list[AnyRow]:
        rows: list[AnyRow] = []
        try:
            while len(rows) < _MOST_TOGETHER:
                rows.append(await anext(self._rows))
        except StopAsyncIteration:
            self._has_ended = True
        except BaseException as error:
            self.failure = error
        return rows


async def hand_over(rows: RowSource, work: Callable[[Iterable[AnyRow]], T], thread: Executor) -> T:
    """Do something with rows in a thread, wherever they come from. Raises what `work` and `rows` raise."""
    loop = asyncio.get_running_loop()
    if not isinstance(rows, AsyncIterable):
        return await loop.run_in_executor(thread, work, rows)
    stream = Stream(rows)
    working = loop.run_in_executor(thread, work, stream)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stream.stop()
        await asyncio.wait([working])
        raise
    except Exception:
        if stream.failure is not None:
            raise stream.failure from None
        raise
