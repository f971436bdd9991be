"""Claims the locations of a database job for the calling process, as workers do: one owner at a time.

The process registers as a worker meanwhile, so that others see who holds what and can take over if it dies.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

from .._sharing.membership import find_clock
from .._validation.text import escape
from .._version import __version__
from ..exceptions import ConfigurationError, JournalError
from .journal import leases
from .journal.leases import Holder, WorkerEntry
from .journal.writer import JournalWriter
from .registration import Registration
from .run.lease import LEASE, HeldLocation, begin_lease, observe

Held: TypeAlias = Mapping[str, HeldLocation]
"""The fence of each location that this process holds."""


@asynccontextmanager
async def hold_all(name: str, job: int, control: JournalWriter, lease: float = LEASE) -> AsyncGenerator[Held]:
    """Hold all locations of a job. Raises `ConfigurationError` if a live process holds one of them.

    `control`: a journal that nothing else uses meanwhile, so that no heartbeat waits for a commit.
    """
    async with hold_free(job, control, lease) as (held, others):
        if others:
            raise ConfigurationError(
                f"location {escape(others[0].location)} of {name} is being worked on by {escape(others[0].host)}"
                f" (pid {others[0].pid}); pause the job, or wait until it has ended"
            )
        yield held


@asynccontextmanager
async def hold_free(
    job: int, control: JournalWriter, lease: float = LEASE
) -> AsyncGenerator[tuple[Held, list[Holder]]]:
    """Hold the locations that no live process holds; yields them, and who holds each of the others."""
    clock = find_clock()
    sent_at = clock()
    entry = WorkerEntry(lease=lease, host=socket.gethostname(), pid=os.getpid(), version=__version__, slots=0)
    worker = await control.run(partial(leases.register, entry))
    registration = Registration(begin_lease(worker, lease, sent_at), control, clock)
    held: dict[str, HeldLocation] = {}
    beating = asyncio.create_task(registration.beat(lambda: len(held)))
    try:
        others = await _take(job, registration, held)
        yield held, others
    finally:
        beating.cancel()
        await asyncio.wait([beating])
        with suppress(JournalError):
            await control.run(partial(leases.leave, worker, None))


async def _take(job: int, registration: Registration, held: dict[str, HeldLocation]) -> list[Holder]:
    """Take all free locations; returns those of live processes. Waits for holders that may be dead."""
    while True:
        await registration.ask(leases.free_locations)
        for one in await registration.ask(partial(leases.take_all, job, registration.worker)):
            held[one.location] = HeldLocation(
                job=job, location=one.location, epoch=one.epoch, lease=registration.lease
            )
        others = await registration.ask(partial(leases.list_holders, job, registration.worker))
        if not others:
            return []
        before = {worker: seen.beats for worker, seen in registration.lease.sightings.items()}
        beats = await registration.ask(leases.list_beats)
        for dead in observe(registration.lease, beats, registration.clock()):
            await registration.ask(partial(leases.bury, dead))
        alive = {one.worker for one in beats if before.get(one.worker, one.beats) != one.beats}
        if any(one.worker in alive for one in others):
            return others
        await asyncio.sleep(registration.lease.sweep_seconds)
