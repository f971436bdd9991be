"""The locations that a worker holds: each is taken for a ticket, worked on, and always handed back."""

from __future__ import annotations

import asyncio
import time
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from .._api.precondition import ReadingClock
from .._validation.text import clean_line
from ..client import LeadConnector
from ..exceptions import ConfigurationError, JournalError, LeadConnectorError
from .clients import Clients, UnsharedClientError
from .control import Control
from .eta import ReadingLog
from .journal import leases
from .journal.groups import Hold
from .journal.phases import (
    JobState,
    Results,
    list_open,
    read_options,
    read_results,
    read_state,
    stop_job,
)
from .journal.protocol import DamagedError, FenceLostError, Journal, ValueRefusedError
from .journal.writer import JournalWriter
from .registration import Registration
from .run.lease import HeldLocation
from .run.progress import explain_errors
from .run.runner import Runner
from .states import NOT_APPLIED, JobOptions, RowOutcome, Stopped, describe_stop
from .tickets import Ticket
from .unit import OpenJob, cancel_location
from .visit import Closed, VisitEnd, visit_location
from .worker_events import Emit, JobChanged, LocationFinished, LocationHandedBack, LocationLost, LocationTaken

_GRACE_SECONDS: Final = 7.5
"""Grace period for requests in flight at shutdown; the whole shutdown may take ten seconds."""
_CONTROL_SECONDS: Final = 0.5
"""How often the row of a job is read: a pause, cancel or new rate takes effect within this time."""
_COUNT_SECONDS: Final = 0.05
"""How long failures are collected before they are counted."""
_RETRY_SECONDS: Final = 60.0
"""After this time a location that was unreachable is tried again."""
_PACKAGE: Final = Path(__file__).parent.parent


class _KnownJob(Struct):
    """A job that the worker has worked on since it registered."""

    name: str
    phase: str
    open: OpenJob
    runner: Runner

    @property
    def is_limited(self) -> bool:
        """Whether failed rows may stop it."""
        options = self.open.control.options
        return options.max_errors is not None or options.max_error_percent is not None

    def obey(self, state: JobState | None, options: JobOptions | None = None) -> None:
        """Apply what the row of the job says, with these options or the current ones; without a row, pause."""
        control, wanted = self.open.control, "pause"
        options = options or control.options
        if state is not None:
            self.phase = state.phase
            wanted = state.wanted
            with suppress(ConfigurationError):  # of a rate that cannot be used
                options = structs.replace(options, rate=state.rate)
        control.update("run" if wanted == "run" else "cancel" if wanted == "cancel" else "pause", options)


