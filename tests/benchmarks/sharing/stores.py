"""What a store needs before it is used first."""

import asyncio

from leadconnector_async import Shared


def prepare(url: str) -> None:
    """Create its tables."""
    asyncio.run(_migrate(url))


async def _migrate(url: str) -> None:
    shared = Shared(url)
    try:
        await shared.migrate()
    finally:
        await shared.aclose()
