"""What tests of jobs share."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary, PlanRow, RowFault, iterate_plan
from leadconnector_async.sandbox import BookedAppointment, Limits, Sandbox

FAST = Limits(max_requests=100_000, interval=1.0)
"""The limit is out of the way."""


def rows(*cells: Mapping[str, object], timezone: str | None = None) -> list[PlanRow | RowFault]:
    """A plan out of its cells."""
    return list(iterate_plan([json.dumps(dict(one)) for one in cells], format="jsonl", timezone=timezone))


def at(event: BookedAppointment, *, start: str | None = None, **cells: object) -> dict[str, object]:
    """Cells for one appointment."""
    return {"event_id": event.id, **({} if start is None else {"start_time": start}), **cells}


async def run(
    folder: Path, client: LeadConnector, plan: Iterable[PlanRow | RowFault], **options: object
) -> JobSummary:
    """A job from its beginning to its end."""
    chosen = JobOptions(**options)  # type: ignore[arg-type]
    async with await BulkJob.create(folder, client, plan, options=chosen) as job:
        return await job.run()


def writes(sandbox: Sandbox) -> list[str]:
    """The events whose changes were applied, in their order."""
    return [str(one.event_id) for one in sandbox.requests.of("update_appointment") if one.applied]


def picture(sandbox: Sandbox) -> dict[str, BookedAppointment]:
    """The whole state."""
    return {event.id: event for event in sandbox.book}
