"""A worker whose calendar is computed in its own process: `python -m tests.benchmarks.cluster.worker URL`.

Ends on SIGTERM, and prints the most memory that it had, in MiB.
"""

import asyncio
import resource
import sys

from leadconnector_async import LeadConnector, RateLimit, Shared
from leadconnector_async.jobs import run_worker

from ..made import connect

WIDE = RateLimit(max_requests=100_000, interval=10.0)
"""Out of the way, over the usual interval."""


async def work(url: str) -> None:
    async with Shared(url) as shared, connect(None, shared=shared, rate_limit=WIDE) as client:

        def find(location: str) -> LeadConnector:
            return client.for_location(location)

        await run_worker(url, client_for=find)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
