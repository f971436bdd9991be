"""Rows that are requeued while workers have others of the same job to send."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from leadconnector_async import ConfigurationError, LeadConnector, Shared
from leadconnector_async.jobs import BulkJob, JobOptions, run_worker
from leadconnector_async.sandbox import Sandbox

from .jobbing import FAST, QUICK_START, WEEK, at, rows

pytestmark = pytest.mark.timeout(120)


async def test_rows_that_are_requeued_while_workers_have_others_to_send_are_sent(postgres_url: str) -> None:
    """Their location had ended, while another one was on its way."""
    shared = Shared(postgres_url)
    await shared.migrate()
    async with shared, Sandbox(limits=FAST, locations=2, appointments=6) as sandbox, AsyncExitStack() as stack:
        clients: dict[str, LeadConnector] = {}
        for location in sandbox.location_ids:
            client = LeadConnector(
                sandbox.issue_token(location_id=location),
                base_url=sandbox.url,
                location_id=location,
                shared=shared,
                rate_limit=QUICK_START,
            )
            clients[location] = await stack.enter_async_context(client)
        first, second = sandbox.location_ids
        [failing, *_] = sandbox.find_appointment_ids(first)
        plan = [
            at(sandbox.appointment(one), start=(sandbox.appointment(one).start_time + WEEK).isoformat())
            | {"location_id": sandbox.appointment(one).location_id}
            for one in (failing, *sandbox.find_appointment_ids(second))
        ]
        options = JobOptions(rate=0.5)
        sandbox.faults.plan("update_appointment", ["422"])
        stop = asyncio.Event()
        working = asyncio.create_task(
            run_worker(postgres_url, client_for=clients.__getitem__, lease=2.0, stop=stop)
        )
        job = await stack.enter_async_context(
            await BulkJob.create(f"{postgres_url}#week", clients[first], rows(*plan), options=options)
        )
        await job.submit()
        async for progress in job.watch():
            if progress.failed:
                break
        await job.pause()
        requeued = 0
        while not requeued:
            await asyncio.sleep(0.2)
            with suppress(ConfigurationError):  # workers still hold a location
                requeued = await job.retry_failed()
        assert requeued == 1
        await job.set_rate(None)
        await job.resume()
        assert (await job.wait()).counts == {"applied": 7}
        stop.set()
        await working
