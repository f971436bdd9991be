"""What all tests share: a sandbox, a client for it, and nothing that leaves the machine."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from leadconnector_async import LeadConnector, RetryPolicy
from leadconnector_async.sandbox import Limits, Sandbox

from . import loops

MOST_SECONDS_IN_CI = 60
"""What a campaign may take there."""
QUICK = RetryPolicy(backoff_base=0.001, backoff_cap=0.002)
WIDE = Limits(max_requests=10_000, interval=0.5)

MakeClient = Callable[..., LeadConnector]


def pytest_configure(config: pytest.Config) -> None:
    """Tests run on asyncio's own loop, or on the one that `TEST_LOOP` names."""
    loops.install()
    if loops.NAME != "asyncio":
        config.pluginmanager.register(loops.VirtualTime())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI a campaign that does not keep to its time is a failure; elsewhere a slow machine may take longer."""
    for item in items:
        if os.environ.get("CI") and item.get_closest_marker("campaign") is not None:
            item.add_marker(pytest.mark.timeout(MOST_SECONDS_IN_CI), append=False)


@pytest.fixture(scope="session", autouse=True)
def main_loop() -> Iterator[None]:
    """On 3.11, asking for the current loop makes one that nobody closes; this one is closed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Small, with the limit out of the way; or as the test's mark `sandbox(…)` says."""
    mark = request.node.get_closest_marker("sandbox")
    options = {"appointments": 40, "limits": WIDE} if mark is None else mark.kwargs
    async with Sandbox(**options) as server:
        yield server


@pytest.fixture
async def make_client(sandbox: Sandbox) -> AsyncIterator[MakeClient]:
    made: list[LeadConnector] = []

    def make(token: object = None, **options: object) -> LeadConnector:
        settings = {"base_url": sandbox.url, "location_id": sandbox.location_id, "retry": QUICK, **options}
        client = LeadConnector(sandbox.token if token is None else token, **settings)  # type: ignore[arg-type]
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def client(make_client: MakeClient) -> LeadConnector:
    return make_client()
