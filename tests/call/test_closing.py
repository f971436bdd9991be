"""Closing a client, from wherever, and what is left when nobody does."""

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType

import aiohttp
import pytest

from leadconnector_async import ConfigurationError, LeadConnector, RateLimit, Timeouts
from leadconnector_async._call.timeouts import AttemptTimer
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient


class Served:
    """A sandbox in a thread of its own."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def make(self, **options: object) -> LeadConnector:
        return LeadConnector(self.sandbox.token, base_url=self.sandbox.url, **options)  # type: ignore[arg-type]

    async def call(self, client: LeadConnector) -> None:
        await client.get_appointment(self.sandbox.appointment_ids[0])


@pytest.fixture
def served() -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sandbox = asyncio.run_coroutine_threadsafe(Sandbox(appointments=1).__aenter__(), loop).result()
    yield Served(sandbox)
    asyncio.run_coroutine_threadsafe(sandbox.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def close(client: LeadConnector) -> None:
    await client.aclose()


async def check_closed(client: LeadConnector) -> None:
    with pytest.raises(ConfigurationError, match="the client is closed"):
        await client.get_appointment("ev1")


def test_a_client_is_closed_from_another_threads_loop(served: Served) -> None:
    """Its connections are closed where they belong, and both threads see that it is closed."""
    loop, client = asyncio.new_event_loop(), served.make()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(served.call(client), loop).result()
    session = client._shared.transport.session
    assert session is not None
    asyncio.run(close(client))
    assert session.closed
    asyncio.run_coroutine_threadsafe(check_closed(client), loop).result()
    asyncio.run(close(client))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_client_whose_loop_stands_still_is_not_half_closed(served: Served) -> None:
    """It says where to close it, and works on there."""
    client = served.make()
    with asyncio.Runner() as runner:
        runner.run(served.call(client))
        with pytest.raises(ConfigurationError, match="another event loop, which is not running"):
            asyncio.run(close(client))
        runner.run(served.call(client))
        runner.run(close(client))
        runner.run(check_closed(client))


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_client_whose_loop_is_closed_can_be_closed(served: Served) -> None:
    """Nothing is left to do, and nothing is raised."""
    client = served.make()
    asyncio.run(served.call(client))
    asyncio.run(close(client))
    asyncio.run(check_closed(client))
    del client
    gc.collect()


@pytest.mark.parametrize("derived", [False, True])
async def test_an_unclosed_client_is_said_in_our_words(sandbox: Sandbox, derived: bool) -> None:
    """One warning, which says what to write; none of aiohttp's, and nothing to the loop's handler of errors."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    client = LeadConnector(sandbox.token, base_url=sandbox.url)
    await client.get_appointment(sandbox.appointment_ids[0])
    if derived:
        client = client.with_options(priority="bulk")
    with warnings.catch_warnings(record=True, action="always") as said:
        del client
        gc.collect()
        await asyncio.sleep(0)
    texts = [str(one.message) for one in said if issubclass(one.category, ResourceWarning)]
    assert len(texts) == 1, texts
    assert "unclosed LeadConnector; use 'async with LeadConnector(" in texts[0]
    assert told == []


@pytest.mark.parametrize("used", [False, True])
async def test_an_unclosed_client_that_holds_nothing_says_nothing(sandbox: Sandbox, used: bool) -> None:
    """One that was never used, and one on a borrowed session, which stays open."""
    async with aiohttp.ClientSession() as session:
        client = LeadConnector(sandbox.token, base_url=sandbox.url, session=session if used else None)
        if used:
            await client.get_appointment(sandbox.appointment_ids[0])
        with warnings.catch_warnings(action="error"):
            del client
            gc.collect()
        assert not session.closed


async def test_copies_of_a_client_leave_no_timers(make_client: MakeClient, sandbox: Sandbox) -> None:
    """500 copies with bounds of their own share one timer, and none is left when the client is closed."""
    client = make_client(rate_limit=RateLimit(max_requests=10_000))
    copies = [client.with_options(timeouts=Timeouts(total=30.0 + number / 100)) for number in range(500)]
    for copy in copies:
        await copy.get_appointment(sandbox.appointment_ids[0])
    watches = {one for part in copies for one in find_watches(part)}
    assert len([one for one in watches if one._timer is not None]) == 1
    await client.aclose()
    assert not [one for one in watches if one._timer is not None]


def find_watches(client: LeadConnector) -> list[AttemptTimer]:
    """All that a client reaches, wherever they are."""
    found: list[AttemptTimer] = []
    todo: list[object] = [client]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type | ModuleType):
            continue
        seen.add(id(one))
        if isinstance(one, AttemptTimer):
            found.append(one)
        elif isinstance(one, dict) or type(one).__module__.startswith("leadconnector_async"):
            todo += gc.get_referents(one)
    return found
