"""The progress of the jobs of a service, for any number of listeners: one task reads each job that is watched."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from msgspec import Struct, structs

from ..exceptions import JournalError
from .following import Follower
from .journal.progress import find_folder_phase
from .journal.progress import find_phase as find_stored_phase
from .journal.serving import Reading
from .states import JobPhase, JobProgress, Stopped

EVERY: Final = 0.5
"""Seconds between two readings of a job that is watched."""
_PATIENCE: Final = 15.0
"""Seconds for which a journal may be unreadable before the listeners are told."""
_MOST_FOLLOWED: Final = 1_000
_ENDED: Final = ("done", "refused", "stopped")


class Polled(Struct, frozen=True):
    """One reading of a job. `in_use`: a process has its folder open; `None` in a database."""

    reading: Reading
    in_use: bool | None
    failure: str | None = None
    """Why this process could not run it, where that could not be written down."""


class Seen(Struct, frozen=True):
    """The progress of a job, and whether it has ended: nobody continues with it by itself."""

    progress: JobProgress
    has_ended: bool


class Poller:
    """Turns readings of jobs into their progress."""

    def __init__(self, read: Callable[[str], Awaitable[Polled]]) -> None:
        self._read = read
        self._followers: OrderedDict[str, Follower] = OrderedDict()
        """Of the jobs that were read last."""
        self._watches: dict[str, _Watch] = {}
        self._closed = False

    async def read(self, name: str) -> Seen:
        """Read the progress of a job. Raises `JournalError`."""
        polled = await self._read(name)
        follower = self._followers.setdefault(name, Follower())
        self._followers.move_to_end(name)
        if len(self._followers) > _MOST_FOLLOWED:
            self._followers.popitem(last=False)
        wall = time.time()
        progress = follower.describe(polled.reading.standing, asyncio.get_running_loop().time(), wall)
        return _describe(polled, progress, wall)

    async def watch(self, name: str) -> AsyncGenerator[JobProgress]:
        """Yield the progress of a job whenever it changes, until it has ended or the service is closed."""
        watch = self._watches.get(name)
        if watch is None or watch.has_ended:
            watch = self._watches[name] = _Watch()
            watch.task = asyncio.create_task(self._follow(name, watch))
        watch.listeners += 1
        seen = 0
        try:
            while True:
                while watch.version == seen and not watch.has_ended:
                    await watch.changed.wait()
                if watch.version == seen or watch.latest is None:
                    break
                seen = watch.version
                yield watch.latest
            if isinstance(watch.failure, JournalError):
                raise type(watch.failure)(*watch.failure.args)  # one of its own for each listener
            if watch.failure is not None:
                raise watch.failure
        finally:
            watch.listeners -= 1
            if not watch.listeners:
                self._drop(name, watch)

    def close(self) -> None:
        """End all watches: their listeners get no error."""
        self._closed = True
        for name, watch in tuple(self._watches.items()):
            watch.end()
            self._drop(name, watch)

    def _drop(self, name: str, watch: _Watch) -> None:
        if watch.task is not None:
            watch.task.cancel()
        if self._watches.get(name) is watch:
            del self._watches[name]

    async def _follow(self, name: str, watch: _Watch) -> None:
        loop = asyncio.get_running_loop()
        read_at = loop.time()
        while not self._closed:
            try:
                seen = await self.read(name)
            except JournalError as error:
                if watch.latest is None or loop.time() - read_at > _PATIENCE:
                    watch.end(error)
                    return
            except Exception as error:  # otherwise its listeners would wait without end
                watch.end(error)
                return
            else:
                read_at = loop.time()
                watch.publish(seen.progress)
                if seen.has_ended:
                    break
            await asyncio.sleep(EVERY)
        watch.end()


class _Watch:
    """One job, and all who listen to it."""

    def __init__(self) -> None:
        self.listeners = self.version = 0
        self.latest: JobProgress | None = None
        self.has_ended = False
        self.failure: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()

    def publish(self, progress: JobProgress) -> None:
        if progress != self.latest:
            self.latest = progress
            self.version += 1
            self._wake()

    def end(self, failure: Exception | None = None) -> None:
        self.failure, self.has_ended = failure, True
        self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _describe(polled: Polled, progress: JobProgress, now: float) -> Seen:
    reading = polled.reading
    phase = find_phase(polled, progress.total - progress.done, now)
    stopped = reading.stopped
    if polled.failure is not None and phase == "stopped":
        stopped = (*stopped, Stopped("internal", polled.failure))
    is_folder = polled.in_use is not None
    has_ended = phase in _ENDED and (not is_folder or reading.due is None or polled.failure is not None)
    workers = int(bool(polled.in_use)) if is_folder else progress.workers
    resume_at = progress.resume_at if phase == "paused" else None
    if phase in _ENDED:  # the same for those who followed it and those who first ask now
        remaining = 0.0 if progress.done >= progress.total else None
        progress = structs.replace(progress, rate=0.0, remaining_seconds=remaining)
    found = structs.replace(
        progress, phase=phase, workers=workers, stopped=stopped, faults=reading.faults, resume_at=resume_at
    )
    return Seen(found, has_ended)


def find_phase(polled: Polled, remaining: int, now: float) -> JobPhase:
    """A job that no process has, and that will be run soon, is `ready`, or still `paused`."""
    job, due = polled.reading.standing.job, polled.reading.due
    wanted = polled.reading.standing.find_wanted(now)
    if polled.in_use is None:
        return "stopped" if job.phase == "done" and remaining else find_stored_phase(job.phase, wanted)
    if polled.in_use or not job.submitted:
        return find_folder_phase(job.phase, wanted, job.began, remaining, in_use=polled.in_use)
    if polled.failure is not None:
        return "stopped"
    if due is None:
        return "refused" if job.phase == "refused" else "stopped" if remaining else "done"
    return "paused" if wanted == "pause" else "ready" if due <= now else "stopped"
