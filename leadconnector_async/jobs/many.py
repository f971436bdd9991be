"""`update_many`: many changes out of any stream, results as they finish, and no file.

Rule: no more rows are held than are under way, whatever the length of the stream; a row that fails stops nobody.

Knows the client and the rows. Must not know the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from msgspec import structs

from .._compare import name_other_location
from .._rescheduling import carry_out
from ..client import LeadConnector
from ..exceptions import ConfigurationError, LeadConnectorError, RowFault
from ..models import AppointmentUpdate
from ..reschedule import Change
from .flight import FLIGHT, Flight, listen
from .intake import Wanted
from .preflight import Rules, check_row
from .rows import BadRow, PlanRow, check_row_of_code, name_column, read_row
from .states import RowOutcome, RowState

AnyRow: TypeAlias = PlanRow | RowFault | tuple[str, AppointmentUpdate] | Mapping[str, object]
"""A row of a plan, an event id with an update, or cells by their field as in a plan's file."""

_END: Final = object()


async def update_many(
    client: LeadConnector,
    rows: Iterable[AnyRow] | AsyncIterable[AnyRow],
    *,
    concurrency: int = 16,
    keep: bool = True,
    allow_past: bool = False,
    timezone: str | None = None,
) -> AsyncIterator[RowOutcome]:
    """Change many appointments; yields what came of each row as it finishes.

        async for outcome in update_many(client, rows):
            if outcome.state != "applied": ...

    `rows` may be endless. `keep=True` reads each appointment first and keeps what an update would reset, as
    `reschedule_appointment` does; `False` sends updates as they are. `concurrency` rows are under way at once.
    `timezone` is for wall-clock times in mappings. A bad row comes out as `refused`. A row that names a location
    goes through `client.for_location`. There is no journal: a stream that must survive its process is a `BulkJob`.
    Raises only what `rows` itself raises, and `ConfigurationError`.
    """
    if concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency}; it must be at least 1")
    crowd = _Crowd(client, rows, concurrency, keep, Rules(datetime.now(UTC), allow_past, client.version), timezone)
    try:
        async for outcome in crowd.run():
            yield outcome
    finally:
        await crowd.stop()


class _Crowd:
    def __init__(
        self,
        client: LeadConnector,
        rows: Iterable[AnyRow] | AsyncIterable[AnyRow],
        concurrency: int,
        keep: bool,
        rules: Rules,
        timezone: str | None,
    ) -> None:
        handler = listen("", lambda moment: None, client.on_event)
        self._own = client.with_options(priority="bulk", on_event=handler)
        self._clients: dict[str | None, LeadConnector] = {None: self._own, client.location_id: self._own}
        self._rows = _number(rows)
        self._turn = asyncio.Lock()
        self._outcomes: asyncio.Queue[object] = asyncio.Queue(concurrency)
        self._keep = keep
        self._rules = rules
        self._timezone = timezone
        self._tasks = [asyncio.create_task(self._work()) for _ in range(concurrency)]
        self._failure: BaseException | None = None

    async def run(self) -> AsyncIterator[RowOutcome]:
        ended = 0
        while ended < len(self._tasks):
            outcome = await self._outcomes.get()
            if isinstance(outcome, RowOutcome):
                yield outcome
            else:
                ended += 1
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._failure is None:
                async with self._turn:
                    line, row = await anext(self._rows)
                await self._outcomes.put(await self._change(line, row))
        except StopAsyncIteration:
            pass
        except Exception as error:
            self._failure = self._failure or error
        await self._outcomes.put(_END)

    async def _change(self, line: int, row: AnyRow) -> RowOutcome:
        planned = _read(line, row, self._timezone)
        if isinstance(planned, RowFault):
            return RowOutcome(line=line, event_id="", state="refused", reason=f"{planned.reason}; {planned.mend}")
        flight = Flight()
        FLIGHT.set(flight)
        new_id, error = None, None
        state: RowState
        try:
            state, reason, new_id = await self._send(planned)
        except LeadConnectorError as raised:
            error = raised
            state = "unknown" if raised.outcome == "unknown" else "failed"
            state = "applied" if raised.outcome == "applied" else state
            reason = " ".join([str(raised.args[0]), *getattr(raised, "__notes__", ())])
        return RowOutcome(
            line=line,
            event_id=planned.event_id,
            location_id=planned.location_id,
            state=state,
            reason=reason,
            attempts=flight.requests,
            repeated=flight.repeated,
            trace_id=None if error is None else error.trace_id,
            new_event_id=new_id if new_id != planned.event_id else None,
        )

    async def _send(self, row: PlanRow) -> tuple[RowState, str, str | None]:
        client = self._find_client(row.location_id)
        if not self._keep and row.shift is None:
            shown = await client.update_appointment(row.event_id, row.update)
            return "applied", name_other_location(shown, client.location_id) or "", shown.id
        found = await client.get_appointment(row.event_id)
        wanted = Wanted(row.update, row.shift, row.timezone, row.before)
        rules = structs.replace(self._rules, location_id=client.location_id)
        finding = check_row(row.event_id, wanted, found, rules)
        if finding.state != "ready":
            return finding.state, finding.reason, None
        change = Change(found, row.event_id, finding.updates, finding.differences)
        return "applied", "", (await carry_out(client, change, verify=False)).id

    def _find_client(self, location_id: str | None) -> LeadConnector:
        client = self._clients.get(location_id)
        if client is None:
            client = self._clients[location_id] = self._own.for_location(str(location_id))
        return client


def _read(line: int, row: AnyRow, timezone: str | None) -> PlanRow | RowFault:
    if isinstance(row, RowFault):
        return row
    if isinstance(row, PlanRow | tuple):
        return check_row_of_code(row if isinstance(row, PlanRow) else PlanRow(line, row[0], row[1]))
    try:
        named = {name_column(spelling): cell for spelling, cell in row.items() if cell not in (None, "")}
    except BadRow as bad:
        return RowFault(line, bad.column, bad.reason, bad.mend)
    return read_row(line, {name: cell for name, cell in named.items() if name is not None}, timezone)


async def _number(rows: Iterable[AnyRow] | AsyncIterable[AnyRow]) -> AsyncIterator[tuple[int, AnyRow]]:
    line = 0
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            line += 1
            yield line, row
    else:
        for row in rows:
            line += 1
            yield line, row
