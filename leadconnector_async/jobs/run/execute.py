"""Carrying out one row: the intent on disk, the request, and what came of it.

Nothing is sent before its intent is on the disk, nor on a reading that is too old. A row whose intent was
found on the disk is looked at before it is sent again. Only what belongs to the row becomes its outcome; what
belongs to the location (a token, a budget, the network) stops the location and gives the row back.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct, structs

from ..._api.precondition import BACK_TO_BACK, MOST_READINGS, ReadingClock, StaleReadingError, UpdateGuard
from ..._api.readback import compare_update
from ..._api.validate import check_update
from ..._methods import guard_updates
from ...client import LeadConnector
from ...exceptions import (
    InvalidEventError,
    LeadConnectorError,
    NotFoundError,
    PreconditionFailedError,
    SlotUnavailableError,
)
from ...models import Appointment, AppointmentUpdate
from ...reschedule.apply import carry_out, list_expected
from ...reschedule.plan import Changes, plan_change
from ..journal import rows
from ..journal.rows import OpenRow
from ..journal.writer import JournalWriter
from ..prepare.check import show_sent
from ..states import JobOptions, RowOutcome, RowState, Stopped, describe_stop
from .in_flight import RowMetrics

_MOST_READING: Final = 3
"""Rows of a location that read for themselves at once: with more, their writes would wait behind others' GETs."""
LAST: Final = 1_000_000
"""The rank of rows that are tried again after all others."""


TakePlace = Callable[[], Awaitable[None]]
"""Returns when one more row may be at the server."""


class Halt(Exception):  # noqa: N818 - it stops a location and is no error of the row's
    """The location cannot go on. The row was given back."""

    def __init__(self, stopped: Stopped) -> None:
        super().__init__(stopped.reason)
        self.stopped = stopped


class Passing(Exception):  # noqa: N818 - as Halt
    """The server could not be reached. The row was given back."""


class Result(Struct, frozen=True, gc=False):
    """What came of a row, and what the appointment was shown as."""

    outcome: RowOutcome
    shown: Appointment | None = None
    seconds: float = 0.0


