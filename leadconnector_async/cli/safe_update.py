"""One change from the shell, checked like a row of a plan.

Rule: what a plan would refuse is refused here, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from .._methods import begin_reading
from .._rescheduling import carry_out, retry_stale
from ..client import LeadConnector
from ..exceptions import InvalidRequestError, RowFault
from ..jobs import PlanRow
from ..jobs.intake import Wanted
from ..jobs.preflight import Rules, check_row
from ..jobs.rows import read_row
from ..jobs.texts import is_blank
from ..models import Appointment
from ..reschedule import Change


def read_update(event_id: str, cells: Mapping[str, str], timezone: str | None) -> PlanRow:
    """The same checks as for a row of a plan. Raises `InvalidRequestError`."""
    if is_blank(cells.get("title", "any")):
        raise InvalidRequestError("--set title: title is empty; leave it out to keep it", field="title")
    row = read_row(1, {**cells, "event_id": event_id}, timezone)
    if isinstance(row, RowFault):
        raise InvalidRequestError(
            f"--set {row.column}: {row.reason}{'; ' if row.mend else ''}{row.mend}", field=row.column
        )
    return row


async def change_safely(client: LeadConnector, row: PlanRow) -> Appointment:
    """A safe change: read first, and what an update would reset goes along."""
    return await retry_stale(partial(_read_and_change, client, row))


async def _read_and_change(client: LeadConnector, row: PlanRow) -> Appointment:
    guard = begin_reading(client)
    found = await client.get_appointment(row.event_id)
    rules = Rules(datetime.now(UTC), allow_past=True, version=client.version, location_id=client.location_id)
    finding = check_row(row.event_id, Wanted(row.update, row.shift, row.timezone, row.before), found, rules)
    if finding.state == "refused":
        raise InvalidRequestError(f"{finding.reason}; {finding.mend}", field=finding.column)
    change = Change(found, row.event_id, finding.updates, finding.differences)
    return await carry_out(client, change, verify=False, send=guard(change))
