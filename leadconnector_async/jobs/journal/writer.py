"""Group commit: one thread writes the journal, and each commit takes all entries that have accumulated.

An entry is reported as written only when it is on disk. After one failure nothing more is written, and every
waiting or later caller gets the error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain, groupby
from operator import attrgetter
from typing import Final, TypeVar

from msgspec import Struct

from ...exceptions import ConfigurationError, JournalError
from .protocol import Journal, Record

T = TypeVar("T")
Then = Callable[[JournalError | None], object]
"""Called once: with `None` when the entry is on disk, otherwise with the error. Must not raise."""

_MOST_TOGETHER: Final = 64
"""Records in one statement: SQLite accepts at least 999 values."""
_get_statement: Final = attrgetter("statement", "values")


def make_thread() -> Executor:
    """One thread for one journal."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="leadconnector-journal")


class Entry(Struct, frozen=True, gc=False):
    """A statement and its values."""

    statement: str
    record: Record
    values: str = ""
    """Replaces `{values}` in the statement, once per record, so that many records take one statement.

    SQLite releases the GIL at every statement, and has to wait until it gets it back.
    """


class JournalWriter:
    """Writes and reads a journal outside the event loop. `thread` must run one job at a time."""

    def __init__(self, journal: Journal, thread: Executor) -> None:
        self._journal: Final = journal
        self._thread = thread
        self._entries: list[Entry] = []
        self._waiting: list[Then] = []
        self._writing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._failure: JournalError | None = None
        self._is_closed = False

    @property
    def failure(self) -> JournalError | None:
        """The error that stopped the journal; `None` if there was none."""
        return self._failure

    async def run(self, work: Callable[[Journal], T]) -> T:
        """Run a function on the journal, in its thread."""
        self._check()
        return await self._loop.run_in_executor(self._thread, work, self._journal)

    def lend(self, read: Callable[[Journal], Iterable[T]]) -> Iterator[T]:
        """Read the journal from another thread; nothing else may use it meanwhile."""
        self._check()
        yield from read(self._journal)

    def add(self, entry: Entry, then: Then | None = None) -> None:
        """Write it with the next commit, without waiting."""
        if self._failure is not None or self._is_closed:
            self._check()
        self._entries.append(entry)
        if then is not None:
            self._waiting.append(then)
        if self._writing is None:
            self._writing = self._loop.create_task(self._write_groups())
            self._writing.add_done_callback(self._on_end)

    async def write(self, entry: Entry) -> None:
        """Write an entry; it is on disk when this returns."""
        written: asyncio.Future[None] = self._loop.create_future()
        self.add(entry, partial(_resolve, written))
        await written

    async def flush(self) -> None:
        """Wait until all entries are on disk."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        self._check()

    async def close(self) -> None:
        """Write the remaining entries, and close the file."""
        try:
            if self._failure is None:
                await self.flush()
        finally:
            self._is_closed = True
            await self._loop.run_in_executor(self._thread, self._journal.close)
            self._thread.shutdown(wait=False)

    async def _write_groups(self) -> None:
        """Commit all entries; those that arrive during a commit form the next one."""
        try:
            while self._entries:
                entries, waiting = self._entries, self._waiting
                self._entries, self._waiting = [], []
                try:
                    await self._loop.run_in_executor(self._thread, _commit, self._journal, entries)
                except Exception as error:
                    self._fail(error, waiting)
                    return
                except (
                    BaseException
                ) as error:  # cancelling all tasks cancels this one, and every caller must learn of it
                    self._fail(error, waiting)
                    raise
                for then in waiting:
                    then(None)
        finally:
            self._writing = None

    def _on_end(self, writing: asyncio.Task[None]) -> None:
        if self._writing is writing:  # it was cancelled before it began
            self._writing = None
            self._fail(asyncio.CancelledError(), [])

    def _fail(self, error: BaseException, waiting: list[Then]) -> None:
        text = f"The journal could not be written ({type(error).__name__}: {error})."
        self._failure = failure = error if isinstance(error, JournalError) else JournalError(text)
        later, self._waiting = self._waiting, []
        self._entries = []
        for then in (*waiting, *later):
            then(JournalError(*failure.args))

    def _check(self) -> None:
        if self._is_closed:
            raise ConfigurationError("The job is closed: open it again with BulkJob.open.")
        if self._failure is not None:
            raise JournalError(*self._failure.args)


def _resolve(written: asyncio.Future[None], failure: JournalError | None) -> None:
    if written.done():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)


def _commit(journal: Journal, entries: list[Entry]) -> None:
    with journal.commit():
        for (statement, values), group in groupby(entries, _get_statement):
            records = [entry.record for entry in group]
            if values:
                _write_together(journal, statement, values, records)
            else:
                journal.write_all(statement, records)


def _write_together(journal: Journal, statement: str, values: str, records: list[Record]) -> None:
    """Write in powers of two: few distinct statements, so that prepared ones are reused."""
    first = 0
    while first < len(records):
        size = min(_MOST_TOGETHER, 1 << (len(records) - first).bit_length() - 1)
        together = records[first : first + size]
        journal.write(_repeat_values(statement, values, size), chain.from_iterable(together))
        first += size


@lru_cache(maxsize=64)
def _repeat_values(statement: str, values: str, size: int) -> str:
    return statement.format(values=", ".join([values] * size))
