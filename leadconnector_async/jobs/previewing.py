"""Previews a job: reads the clocks of its calendars, and what is in its journal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import structs

from ..client import LeadConnector
from .locations import forecast_all
from .prepare.changes import Known, learn_zones
from .prepare.clocks import read_clocks
from .prepare.names import list_contacts, read_names
from .prepare.preview import Preview, read_preview
from .prepare.taken import list_wanted, read_taken
from .report.preview_file import check_preview_path, write_preview
from .unit import OpenJob


async def preview_job(
    job: OpenJob,
    find_client: Callable[[str], LeadConnector],
    most: int,
    file: object,
    title: str,
    *,
    check_slots: bool,
    names: bool,
) -> Preview:
    """What a job would do; also written to `file` unless that is `None`. Raises as `check_preview_path` does."""
    path, run = None if file is None else check_preview_path(file), job.writer.run
    zones = await run(learn_zones)
    await read_clocks(zones, find_client)
    taken = await read_taken(await run(list_wanted), find_client) if check_slots else None
    contacts = await run(partial(list_contacts, most if path is None else None)) if names else []
    known = Known(zones, taken, await read_names(contacts, find_client))
    preview = await run(partial(read_preview, most, known))
    if path is not None:
        await run(partial(write_preview, path, title, preview, known))
    return structs.replace(preview, seconds=forecast_all(job, find_client, preview.requests))
