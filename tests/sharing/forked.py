"""A client that is in use while children are forked: `python -m tests.sharing.forked URL`.

Each child closes a client. Prints how the children ended, and what the parent got afterwards.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from leadconnector_async import LeadConnector, Shared
from leadconnector_async.sandbox import Sandbox

CHILD_SECONDS = 20.0


async def fork(act: Callable[[], Awaitable[object]]) -> str:
    """How a child ended that runs this in an event loop of its own."""
    pid = os.fork()
    if pid == 0:
        asyncio.run(act())  # type: ignore[arg-type]
        gc.collect()
        os._exit(0)
    try:
        async with asyncio.timeout(CHILD_SECONDS):
            return f"ended {await asyncio.to_thread(wait_for, pid)}"
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        return "hung"


def wait_for(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def main(url: str) -> None:
    async with Sandbox() as sandbox, Shared(url) as shared:
        event_id = sandbox.appointment_ids[0]

        def connect() -> LeadConnector:
            return LeadConnector(
                sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, shared=shared
            )

        async def use_own() -> None:
            async with connect() as own:
                await own.get_appointment(event_id)

        async with connect() as client:
            await client.get_appointment(event_id)
            dropped = [connect()]
            await dropped[0].get_appointment(event_id)
            ended = [await fork(act) for act in (use_own, client.aclose)]

            async def drop() -> None:
                dropped.clear()

            ended.append(await fork(drop))
            again = [await one.get_appointment(event_id) for one in (client, dropped[0])]
            await dropped[0].aclose()
            sys.stdout.write("\n".join([*ended, *(str(one.id == event_id) for one in again), ""]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
