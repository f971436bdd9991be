"""A process that works on jobs: `python -m tests.cluster.worker FOLDER SHARED`, or `… DATABASE SHARED LEASE SLOTS`.

It runs the job of a folder, or is a worker of a database, for the account that its environment names. Its standard
input arms its traps. A worker writes its events to standard error.
"""

import asyncio
import json
import os
import sys

from leadconnector_async import LeadConnector, RateLimit, Shared
from leadconnector_async.jobs import BulkJob
from leadconnector_async.jobs.worker import run_worker

from .audit import listen
from .traps import Trap, set_up


class Tokens:
    """A token for each location, as an agency has them."""

    def __init__(self, tokens: dict[str, str], location_id: str) -> None:
        self._tokens = tokens
        self._location_id = location_id

    async def __call__(self) -> str:
        return self._tokens[self._location_id]

    def for_location(self, location_id: str) -> "Tokens":
        return Tokens(self._tokens, location_id)


def make_client(shared: Shared) -> LeadConnector:
    """The account of the environment: `CLUSTER_ACCOUNT`, the line that the sandbox prints, and a limit."""
    account = json.loads(os.environ["CLUSTER_ACCOUNT"])
    return LeadConnector(
        Tokens(account["tokens"], account["location_id"]),
        location_id=account["location_id"],
        base_url=account["url"],
        shared=shared,
        rate_limit=RateLimit(max_requests=account["max_requests"], interval=account["interval"]),
    )


async def run_folder(folder: str, shared_url: str) -> None:
    """To its end."""
    async with (
        Shared(shared_url) as shared,
        make_client(shared) as client,
        await BulkJob.open(folder, client) as job,
    ):
        await job.run()


async def work(url: str, shared_url: str, lease: str, slots: str) -> None:
    """Until it is told to end."""
    async with Shared(shared_url) as shared, make_client(shared) as client:
        await run_worker(
            url,
            client_for=client.for_location,
            lease=float(lease),
            slots=int(slots),
            on_event=lambda event: sys.stderr.write(f"{event}\n"),
        )


def is_database(place: str) -> bool:
    return place.startswith("postgresql://")


if __name__ == "__main__":
    trap = Trap()
    set_up(trap)
    trap.listen()
    listen()
    asyncio.run((work if is_database(sys.argv[1]) else run_folder)(*sys.argv[1:]))
