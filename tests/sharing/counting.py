"""A number in a store, and processes that add to it: `python -m tests.sharing.counting URL COUNT [stop | fork]`."""

import asyncio
import os
import selectors
import signal
import sys

from leadconnector_async import Shared
from leadconnector_async._sharing.store import Store

KEY = "the number"
KEEP = 60.0


async def add(store: Store, count: int) -> int:
    """Add 1 so often; returns how often another one was faster."""
    lost = 0
    for _ in range(count):
        while not await try_add(store):
            lost += 1
    return lost


async def try_add(store: Store, *, stop: bool = False) -> bool:
    """Read, compute, swap; or stop this process between the two."""
    reading = await store.read(KEY)
    if stop:
        os.kill(os.getpid(), signal.SIGSTOP)
    content = str(int(reading.content or b"0") + 1).encode()
    return await store.swap(KEY, reading.version, content, KEEP)


async def get(store: Store) -> int:
    return int((await store.read(KEY)).content or b"0")


def run_forked(shared: Shared) -> None:
    """Both use what was opened before the fork; the parent only swaps, which is never repeated by itself.

    A child runs its own event loop, and another the one that it has inherited.
    """
    loop = asyncio.SelectorEventLoop(
        selectors.SelectSelector()
    )  # the kernel shares nothing of it, as it does of epoll
    loop.run_until_complete(add(shared.store, 1))
    for run in (asyncio.run, loop.run_until_complete):
        reading = loop.run_until_complete(shared.store.read(KEY))
        pid = os.fork()
        if pid == 0:
            run(use(shared))
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert not loop.run_until_complete(shared.store.swap(KEY, reading.version, b"0", KEEP))
    loop.run_until_complete(add(shared.store, 1))
    loop.run_until_complete(shared.aclose())
    loop.close()


async def use(shared: Shared) -> None:
    await add(shared.store, 5)
    await shared.aclose()


async def main(url: str, count: int, how: str) -> None:
    async with Shared(url) as shared:
        if how == "stop":
            sys.exit(0 if not await try_add(shared.store, stop=True) else 1)
        await add(shared.store, count)


if __name__ == "__main__":
    if sys.argv[3:] == ["fork"]:
        run_forked(Shared(sys.argv[1]))
    else:
        asyncio.run(main(sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:])))