class WorkerLocations:
    """The locations held under one registration."""

    def __init__(
        self, registration: Registration, writer: JournalWriter, clients: Clients, slots: int, emit: Emit
    ) -> None:
        """`writer`: the journal that rows of all jobs are written to."""
        self._registration = registration
        self._writer = writer
        self._clients = clients
        self._slots = slots
        self._emit = emit
        self._jobs: dict[int, _KnownJob] = {}
        self._held: set[HeldLocation] = set()
        self._failed = asyncio.Event()
        """A row has not been applied."""
        registration.closes(self._close)

    @property
    def busy(self) -> int:
        """How many locations are worked on."""
        return len(self._held)

    async def work(self, ticket: Ticket) -> None:
        """Take the location of a ticket and work on it, if it is free and there is something to do."""
        registration = self._registration
        if registration.over.is_set():
            return
        taken, hold = None, Hold(ticket.job, ticket.location)
        try:
            take = partial(leases.take, ticket.job, ticket.location, registration.worker, time.time())
            taken = await registration.ask(take, hold)
            if taken is not None:
                held = HeldLocation(
                    job=ticket.job, location=ticket.location, epoch=taken.epoch, lease=registration.lease
                )
                self._held.add(held)
                try:
                    await self._hold(held)
                finally:
                    self._held.discard(held)
        except JournalError as error:  # the registration is lost, or the location cannot be taken
            if taken is not None:
                registration.lose_by(error, structs.replace(hold, epoch=taken.epoch))
            elif not registration.lost:
                with suppress(JournalError):  # the registration is lost
                    await registration.ask(partial(leases.count_failure, hold, type(error).__name__), hold)
        except BaseException as error:
            # Cancelled by the engine, or a bug of ours. Otherwise it would be held until the worker stops.
            registration.lose(f"a location was given up ({type(error).__name__})")
            raise

    async def watch(self) -> None:
        """Apply changes of the jobs' rows until the registration is lost or this is cancelled.

        As soon as a row fails here, the failed rows of all workers are counted, for `max_errors`.
        """
        while not self._registration.lost:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._failed.wait(), _CONTROL_SECONDS)
                await asyncio.sleep(_COUNT_SECONDS)
            self._failed.clear()
            if self._jobs:
                with suppress(JournalError):  # it is lost then, unless it is about a value that nobody has written
                    await self._look()

    async def _look(self) -> None:
        states = {state.job: state for state in await self._registration.ask(list_open)}
        for key, known in list(self._jobs.items()):
            known.obey(states.get(key))
            if key not in states and all(one.job != key for one in self._held):
                del self._jobs[key]
        for key, known in list(self._jobs.items()):  # whose states may be old by the next line
            if key in states and known.is_limited:
                results = await self._registration.ask(partial(_read_results, key))
                tried = results.errors + results.as_planned
                stopped = explain_errors(results.errors, tried, known.open.control.options)
                if stopped is not None:
                    await self._stop(known, stopped)

    async def _stop(self, known: _KnownJob, stopped: Stopped) -> None:
        """Stop the whole job: here at once, and through its row in all other workers."""
        known.runner.stop(stopped)
        if await self._registration.ask(partial(stop_job, known.open.key, stopped.kind, stopped.reason)):
            self._emit(JobChanged(self._registration.worker, known.name, "stopped"))

    def _note(self, outcome: RowOutcome) -> None:
        if outcome.state in NOT_APPLIED:
            self._failed.set()

    def _close(self) -> None:
        for known in self._jobs.values():
            known.runner.stop(Stopped("interrupted", "the worker is shutting down"), _GRACE_SECONDS)

    async def _hold(self, held: HeldLocation) -> None:
        known = await self._find_job(held.job)
        worker, name = self._registration.worker, known.name
        self._emit(LocationTaken(worker, name, held.location, held.epoch))
        try:
            end = await self._carry_out(known, held)
            await self._give_back(known, held, end)
        except JournalError as error:
            held.lost = True
            if not isinstance(error, FenceLostError):
                self._registration.lose_by(error, Hold(held.job, held.location, held.epoch))
            self._emit(LocationLost(worker, name, held.location, held.epoch))

    async def _find_job(self, key: int) -> _KnownJob:
        """Find or set up a job, with the state and options read after the location was taken."""
        state, options = await self._registration.ask(partial(_read_job, key))
        known = self._jobs.get(key)
        if known is None or (known.runner.stopped is not None and not self._registration.over.is_set()):
            clock, control = ReadingClock(asyncio.get_running_loop()), Control(options)
            readings = ReadingLog(clock)
            runner = Runner(control, clock, readings, on_outcome=self._note, at_once=self._slots)
            known = self._jobs[key] = _KnownJob(
                state.name, state.phase, OpenJob(key, self._writer, clock, readings, control), runner
            )
            if self._registration.over.is_set():
                self._close()
        known.obey(state, options)
        return known

    async def _carry_out(self, known: _KnownJob, held: HeldLocation) -> VisitEnd:
        end = await self._try(known, held)
        if isinstance(end, Stopped) and known.open.control.wanted == "cancel":
            # Handed back as stopped, it would be taken again at once, and the job would never end.
            await cancel_location(known.open, held.location, held, None)
            return "ended"
        return end

    async def _try(self, known: _KnownJob, held: HeldLocation) -> VisitEnd:
        try:
            client = await self._clients.take(held.location)
        except UnsharedClientError as error:
            self._registration.end(error)
            return "open"
        except Exception as error:  # `client_for` belongs to the user
            return explain_no_client(error, held.location)
        try:
            return await self._visit(known, held, client)
        finally:
            await self._clients.give_back(held.location)

    async def _visit(self, known: _KnownJob, held: HeldLocation, client: LeadConnector) -> VisitEnd:
        location = held.location
        try:
            return await visit_location(known.open, held, lambda location: client, known.runner, known.phase)
        except (ValueRefusedError, DamagedError) as error:
            return explain_internal(error, location)
        except JournalError:  # the database is unreachable or full, or the location is lost
            raise
        except LeadConnectorError as error:
            return describe_stop(error, location) or explain_internal(error, location)
        except Exception as error:  # a bug of ours must stop this location only, not the worker
            return explain_internal(error, location)

    async def _give_back(self, known: _KnownJob, held: HeldLocation, end: VisitEnd) -> None:
        """Release the location and record how its work ended. Raises `FenceLostError` if it was taken over."""
        registration, hold = self._registration, Hold(held.job, held.location, held.epoch)
        if (stopped := known.runner.stopped) is not None and stopped.kind == "errors":
            await self._stop(known, stopped)
        if isinstance(end, Stopped):
            resume_at = _find_resume(end)
            give_back = partial(leases.stop_location, hold, end.kind, clean_line(end.reason), resume_at)
        elif isinstance(end, Closed):
            give_back = partial(leases.wait_for_hours, hold, end.opens_at)
        else:
            give_back = partial(leases.end_location if end == "ended" else leases.hand_back, hold)
        if not await registration.ask(give_back, hold):
            raise FenceLostError(f"The location {held.location} was taken by another worker.")
        where = (registration.worker, known.name, held.location, held.epoch)
        if isinstance(end, Closed) or (end == "open" and not known.runner.is_open):
            self._emit(LocationHandedBack(*where))
        else:
            self._emit(LocationFinished(*where, end.reason if isinstance(end, Stopped) else None))