class RowExecutor:
    """Carries out rows of one location."""

    def __init__(
        self, client: LeadConnector, scribe: JournalWriter, options: JobOptions, clock: ReadingClock
    ) -> None:
        self._client = client
        self._scribe = scribe
        self._options = options
        self._clock = clock
        self._reading = asyncio.Semaphore(_MOST_READING)

    async def carry(self, row: OpenRow, flight: RowMetrics, take_place: TakePlace) -> Result | None:
        """Carry out a row from its beginning: look at it where that is called for, write its intent, send it."""
        precondition = self._build_precondition(row) if not row.waits_for else await self._find_precondition(row)
        if row.state == "sent" or row.parks is not None:
            await take_place()
            seen = await self._look(row, flight, precondition)
            if seen is not None:
                return seen
            flight.repeated = row.state == "sent"
        if (late := self.find_late(row, flight)) is not None:
            return late
        await self._scribe.write(rows.intend(row.number, time.time(), repeated=flight.repeated))
        await take_place()
        return await self.send(row, flight, precondition)

    async def send(
        self, row: OpenRow, flight: RowMetrics, precondition: UpdateGuard | None = None
    ) -> Result | None:
        """Send a row whose intent is on the disk; `None` if it is put off until after all others.

        Its appointment is read again first where the reading is too old, and when its turn comes too late.
        Raises `Halt` and `Passing`.
        """
        precondition = precondition or self._build_precondition(row)
        if precondition.check_age() is None:
            try:
                return await self._send_once(row, flight, precondition)
            except StaleReadingError:
                pass  # nothing was sent
        async with self._reading:
            return await self._read_and_send(row, flight, precondition)

    async def _read_and_send(self, row: OpenRow, flight: RowMetrics, precondition: UpdateGuard) -> Result | None:
        """A GET and its write, one right after the other, again and again if the write's turn comes too late."""
        late: Result | None = None
        for remaining in reversed(range(MOST_READINGS)):
            if (seen := await self._look(row, flight, precondition)) is not None:
                return seen
            if not remaining and self._options.max_reading_age <= 0:
                precondition.max_age = math.inf  # it was read right before, as close as the limit allows
            try:
                return await self._send_once(row, flight, precondition)
            except StaleReadingError as error:
                late = build_result(row, flight, "failed", _explain(error), error)
        return late

    async def _send_once(self, row: OpenRow, flight: RowMetrics, precondition: UpdateGuard) -> Result | None:
        """Raises `StaleReadingError` if nothing was sent because the reading had grown too old."""
        send = guard_updates(self._client, precondition)
        try:
            shown = await carry_out(self._client, row, verify=self._options.verify, send=send)
        except LeadConnectorError as error:
            if isinstance(error, StaleReadingError) and error.outcome == "not_applied":
                raise
            return await self._judge(row, flight, precondition, error)
        return build_result(row, flight, "applied", shown=shown)

    async def _find_precondition(self, row: OpenRow) -> UpdateGuard:
        """What a row relies on that waits for others: one that was put out of the way may stand there."""
        return self._build_precondition(row, await self._scribe.run(partial(rows.find_parking, row.number)))

    def _build_precondition(self, row: OpenRow, parking: tuple[AppointmentUpdate, ...] = ()) -> UpdateGuard:
        def list_looks() -> list[Appointment]:
            before = row.before
            parked = [show_sent(before, parking[-1])] if parking else []
            return [look for one in (before, *parked) for look in list_expected(one, row.updates)]

        max_age = self._options.max_reading_age
        read_at = row.read_at if max_age > 0 else -math.inf
        return UpdateGuard(list_looks, read_at, self._clock, max_age or BACK_TO_BACK)

    def find_late(self, row: OpenRow, flight: RowMetrics) -> Result | None:
        """What becomes of a row whose new time has passed since it was checked."""
        if row.new_start is None or row.new_start > time.time() or self._options.allow_past:
            return None
        return build_result(row, flight, "failed", "the new time has passed before its turn came")

    async def put_back(self, row: OpenRow, result: Result) -> Result:
        """Move an appointment back that was put out of the way for a row which has come to nothing."""
        parking = await self._scribe.run(partial(rows.find_parking, row.number))
        if not parking:
            return result
        note = await self._move_back(row, parking[-1])
        await self._scribe.write(rows.take_back(row.number, note))
        outcome = structs.replace(result.outcome, reason=f"{result.outcome.reason} {note}")
        return structs.replace(result, outcome=outcome)

    async def _move_back(self, row: OpenRow, parking: AppointmentUpdate) -> str:
        """Unless somebody else has moved it since; says what came of it."""
        was = row.before
        read_at = self._clock.now()
        try:
            now = await self._client.get_appointment(row.event_id)
            if compare_update(check_update(parking, self._client.version), now) is not True:
                return f"It was moved out of the way for this; it stands at {now.start_time} now."
            precondition = UpdateGuard(lambda: [now], read_at, self._clock)
            back = plan_change(
                now,
                event_id=row.event_id,
                start_time=was.start_time,
                end_time=was.end_time,
                changes=_list_switches(row),
            )
            await carry_out(self._client, back, verify=False, send=guard_updates(self._client, precondition))
        except LeadConnectorError as error:
            return f"It was moved out of the way for this, and could not be put back: {error.args[0]}"
        return "It was moved out of the way for this, and is back where it was."

    async def _look(self, row: OpenRow, flight: RowMetrics, precondition: UpdateGuard) -> Result | None:
        """What has become of a row, by its appointment; `None` if it is to be sent."""
        read_at, in_doubt = self._clock.now(), row.state == "sent" or flight.repeated
        try:
            now = await self._client.get_appointment(row.event_id)
        except LeadConnectorError as error:
            return self._judge_reading(row, flight, error, in_doubt=in_doubt)
        verdict = compare_update(check_update(row.updates[-1], self._client.version), now)
        if verdict is True:
            done: RowState = "applied" if in_doubt or row.parks is not None else "in_place"
            return build_result(row, flight, done, shown=now)
        if verdict is None and in_doubt:
            reason = "it was on its way when the job ended, and the event does not show whether it was applied"
            return build_result(row, flight, "unknown", reason)
        if changed := precondition.check_shown(now, read_at):
            return build_result(row, flight, "skipped", _name_change(changed))
        return None

    def _judge_reading(
        self, row: OpenRow, flight: RowMetrics, error: LeadConnectorError, *, in_doubt: bool
    ) -> Result:
        self._stop_for(row, error)
        if in_doubt:
            reason = f"it was under way when the job was interrupted, and cannot be read back: {error.args[0]}"
            return build_result(row, flight, "unknown", reason)
        if isinstance(error, InvalidEventError | NotFoundError):
            reason = "changed by somebody else: the event is deleted or unknown"
            return build_result(row, flight, "skipped", reason, error)
        return build_result(row, flight, "failed", _explain(error), error)

    async def _judge(
        self,
        row: OpenRow,
        flight: RowMetrics,
        precondition: UpdateGuard,
        error: LeadConnectorError,
        *,
        forced: bool = False,
    ) -> Result | None:
        if error.outcome == "applied":
            return build_result(row, flight, "applied", _explain(error), error)
        if error.outcome == "unknown":
            return build_result(row, flight, "unknown", _explain(error), error)
        self._stop_for(row, error)
        if isinstance(error, PreconditionFailedError):
            return build_result(row, flight, "skipped", _name_change(error), error)
        if isinstance(error, SlotUnavailableError) and not forced:
            return await self._settle_conflict(row, flight, precondition, error)
        return build_result(row, flight, "failed", _explain(error), error)

    def _stop_for(self, row: OpenRow, error: LeadConnectorError) -> None:
        """Raise if it is the location that failed, and not the row."""
        stopped = describe_stop(error, row.location)
        if stopped is None:
            return
        self._give_back(row)
        raise (Passing(stopped.reason) if stopped.kind == "unreachable" else Halt(stopped)) from None

    def _give_back(self, row: OpenRow) -> None:
        if row.state != "sent":
            self._scribe.note(rows.give_back(row.number))

    async def _settle_conflict(
        self, row: OpenRow, flight: RowMetrics, precondition: UpdateGuard, error: SlotUnavailableError
    ) -> Result | None:
        if flight.repeated and (seen := await self._look(row, flight, precondition)) is not None:
            return seen  # what stands in its way is its own first request
        if self._options.on_conflict == "park" and row.rank < LAST:
            await self._scribe.write(rows.postpone(row.number, LAST, str(error.args[0])))
            return None
        if self._options.on_conflict != "force":
            return build_result(row, flight, "failed", _explain(error), error)
        *others, last = row.updates
        forced = structs.replace(last, ignore_free_slot_validation=True)
        again = structs.replace(row, updates=(*others, forced))
        send = guard_updates(self._client, precondition)
        try:
            shown = await carry_out(self._client, again, verify=self._options.verify, send=send)
        except LeadConnectorError as second:
            if isinstance(second, StaleReadingError) and second.outcome == "not_applied":
                raise
            return await self._judge(row, flight, precondition, second, forced=True)
        return build_result(row, flight, "applied", "sent without the slot check", shown=shown)


def build_result(
    row: OpenRow,
    flight: RowMetrics,
    state: RowState,
    reason: str = "",
    error: LeadConnectorError | None = None,
    shown: Appointment | None = None,
) -> Result:
    """What came of a row, as it is told."""
    outcome = RowOutcome(
        line=row.line,
        event_id=row.event_id,
        location_id=row.location or None,
        state=state,
        reason=reason,
        attempts=flight.requests,
        repeated=flight.repeated,
        trace_id=error.trace_id if error is not None else None,
        new_event_id=shown.id if shown is not None and shown.id != row.event_id else None,
    )
    return Result(outcome, shown, flight.seconds)


def _list_switches(row: OpenRow) -> Changes:
    """Of a row, for the way back of its appointment: silent, and without the slot check if the row goes without."""
    if row.updates[-1].ignore_free_slot_validation is True:
        return {"to_notify": False, "ignore_free_slot_validation": True}
    return {"to_notify": False}


def _name_change(error: PreconditionFailedError) -> str:
    reason = str(error.args[0])
    return f"{reason[:1].lower()}{reason[1:]}"


def _explain(error: LeadConnectorError) -> str:
    return " ".join([str(error.args[0]), *getattr(error, "__notes__", ())])
