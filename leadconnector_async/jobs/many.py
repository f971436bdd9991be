"""`update_many`: many changes from any stream, with outcomes as they finish and no file.

Only the rows in flight are held in memory, whatever the length of the stream; a row that fails stops no other.
Whatever ends the stream, a row that was begun is finished and reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from datetime import UTC, datetime
from functools import partial

from msgspec import structs

from .._api.precondition import Granted
from .._api.readback import name_other_location
from .._client.methods import begin_reading
from .._validation.settings import check_callback, check_count, check_flag, check_kind, check_line
from .._validation.text import show_error
from ..access import check_may_write
from ..client import LeadConnector, needs_location
from ..exceptions import LeadConnectorError, NotApprovedError, PreconditionFailedError, RowFault, explain
from ..reschedule.apply import carry_out, retry_stale
from ..reschedule.plan import Change
from .plan.rows import PlanRow, explain_no_location
from .plan.sources import AnyRow, RowSource, check_source, name_event, read_any
from .plan.wanted_change import WantedChange
from .prepare.check import Rules, check_row
from .run.in_flight import ROW_METRICS, RowListener, RowMetrics
from .states import MOST_AT_ONCE, OnOutcome, RowOutcome, RowState, explain_failure


def _ignore(outcome: RowOutcome) -> None:
    """The default of `on_outcome`."""


async def update_many(
    client: LeadConnector,
    rows: RowSource,
    *,
    concurrency: int = 16,
    keep: bool = True,
    allow_past: bool = False,
    timezone: str | None = None,
    on_outcome: OnOutcome = _ignore,
) -> AsyncGenerator[RowOutcome]:
    """Change many appointments; yields the outcome of each row as it finishes.

        async for outcome in update_many(client, rows):
            if outcome.state != "applied": ...

    `rows` may be endless. Times in the past are refused without `allow_past`. `keep=True` reads each appointment
    first and keeps what an update would reset, as `reschedule_appointment` does; `False` sends updates as they are.
    At most `concurrency` rows are in flight. `timezone` is for wall-clock times in mappings. A bad row, whatever is
    wrong with it, is yielded as `refused`. Rows that name a location use `client.for_location`. There is no
    journal: if the work must survive its process, use `BulkJob`.

    `on_outcome` is called with every outcome, including those of rows that finish after a `break`. Wrap the stream
    in `contextlib.aclosing`, or call `aclose()`: no further row starts, and it returns when the rows in flight have
    finished. A second cancellation ends it at once; rows whose write was sent are reported as `unknown`.

    Raises only what `rows` or `on_outcome` raises, `ConfigurationError`, and `ReadOnlyError` at once.
    """
    check_kind("client", client, LeadConnector)
    check_may_write(client.access, "update_many")
    check_count("concurrency", concurrency, 1, MOST_AT_ONCE)
    check_flag("keep", keep)
    check_flag("allow_past", allow_past)
    timezone = None if timezone is None else check_line("timezone", timezone)
    check_callback("on_outcome", on_outcome, optional=False)
    check_source(rows)
    rules = Rules(datetime.now(UTC), allow_past, client.version)
    workers = _Workers(rows, concurrency, _Changer(client, rules, keep=keep, timezone=timezone), on_outcome)
    try:
        while (outcome := await workers.take()) is not None:
            yield outcome
    finally:
        await workers.stop()


class _Workers:
    """Take rows one after the other, and queue their outcomes."""

    def __init__(self, rows: RowSource, concurrency: int, changer: _Changer, on_outcome: OnOutcome) -> None:
        self._rows = _number(rows)
        self._changer = changer
        self._on_outcome = on_outcome
        self._reading = asyncio.Lock()
        self._outcomes: asyncio.Queue[RowOutcome | None] = asyncio.Queue()
        self._capacity = asyncio.Semaphore(2 * concurrency)  # of rows in flight, and outcomes that were not taken
        self._failure: BaseException | None = None
        self._stopping = False
        self._working = dict.fromkeys(range(concurrency), False)
        """Workers that have not ended, and whether each is changing an appointment."""
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(concurrency)]

    async def take(self) -> RowOutcome | None:
        """The next outcome; `None` after the last. Raises what ended the stream."""
        while self._working or not self._outcomes.empty():
            outcome = await self._outcomes.get()
            if outcome is not None:
                self._capacity.release()
                return outcome
        if self._failure is not None:
            raise self._failure
        return None

    async def stop(self) -> None:
        """Start no more rows, and wait for those in flight; a second cancellation ends these as well."""
        self._stopping = True
        known = self._failure
        for number, task in enumerate(self._tasks):
            if not self._working.get(number):
                task.cancel()
        try:
            await asyncio.wait(self._tasks)
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise
        if self._failure is not None and self._failure is not known:
            raise self._failure

    async def _work(self, number: int) -> None:
        try:
            # Once it is stopping, no outcomes are taken any more: whoever waited for capacity would wait forever.
            while not self._stopping and (row := await self._begin()) is not None:
                self._working[number] = True
                outcome = await self._changer.change(*row)
                self._working[number] = False
                self._outcomes.put_nowait(outcome)
                self._on_outcome(outcome)
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError as error:
            if not _is_cancelled():  # but the stream was
                self._failure = self._failure or error
        except Exception as error:
            self._failure = self._failure or error
        finally:
            del self._working[number]
            self._outcomes.put_nowait(None)

    async def _begin(self) -> tuple[int, AnyRow] | None:
        await self._capacity.acquire()
        async with self._reading:
            if self._stopping or self._failure is not None or _is_cancelled():
                return None
            return await anext(self._rows)


class _Changer:
    """Changes appointments, in any location that rows name."""

    def __init__(self, client: LeadConnector, rules: Rules, *, keep: bool, timezone: str | None) -> None:
        handler = RowListener("", lambda moment: None, client.on_event)
        self._own = client.with_options(priority="bulk", on_event=handler)
        self._clients: dict[str | None, LeadConnector] = {None: self._own, client.location_id: self._own}
        self._needs_location = needs_location(client)
        self._rules = rules
        self._keep = keep
        self._timezone = timezone

    async def change(self, line: int, row: AnyRow) -> RowOutcome:
        """Returns the outcome of a row; whatever goes wrong belongs to this row only."""
        planned = read_any(line, row, self._timezone)
        if self._needs_location and isinstance(planned, PlanRow) and planned.location_id is None:
            planned = explain_no_location(line)
        if isinstance(planned, RowFault):
            reason = explain(planned.reason, planned.hint)
            return RowOutcome(line=planned.line, event_id=name_event(row), state="refused", reason=reason)
        metrics = RowMetrics()
        ROW_METRICS.set(metrics)
        new_id, trace_id = None, None
        try:
            state, reason, new_id = await self._send(planned)
        except (Exception, asyncio.CancelledError) as error:
            state, reason = classify_failure(error, sent=metrics.sent)
            trace_id = getattr(error, "trace_id", None)
        return RowOutcome(
            line=line,
            event_id=planned.event_id,
            location_id=planned.location_id,
            state=state,
            reason=reason,
            attempts=metrics.requests,
            repeated=metrics.repeated,
            trace_id=trace_id,
            new_event_id=new_id if new_id != planned.event_id else None,
        )

    async def _send(self, row: PlanRow) -> tuple[RowState, str, str | None]:
        client = self._find_client(row.location_id)
        if not self._keep and row.shift is None:
            shown = await client.update_appointment(row.event_id, row.update)
            return "applied", name_other_location(shown, client.location_id) or "", shown.id
        return await retry_stale(partial(self._read_and_send, client, row))

    async def _read_and_send(
        self, client: LeadConnector, row: PlanRow, granted: Granted
    ) -> tuple[RowState, str, str | None]:
        begin = partial(begin_reading, client, granted)
        guard = begin()
        found = await client.get_appointment(row.event_id)
        wanted = WantedChange(row.update, row.shift, row.timezone, row.before)
        rules = structs.replace(self._rules, now=datetime.now(UTC), location_id=client.location_id)
        result = check_row(row.event_id, wanted, found, rules)
        if result.state != "pending":
            return result.state, result.reason, None
        change = Change(found, row.event_id, result.updates, result.differences)
        return "applied", "", (await carry_out(client, change, verify=False, send=guard(change), begin=begin)).id

    def _find_client(self, location_id: str | None) -> LeadConnector:
        client = self._clients.get(location_id)
        if client is None:
            client = self._clients[location_id] = self._own.for_location(str(location_id))
        return client


def classify_failure(error: BaseException, *, sent: bool) -> tuple[RowState, str]:
    """The state and reason of a row whose change has raised; `sent`: its write was sent, or may have been."""
    if not isinstance(error, LeadConnectorError):
        return "unknown" if sent else "failed", f"it was interrupted ({show_error(error)})"
    reason = explain_failure(error)
    if error.outcome != "not_applied":
        return error.outcome, reason
    return "skipped" if isinstance(error, PreconditionFailedError | NotApprovedError) else "failed", reason


def _is_cancelled() -> bool:
    """Whether this task was cancelled, and not just what it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _number(rows: RowSource) -> AsyncGenerator[tuple[int, AnyRow]]:
    line = 0
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            line += 1
            yield line, row
    else:
        for row in rows:
            line += 1
            yield line, row
