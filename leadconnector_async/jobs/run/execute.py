"""Carrying out one row: its requests, and what follows from each of them.

`next_step` decides; `RowExecutor` sends the requests.

| step | event | what follows |
| --- | --- | --- |
| `read_back` (it may have been applied) | the appointment shows the change, a part of it, or another | a result |
| `read_back` | neither | `save_intent`, or failed if the new time has passed |
| `save_intent` | on disk | `send` |
| `send` | a response | applied |
| `send`, `force` | the reading had grown too old, nothing was sent | `read_again`; after five readings failed |
| `send` | the slot is taken | `look_back` if it was sent before; else `force`, `Postponed` or failed |
| `send`, `force` | any other error | a result, or `Stopped` if the whole location is affected |
| `read_again` | the appointment shows the change, or somebody else's | a result |
| `read_again` | neither | `send` |
| `look_back` (an earlier request may have taken the slot) | as `read_back` | a result, or what `send` chooses |
| `force` (without the slot check) | a response | applied |
| any reading | an error | a result, or `Stopped` if the whole location is affected |

Nothing is sent before its intent is on disk. Only what belongs to the row becomes its result.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Literal, TypeAlias

from msgspec import UNSET, Struct, structs

from ..._api.fields import TIMES
from ..._api.precondition import BACK_TO_BACK, MOST_READINGS, ReadingClock, StaleReadingError, UpdateGuard
from ..._api.readback import compare_field, compare_update, list_changes
from ..._api.validate import check_update
from ..._call.fence import HELD, Held
from ..._client.methods import begin_reading, guard_updates
from ...client import LeadConnector
from ...exceptions import (
    InvalidEventError,
    LeadConnectorError,
    NotApprovedError,
    NotFoundError,
    PreconditionFailedError,
    SlotUnavailableError,
)
from ...models import Appointment, AppointmentUpdate
from ...reschedule.apply import carry_out
from ...reschedule.plan import Changes, plan_change
from ..journal import rows
from ..journal.rows import LAST, OpenRow
from ..journal.writer import JournalWriter
from ..prepare.check import list_looks
from ..states import JobOptions, RowOutcome, RowState, Stopped, describe_stop, explain_failure
from .in_flight import ROW_METRICS, InFlightRow, RowMetrics

_MOST_READING: Final = 3
"""Rows of a location that are read again at the same time: with more, their writes would wait behind other GETs."""

Step: TypeAlias = Literal["read_back", "save_intent", "send", "read_again", "look_back", "force"]


class Result(Struct, frozen=True, gc=False):
    """The outcome of a row, and the appointment as it was last shown."""

    outcome: RowOutcome
    shown: Appointment | None = None
    seconds: float = 0.0


class Postponed(Struct, frozen=True):
    """The slot is taken: the row is retried after all others."""

    reason: str


Ending: TypeAlias = Result | Stopped | Postponed
"""How it ends: with the outcome of the row, or with the reason why it stays pending."""


class Reading(Struct, frozen=True):
    """What a GET has shown."""

    found: Appointment
    read_at: float
    """When it was sent, by the clock of readings."""
    now: float
    """Seconds since the epoch."""


class Execution(Struct):
    """A row that is being carried out."""

    row: OpenRow
    metrics: RowMetrics
    options: JobOptions
    version: str
    """Of the API."""
    guard: UpdateGuard
    step: Step = "send"
    readings: int = 0
    """GETs so far because the reading was too old."""
    conflict: SlotUnavailableError | None = None
    """Before `look_back`: the refusal."""


def choose_first(one: Execution, now: float) -> Step | Result:
    """Decide what comes first for a row whose intent this run has not saved. `now`: seconds since the epoch."""
    if one.row.state == "sent" or one.row.parks is not None:
        return "read_back"
    return find_late(one.row, one.metrics, one.options, now) or "save_intent"


def next_step(one: Execution, event: Reading | Appointment | LeadConnectorError | None) -> Step | Ending:
    """Decide what follows; `None`: the intent is on disk."""
    if event is None:
        return "send"
    if isinstance(event, Appointment):
        reason = "sent without the slot check" if one.step == "force" else ""
        return build_result(one.row, one.metrics, "applied", reason, shown=event)
    if isinstance(event, Reading):
        return _classify_reading(one, event) or _continue_after(one, event)
    if one.step in ("send", "force"):
        return _classify_failed_write(one, event)
    return _classify_failed_reading(one, event)


def _continue_after(one: Execution, reading: Reading) -> Step | Ending:
    """The appointment is still as it was when the row was planned."""
    if one.step == "read_back":
        one.metrics.repeated = one.row.state == "sent"
        return find_late(one.row, one.metrics, one.options, reading.now) or "save_intent"
    if one.conflict is not None and one.step == "look_back":
        return _resolve_conflict(one, one.conflict)
    if one.readings == MOST_READINGS and one.options.max_reading_age <= 0:
        one.guard.max_age = math.inf  # it was read right before, as close as the limit allows
    return "send"


def _classify_reading(one: Execution, reading: Reading) -> Result | None:
    row, in_doubt = one.row, _is_in_doubt(one)
    verdict = compare_update(check_update(row.updates[-1], one.version), reading.found)
    if verdict is True:
        done: RowState = "applied" if in_doubt or row.parks is not None else "unchanged"
        return build_result(row, one.metrics, done, shown=reading.found)
    if verdict is None and in_doubt:
        reason = "it was in flight when the job ended, and the event does not show whether it was applied"
        return build_result(row, one.metrics, "unknown", reason)
    if changed := one.guard.check_shown(reading.found, reading.read_at):
        if in_doubt and _shows_a_part(one, reading.found):
            reason = (
                f"it was in flight when the job ended, and the event shows a part of it: {_name_change(changed)}"
            )
            return build_result(row, one.metrics, "unknown", reason)
        return build_result(row, one.metrics, "skipped", _name_change(changed))
    return None


def _shows_a_part(one: Execution, found: Appointment) -> bool:
    """Whether it shows anything that the row changes: the row may have been applied, and edited since."""
    sent = check_update(one.row.updates[-1], one.version)
    names = [change.name for change in list_changes(one.row.before, found)]
    return any(compare_field(name, sent, found) for name in names if getattr(sent, name, None) not in (UNSET, None))


def _classify_failed_reading(one: Execution, error: LeadConnectorError) -> Result | Stopped:
    if (stopped := describe_stop(error, one.row.location)) is not None:
        return stopped
    if _is_in_doubt(one):
        reason = f"it was in flight when the job was interrupted, and cannot be read back: {error.args[0]}"
        return build_result(one.row, one.metrics, "unknown", reason)
    if isinstance(error, InvalidEventError | NotFoundError):
        reason = "changed by somebody else: the event is deleted or unknown"
        return build_result(one.row, one.metrics, "skipped", reason, error)
    return build_result(one.row, one.metrics, "failed", explain_failure(error), error)


def _classify_failed_write(one: Execution, error: LeadConnectorError) -> Step | Ending:
    if isinstance(error, StaleReadingError) and error.outcome == "not_applied" and one.readings < MOST_READINGS:
        one.readings += 1
        return "read_again"
    if error.outcome != "not_applied":
        return build_result(one.row, one.metrics, error.outcome, explain_failure(error), error)
    if (stopped := describe_stop(error, one.row.location)) is not None:
        return stopped
    if isinstance(error, PreconditionFailedError) and not isinstance(error, StaleReadingError):
        return build_result(one.row, one.metrics, "skipped", _name_change(error), error)
    if isinstance(error, SlotUnavailableError) and one.step == "send":
        one.conflict = error
        return "look_back" if one.metrics.repeated else _resolve_conflict(one, error)
    state: RowState = "skipped" if isinstance(error, NotApprovedError) else "failed"
    return build_result(one.row, one.metrics, state, explain_failure(error), error)


def _resolve_conflict(one: Execution, error: SlotUnavailableError) -> Step | Result | Postponed:
    if one.options.on_conflict == "park" and one.row.rank < LAST:
        return Postponed(str(error.args[0]))
    if one.options.on_conflict == "force":
        return "force"
    return build_result(one.row, one.metrics, "failed", explain_failure(error), error)


def _is_in_doubt(one: Execution) -> bool:
    return one.row.state == "sent" or one.metrics.repeated


def find_late(row: OpenRow, metrics: RowMetrics, options: JobOptions, now: float) -> Result | None:
    """The result of a row whose new time has passed since it was checked; `None` if it has not."""
    if row.new_start is None or row.new_start > now or options.allow_past:
        return None
    return build_result(row, metrics, "failed", "the new time passed before the row could be sent")


def build_result(
    row: OpenRow,
    metrics: RowMetrics,
    state: RowState,
    reason: str = "",
    error: LeadConnectorError | None = None,
    shown: Appointment | None = None,
) -> Result:
    """The outcome of a row as it is saved and reported."""
    outcome = RowOutcome(
        line=row.line,
        event_id=row.event_id,
        location_id=row.location or None,
        state=state,
        reason=reason,
        attempts=metrics.requests,
        repeated=metrics.repeated,
        trace_id=error.trace_id if error is not None else None,
        new_event_id=shown.id if shown is not None and shown.id != row.event_id else None,
    )
    return Result(outcome, shown, metrics.seconds)


class RowExecutor:
    """Carries out rows of one location."""

    def __init__(
        self,
        client: LeadConnector,
        journal: JournalWriter,
        options: JobOptions,
        clock: ReadingClock,
        held: Held | None = None,
    ) -> None:
        """`held`: until when its writes may be sent; `None` where nobody else can take the location."""
        self._held = held
        self._client = client
        self._version = client.version
        self._journal = journal
        self._options = options
        self._clock = clock
        self._reading = asyncio.Semaphore(_MOST_READING)

    async def run(self, row: OpenRow, metrics: RowMetrics) -> Ending:
        """Carry out a row from its beginning: read it back where that is called for, save its intent, send it."""
        parking = await self._journal.run(partial(rows.find_parking, row.number)) if row.waits_for else ()
        one = self._build(row, metrics, parking)
        return await self._carry_out(one, choose_first(one, time.time()))

    async def send_rows(self, one: InFlightRow, end: Callable[[InFlightRow, Ending], InFlightRow | None]) -> None:
        """Send a row whose intent is on disk, then the one that `end` returns, and so on: one task for many rows.

        An appointment is read again where the reading is too old.
        """
        following: InFlightRow | None = one
        while following is not None:
            execution = self._build(following.row, following.metrics)
            following = end(following, await self._carry_out(execution, "send"))

    async def restore(self, row: OpenRow, metrics: RowMetrics, result: Result) -> Result:
        """Move an appointment back that was parked for a row which has failed or was skipped."""
        parking = await self._journal.run(partial(rows.find_parking, row.number))
        if not parking:
            return result
        ROW_METRICS.set(metrics)
        HELD.set(self._held)
        note, is_away = await self._move_back(row, parking[-1])
        if not is_away:
            await self._journal.write(rows.take_back(row.number, note))
        outcome = structs.replace(result.outcome, reason=f"{result.outcome.reason.rstrip('.')}. {note}")
        return structs.replace(result, outcome=outcome)

    def _build(self, row: OpenRow, metrics: RowMetrics, parking: tuple[AppointmentUpdate, ...] = ()) -> Execution:
        """`parking`: what has moved its appointment out of the way."""
        max_age = self._options.max_reading_age
        read_at = row.read_at if max_age > 0 else -math.inf
        guard = UpdateGuard(partial(_list_looks, row, parking), read_at, self._clock, max_age or BACK_TO_BACK)
        return Execution(row, metrics, self._options, self._version, guard)

    async def _carry_out(self, one: Execution, step: Step | Ending) -> Ending:
        ROW_METRICS.set(one.metrics)
        HELD.set(self._held)
        reads = False
        try:
            while isinstance(step, str):
                one.step = step
                if step == "save_intent":
                    repeated = one.metrics.repeated
                    await self._journal.write(rows.intend(one.row.number, time.time(), repeated=repeated))
                    step = next_step(one, None)
                    continue
                if step == "read_again" and not reads:
                    reads = await self._reading.acquire()
                step = next_step(one, await self._request(one))
            return step
        finally:
            if reads:
                self._reading.release()

    async def _request(self, one: Execution) -> Reading | Appointment | LeadConnectorError:
        try:
            if one.step in ("send", "force"):
                row = one.row if one.step == "send" else _force(one.row)
                send = guard_updates(self._client, one.guard)
                begin = partial(begin_reading, self._client, {})
                verify = self._options.verify
                return await carry_out(self._client, row, verify=verify, send=send, begin=begin)
            read_at = self._clock.now()
            return Reading(await self._client.get_appointment(one.row.event_id), read_at, time.time())
        except LeadConnectorError as error:
            return error

    async def _move_back(self, row: OpenRow, parking: AppointmentUpdate) -> tuple[str, bool]:
        """Move the appointment back, unless somebody else has moved it since.

        Returns a sentence for the row's reason, and whether it may still be where the job has put it: a retry then
        takes that for the job's own doing.
        """
        was = row.before
        read_at = self._clock.now()
        try:
            now = await self._client.get_appointment(row.event_id)
            sent = check_update(parking, self._version)
            if now.deleted or not all(compare_field(name, sent, now) for name in TIMES):
                note = f"has been {'deleted' if now.deleted else f'moved to {now.start_time}'} since"
                if (now.start_time, now.end_time) == (was.start_time, was.end_time):
                    note = "then back"
                return f"Its appointment was moved out of the way first, and {note}.", False
            guard = UpdateGuard(lambda: [now], read_at, self._clock)
            back = plan_change(
                now,
                event_id=row.event_id,
                start_time=was.start_time,
                end_time=was.end_time,
                changes=_list_switches(row),
            )
            await carry_out(self._client, back, verify=False, send=guard_updates(self._client, guard))
        except LeadConnectorError as error:
            note = f"could not be moved back: {error.args[0]}"
            return f"Its appointment was moved out of the way first, and {note}", True
        return "Its appointment was moved out of the way first, and then back.", False


def _force(row: OpenRow) -> OpenRow:
    """The row without the slot check."""
    *others, last = row.updates
    return structs.replace(row, updates=(*others, structs.replace(last, ignore_free_slot_validation=True)))


def _list_looks(row: OpenRow, parking: tuple[AppointmentUpdate, ...]) -> list[Appointment]:
    """As `list_looks`. The appointment is decoded only when this is called, which few rows need."""
    return list_looks(row.before, row.updates, parking)


def _list_switches(row: OpenRow) -> Changes:
    """How an appointment is moved back: silently, and without the slot check if its row is sent without it."""
    if row.updates[-1].ignore_free_slot_validation is True:
        return {"to_notify": False, "ignore_free_slot_validation": True}
    return {"to_notify": False}


def _name_change(error: PreconditionFailedError) -> str:
    reason = str(error.args[0])
    return f"{reason[:1].lower()}{reason[1:]}"
