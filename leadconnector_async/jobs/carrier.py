"""Carrying out one row: the intent on disk, the request, and what came of it.

Rule: nothing is sent before its intent is on the disk. A row whose intent was found on the disk is looked at before
it is sent again. Only what belongs to the row becomes its outcome; what belongs to the location (a token, a budget,
the network) stops the location and gives the row back.

Knows the client and the journal. Must not know other rows.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct, structs

from .._checks import check_update
from .._compare import compare_update
from .._rescheduling import carry_out
from ..client import LeadConnector
from ..exceptions import LeadConnectorError, SlotUnavailableError
from ..models import Appointment, AppointmentUpdate
from . import ledger
from .flight import Flight
from .ledger import OpenRow
from .preflight import list_changes
from .scribe import Scribe
from .states import JobOptions, RowOutcome, RowState, Stopped
from .stops import describe_stop

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


class Carrier:
    """Carries out rows of one location."""

    def __init__(self, client: LeadConnector, scribe: Scribe, options: JobOptions, version: str) -> None:
        self._client = client
        self._scribe = scribe
        self._options = options
        self._version = version

    async def carry(self, row: OpenRow, flight: Flight, take_place: TakePlace) -> Result | None:
        """Carry out a row from its beginning: look at it where that is called for, write its intent, send it."""
        if row.state == "sent" or row.parks is not None:
            await take_place()
            seen = await self._look(row, flight)
            if seen is not None:
                return seen
            flight.repeated = row.state == "sent"
        if (late := self.find_late(row, flight)) is not None:
            return late
        await self._scribe.write(ledger.intend(row.number, time.time(), repeated=flight.repeated))
        await take_place()
        return await self.send(row, flight)

    async def send(self, row: OpenRow, flight: Flight) -> Result | None:
        """Send a row whose intent is on the disk; `None` if it is put off until after all others.

        Raises `Halt` and `Passing`.
        """
        try:
            shown = await carry_out(self._client, row, verify=self._options.verify)
        except LeadConnectorError as error:
            return await self._judge(row, flight, error)
        return build_result(row, flight, "applied", shown=shown)

    def find_late(self, row: OpenRow, flight: Flight) -> Result | None:
        """What becomes of a row whose new time has passed since it was checked."""
        if row.new_start is None or row.new_start > time.time() or self._options.allow_past:
            return None
        return build_result(row, flight, "failed", "the new time has passed before its turn came")

    async def put_back(self, row: OpenRow, result: Result) -> Result:
        """Move an appointment back that was put out of the way for a row which has come to nothing."""
        parking = await self._scribe.run(partial(ledger.find_parking, row.number))
        if not parking:
            return result
        note = await self._move_back(row, parking[-1])
        await self._scribe.write(ledger.take_back(row.number, note))
        outcome = structs.replace(result.outcome, reason=f"{result.outcome.reason} {note}")
        return structs.replace(result, outcome=outcome)

    async def _move_back(self, row: OpenRow, parking: AppointmentUpdate) -> str:
        """Unless somebody else has moved it since; says what came of it."""
        was = row.before
        kept = structs.replace(row.updates[-1], start_time=was.start_time, end_time=was.end_time, to_notify=False)
        try:
            now = await self._client.get_appointment(row.event_id)
            if compare_update(check_update(parking, self._version), now) is not True:
                return f"It was moved out of the way for this; it stands at {now.start_time} now."
            await self._client.update_appointment(row.event_id, kept)
        except LeadConnectorError as error:
            return f"It was moved out of the way for this, and could not be put back: {error.args[0]}"
        return "It was moved out of the way for this, and is back where it was."

    async def _look(self, row: OpenRow, flight: Flight) -> Result | None:
        """What has become of a row that was on its way when the job ended; `None` if it was not applied."""
        try:
            now = await self._client.get_appointment(row.event_id)
        except LeadConnectorError as error:
            self._stop_for(row, error)
            reason = f"it was on its way when the job ended, and cannot be read: {error.args[0]}"
            return build_result(row, flight, "unknown", reason)
        verdict = compare_update(check_update(row.updates[-1], self._version), now)
        if verdict is True:
            return build_result(row, flight, "applied", shown=now)
        if verdict is None:
            reason = "it was on its way when the job ended, and the event does not show whether it was applied"
            return build_result(row, flight, "unknown", reason)
        if changes := await self._list_foreign_changes(row, now):
            return build_result(row, flight, "failed", f"somebody has changed it meanwhile: {', '.join(changes)}")
        return None

    async def _list_foreign_changes(self, row: OpenRow, now: Appointment) -> list[str]:
        """What is neither as it was, nor as the job itself has left it on the way."""
        changes = list_changes(row.before, now)
        if len(row.updates) > 1 and now.assigned_user_id == row.updates[0].assigned_user_id:
            changes = [change for change in changes if not change.startswith("assigned_user_id ")]
        parking = await self._scribe.run(partial(ledger.find_parking, row.number)) if changes else ()
        if parking and compare_update(check_update(parking[-1], self._version), now) is True:
            return []
        return changes

    async def _judge(
        self, row: OpenRow, flight: Flight, error: LeadConnectorError, *, forced: bool = False
    ) -> Result | None:
        if error.outcome == "applied":
            return build_result(row, flight, "applied", _explain(error), error)
        if error.outcome == "unknown":
            return build_result(row, flight, "unknown", _explain(error), error)
        self._stop_for(row, error)
        if isinstance(error, SlotUnavailableError) and not forced:
            return await self._settle_conflict(row, flight, error)
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
            self._scribe.note(ledger.give_back(row.number))

    async def _settle_conflict(self, row: OpenRow, flight: Flight, error: SlotUnavailableError) -> Result | None:
        if flight.repeated and (seen := await self._look(row, flight)) is not None:
            return seen  # what stands in its way is its own first request
        if self._options.on_conflict == "park" and row.rank < LAST:
            await self._scribe.write(ledger.postpone(row.number, LAST, str(error.args[0])))
            return None
        if self._options.on_conflict != "force":
            return build_result(row, flight, "failed", _explain(error), error)
        *others, last = row.updates
        forced = structs.replace(last, ignore_free_slot_validation=True)
        again = structs.replace(row, updates=(*others, forced))
        try:
            shown = await carry_out(self._client, again, verify=self._options.verify)
        except LeadConnectorError as second:
            return await self._judge(row, flight, second, forced=True)
        return build_result(row, flight, "applied", "sent without the slot check", shown=shown)


def build_result(
    row: OpenRow,
    flight: Flight,
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


def _explain(error: LeadConnectorError) -> str:
    return " ".join([str(error.args[0]), *getattr(error, "__notes__", ())])
