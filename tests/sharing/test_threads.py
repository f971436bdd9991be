"""Event loops in several threads that use one store: each may begin while another one looks at all of them."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from leadconnector_async import Shared
from leadconnector_async._sharing.connection import ConnectionKeeper
from leadconnector_async._sharing.membership import Membership

from .conftest import migrate
from .counting import KEEP
from .shared_world import MemoryStore

THREADS = 8


class OtherLoop:
    """A loop of another thread, which begins one more while it is asked whether it has ended."""

    def __init__(self, loops: dict[Any, Any], begins: bool = True) -> None:
        self._loops, self._begins = loops, begins

    def is_closed(self) -> bool:
        if self._begins:
            self._loops[OtherLoop(self._loops, begins=False)] = None
            del self._loops[self]
        return self._begins


async def test_a_loop_that_begins_meanwhile_disturbs_nobody() -> None:
    membership = Membership(MemoryStore(), "memory", has_presence=False)
    members: dict[Any, Any] = membership._members
    members[OtherLoop(members)] = None
    member = membership._find_member(asyncio.get_running_loop())
    assert membership._find_member(asyncio.get_running_loop()) is member

    keeper: ConnectionKeeper[Any] = ConnectionKeeper("memory", _nothing)
    loops: dict[Any, Any] = keeper._by_loop
    loops[OtherLoop(loops)] = None
    own = keeper._find_own()
    assert keeper._find_own() is own


async def _nothing() -> None: ...


async def test_the_loops_of_many_threads_share_a_store(store_url: str) -> None:
    """Each closes it when it has finished, while the others go on."""
    await migrate(store_url)
    shared = Shared(store_url)
    failed: list[BaseException] = []

    async def use(name: str) -> None:
        async with shared:
            for number in range(20):
                reading = await shared.store.read(f"pit/{name}")
                assert await shared.store.swap(f"pit/{name}", reading.version, f"{number}".encode(), KEEP)
            assert (await shared.store.read(f"pit/{name}")).content == b"19"

    def run(act: Callable[[str], Awaitable[None]], name: str) -> None:
        try:
            asyncio.run(act(name))  # type: ignore[arg-type]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(use, f"{number}")) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert failed == []
