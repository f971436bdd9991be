"""A process that makes bulk calls beside others: `bulk_worker URL SHARED LOCATION TOKEN COUNT IDS…`.

Writes `ready`, begins when a line comes, and writes the quota that it sees at the end.
"""

import asyncio
import sys

import msgspec

from leadconnector_async import LeadConnector, RateLimit, Shared

LIMIT = RateLimit(max_requests=20, interval=1.0)


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(url: str, shared_url: str, location_id: str, token: str, times: str, *ids: str) -> None:
    async with (
        Shared(shared_url) as shared,
        LeadConnector(
            token, location_id=location_id, base_url=url, shared=shared, rate_limit=LIMIT, priority="bulk"
        ) as client,
    ):
        write("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(client.get_appointment(ids[number % len(ids)]) for number in range(int(times))))
        write(msgspec.json.encode(client.quota).decode())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
