"""A service in a process of its own: `python -m tests.jobs.service_child DATABASE`.

Its client is that of the environment. It runs jobs until its input ends.
"""

import asyncio
import sys

from leadconnector_async import LeadConnector, Shared
from leadconnector_async.jobs import JobService

from .jobbing import QUICK_START


async def main(database: str) -> None:
    """Run whatever jobs the database has."""
    shared = Shared(database)
    async with (
        shared,
        LeadConnector.from_env(shared=shared, rate_limit=QUICK_START) as client,
        JobService(database, client),
    ):
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