def _read_job(key: int, journal: Journal) -> tuple[JobState, JobOptions]:
    """Read the job of a location that was just taken; a job with unreadable options is stopped."""
    state = read_state(key, journal)
    if state is None:
        return JobState(key, "", "done", "pause", None), JobOptions()
    try:
        return state, read_options(journal.at(Hold(key)))
    except (msgspec.MsgspecError, ConfigurationError):
        stop_job(key, "internal", "the options of the job cannot be read", journal)
        return structs.replace(state, wanted="pause"), JobOptions()


def _read_results(key: int, journal: Journal) -> Results:
    try:
        return read_results(journal.at(Hold(key)))
    except msgspec.MsgspecError:  # another program may have written to the table
        return Results()


def _find_resume(stopped: Stopped) -> float | None:
    """When work on the location resumes by itself, in seconds since the epoch; `None`: only after `resume`."""
    if stopped.kind == "daily" and stopped.resume_seconds is not None:
        return time.time() + stopped.resume_seconds
    return time.time() + _RETRY_SECONDS if stopped.kind == "unreachable" else None


def explain_no_client(error: Exception, location: str) -> Stopped:
    """Explain why there is no client. Of foreign errors only the type is shown: the text may hold secrets."""
    if isinstance(error, LeadConnectorError):
        return describe_stop(error, location) or Stopped("authentication", str(error), location)
    return Stopped("authentication", f"client_for raised {type(error).__name__}", location)


def explain_internal(error: Exception, location: str) -> Stopped:
    """Name the error and its source line, but no values: everybody who can read the job sees the reason."""
    places = [
        f"{Path(one.filename).name}:{one.lineno}"
        for one in traceback.extract_tb(error.__traceback__)
        if _PACKAGE in Path(one.filename).parents
    ]
    return Stopped("internal", f"{type(error).__name__} in {places[-1] if places else 'a library'}", location)
