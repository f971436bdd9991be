"""Group commit: one thread writes the journal, and each commit takes all entries that have accumulated.

An entry is reported as written only when it is on disk. After one failure nothing more is written, and every
waiting or later caller gets the error; but if somebody else has taken a location, only its own entries fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from copy import copy
from functools import partial
from typing import Final, Self, TypeVar

from ..._system.threads import NoThreadError, run_in_thread, submit
from ...exceptions import ConfigurationError, JournalError
from .groups import Entry, Hold
from .protocol import EntryError, Journal

T = TypeVar("T")
_TURNS: Final = 2
"""Turns of the event loop before a commit: what they add joins it. A busy loop makes half as many commits so, for
each of which it shares the GIL; an idle one takes its turns at once."""
Then = Callable[[JournalError | None], object]
"""Called once: with `None` when the entry is on disk, otherwise with the error. Must not raise."""


def make_thread() -> Executor:
    """Make the thread of a journal."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="leadconnector-journal")


async def open_in(thread: Executor, open_one: Callable[[], T], close: Callable[[T], object]) -> T:
    """Open something in a thread; if this is cancelled meanwhile, it is closed there as soon as it is open."""
    try:
        opening = submit(thread, open_one)
    except NoThreadError as error:
        raise _explain_no_thread(error) from None

    def close_unused(opened: Future[T]) -> None:
        if not opened.cancelled() and opened.exception() is None:
            close(opened.result())

    try:
        return await asyncio.wrap_future(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(close_unused)
        raise


async def open_aside(work: Callable[[], T]) -> T:
    """Open a journal and do something with it, in a thread of the event loop."""
    try:
        working = run_in_thread(work)
    except NoThreadError as error:
        raise _explain_no_thread(error) from None
    return await working


def _explain_no_thread(error: NoThreadError) -> JournalError:
    return JournalError(f"The journal was not opened: it needs a thread ({error.strerror}); try again later.")


class _Queue:
    """The state that all views of a writer share."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[Then | None] = []
        """The callback of each entry."""
        self.writing: asyncio.Task[None] | None = None
        self.failure: JournalError | None = None
        self.is_closed = False


class JournalWriter:
    """Writes and reads a journal outside the event loop. `thread` must run one job at a time."""

    def __init__(self, journal: Journal, thread: Executor) -> None:
        self._journal = journal
        self._hold = journal.hold
        self._thread: Final = thread
        self._queue: Final = _Queue()
        self._loop: Final = asyncio.get_running_loop()

    @property
    def hold(self) -> Hold:
        """The job, location and epoch that this view works on."""
        return self._hold

    def at(self, hold: Hold) -> Self:
        """Return a view for another job or location. All views share commits, failures and `close`."""
        view = copy(self)
        view._journal, view._hold = self._journal.at(hold), hold
        return view

    @property
    def failure(self) -> JournalError | None:
        """The error that stopped the journal; `None` if there was none."""
        return self._queue.failure

    async def run(self, work: Callable[[Journal], T]) -> T:
        """Run a function on the journal, in its thread."""
        self._check()
        return await self._loop.run_in_executor(self._thread, work, self._journal)

    def break_off(self) -> None:
        """End at once what runs in the thread, with an error: nothing else would end it if a database is frozen."""
        self._journal.break_off()

    def lend(self, read: Callable[[Journal], Iterable[T]]) -> Iterator[T]:
        """Read the journal from another thread; nothing else may use it meanwhile."""
        self._check()
        yield from read(self._journal)

    def add(self, entry: Entry, then: Then | None = None) -> None:
        """Add an entry to the next commit, without waiting."""
        queue = self._queue
        if queue.failure is not None or queue.is_closed:
            self._check()
        entry.hold = self._hold
        queue.entries.append(entry)
        queue.waiting.append(then)
        if queue.writing is None:
            queue.writing = self._loop.create_task(self._write_groups())
            queue.writing.add_done_callback(self._on_end)

    async def write(self, entry: Entry) -> None:
        """Write an entry; it is on disk when this returns."""
        written: asyncio.Future[None] = self._loop.create_future()
        self.add(entry, partial(_resolve, written))
        await written

    async def flush(self) -> None:
        """Wait until all entries are on disk."""
        while self._queue.writing is not None:
            await asyncio.wait([self._queue.writing])
        self._check()

    async def close(self) -> None:
        """Write the remaining entries, and close the journal."""
        try:
            if self._queue.failure is None:
                await self.flush()
        finally:
            self._queue.is_closed = True
            await self._loop.run_in_executor(self._thread, self._journal.close)
            self._thread.shutdown(wait=False)

    async def _write_groups(self) -> None:
        """Commit all entries; those that arrive during a commit form the next one."""
        queue = self._queue
        try:
            while queue.entries:
                waiting: list[Then | None] = []
                try:
                    for _ in range(_TURNS):
                        await asyncio.sleep(0)
                    entries, waiting = queue.entries, queue.waiting
                    queue.entries, queue.waiting = [], []
                    lost = await self._loop.run_in_executor(self._thread, _commit, self._journal, entries)
                except Exception as error:
                    self._fail(error, waiting)
                    return
                except (
                    BaseException
                ) as error:  # cancelling all tasks cancels this one, and every caller must learn of it
                    self._fail(error, waiting)
                    raise
                for entry, then in zip(entries, waiting, strict=True):
                    if then is not None:
                        then(lost.get(entry.hold) if lost else None)
        finally:
            queue.writing = None

    def _on_end(self, writing: asyncio.Task[None]) -> None:
        if self._queue.writing is writing:  # it was cancelled before it began
            self._queue.writing = None
            self._fail(asyncio.CancelledError(), [])

    def _fail(self, error: BaseException, waiting: list[Then | None]) -> None:
        queue = self._queue
        text = f"The journal could not be written ({type(error).__name__}: {error})."
        queue.failure = failure = error if isinstance(error, JournalError) else JournalError(text)
        later, queue.waiting = queue.waiting, []
        queue.entries = []
        for then in (*waiting, *later):
            if then is not None:
                then(type(failure)(*failure.args))

    def _check(self) -> None:
        if self._queue.is_closed:
            raise ConfigurationError("The job is closed: open it again with BulkJob.open.")
        if self._queue.failure is not None:
            raise type(self._queue.failure)(*self._queue.failure.args)


def _resolve(written: asyncio.Future[None], failure: JournalError | None) -> None:
    if written.done():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)


def _commit(journal: Journal, entries: list[Entry]) -> dict[Hold, EntryError]:
    """Write each location by itself; returns the errors of those that failed, such as a location taken over."""
    try:
        journal.commit_entries(entries)
    except EntryError as error:
        holds = {entry.hold for entry in entries}
        if len(holds) == 1:
            return dict.fromkeys(holds, error)
        lost: dict[Hold, EntryError] = {}
        for hold in holds:
            lost |= _commit(journal, [entry for entry in entries if entry.hold == hold])
        return lost
    return {}
