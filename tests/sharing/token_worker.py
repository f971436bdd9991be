"""A process that uses an app's tokens from a shared store: `python -m tests.sharing.token_worker`.

Its first line of input is what to do, as JSON. It prints `ready`, waits for a line, and prints the tokens.
"""

import asyncio
import sys

import msgspec
from msgspec import Struct

from leadconnector_async import LeadConnectorError, OAuthApp, RedisTokenStore, SQLTokenStore


class Work(Struct):
    """What to ask for: the token of each location, `tasks` times at once."""

    url: str
    key: str
    app: str
    base_url: str
    client_id: str
    client_secret: str
    location_ids: list[str]
    tasks: int


class Asked(Struct):
    """The tokens by location, and what went wrong."""

    tokens: dict[str, list[str]]
    errors: list[str]


async def ask(work: Work) -> Asked:
    kind = RedisTokenStore if work.url.startswith("redis") else SQLTokenStore
    async with kind(work.url, key=work.key or None, app=work.app) as store:
        app = OAuthApp(work.client_id, work.client_secret, store=store, base_url=work.base_url)
        providers = {one: app.provider(one) for one in work.location_ids}
        wanted = [one for one in work.location_ids for _ in range(work.tasks)]
        results = await asyncio.gather(*(providers[one]() for one in wanted), return_exceptions=True)
    found = Asked({one: [] for one in work.location_ids}, [])
    for location_id, result in zip(wanted, results, strict=True):
        if isinstance(result, str):
            found.tokens[location_id] = sorted({*found.tokens[location_id], result})
        else:
            assert isinstance(result, LeadConnectorError), repr(result)
            found.errors.append(str(result))
    return found


if __name__ == "__main__":
    told = msgspec.json.decode(sys.stdin.readline(), type=Work)
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    print(msgspec.json.encode(asyncio.run(ask(told))).decode(), flush=True)  # noqa: T201
