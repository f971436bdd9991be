"""A job in a process of its own: `python -m tests.jobs.job_child URL TOKEN LOCATION FOLDER PLAN`.

It prints, as JSON, how many rows are in which state in the end, and why the job stopped.
"""

import asyncio
import json
import sys
from pathlib import Path

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, iterate_plan


async def main(url: str, token: str, location: str, folder: str, plan: str) -> None:
    """Run it to its end."""
    async with LeadConnector(token, base_url=url, location_id=location) as client:
        options = JobOptions(concurrency=4, rate=20)
        rows = list(iterate_plan(Path(plan).read_text().splitlines(), format="jsonl"))
        async with await BulkJob.create(folder, client, rows, options=options) as job:
            summary = await job.run()
    sys.stdout.write(json.dumps([summary.counts, [one.kind for one in summary.stopped]]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
