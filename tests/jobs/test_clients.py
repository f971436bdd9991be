"""The clients of a worker: made once, kept for a while, closed by whom they belong to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, LeadConnector, Shared
from leadconnector_async.jobs.clients import Clients, UnsharedClientError


class Made(LeadConnector):
    """Knows whether it was closed."""

    is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True
        await super().aclose()


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    async with Shared(f"sqlite:///{tmp_path}/limits.db") as store:
        yield store


class Maker:
    """A `client_for` that remembers what it has made."""

    def __init__(self, shared: Shared | None) -> None:
        self.shared = shared
        self.made: dict[str, Made] = {}
        self.calls: list[str] = []

    def __call__(self, location: str) -> Made:
        self.calls.append(location)
        self.made[location] = Made("pit-token", location_id=location, shared=self.shared)
        return self.made[location]


async def test_a_client_is_made_once_while_it_is_needed(shared: Shared) -> None:
    """Also if `client_for` waits, and two jobs have the same location."""
    maker = Maker(shared)

    async def client_for(location: str) -> LeadConnector:
        await asyncio.sleep(0)
        return maker(location)

    clients = Clients(client_for)
    one, two = await asyncio.gather(clients.take("a"), clients.take("a"))
    assert one is two
    await clients.give_back("a")
    await clients.give_back("a")
    assert await clients.take("a") is one
    assert maker.calls == ["a"]
    await clients.aclose()
    assert maker.made["a"].is_closed


async def test_idle_clients_are_closed_the_longest_unused_first(shared: Shared) -> None:
    """Those that are in use are not, however many there are."""
    maker = Maker(shared)
    clients = Clients(maker, most_idle=2)
    for location in "abcde":
        await clients.take(location)
    for location in "badc":
        await clients.give_back(location)
    assert [name for name, one in maker.made.items() if one.is_closed] == ["a", "b"]
    await clients.take("d")
    await clients.give_back("e")
    assert sum(one.is_closed for one in maker.made.values()) == 2
    await clients.aclose()
    assert all(one.is_closed for one in maker.made.values())


async def test_a_client_that_is_returned_for_several_locations_stays_open(shared: Shared) -> None:
    """It may be returned again, so it is closed when the worker ends; copies close nothing."""
    own = Made("pit-token", shared=shared)
    clients = Clients(lambda location: own, most_idle=0)
    for location in "ab":
        await clients.take(location)
    for location in "ab":
        await clients.give_back(location)
    assert not own.is_closed
    assert await clients.take("a") is own
    await clients.aclose()
    assert own.is_closed


async def test_a_client_without_a_shared_store_is_refused() -> None:
    """Two workers in succession could exceed the location's limit."""
    maker = Maker(None)
    clients = Clients(maker)
    with pytest.raises(UnsharedClientError) as caught:
        await clients.take("loc-1")
    assert str(caught.value) == (
        "client_for('loc-1') returned a client without a shared store; create it with"
        ' shared=Shared("postgresql://db/leads")'
    )
    await maker.made["loc-1"].aclose()


@pytest.mark.parametrize("returned", [None, "pit-token", 7])
async def test_what_is_no_client_is_refused(returned: object) -> None:
    """By its name, and without its value."""
    clients = Clients(lambda location: returned)  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigurationError, match="client_for") as caught:
        await clients.take("loc-1")
    assert "pit-token" not in str(caught.value)


async def test_a_failure_is_not_kept(shared: Shared) -> None:
    """The next one asks again."""
    maker, failures = Maker(shared), [LookupError("no token")]

    def client_for(location: str) -> LeadConnector:
        if failures:
            raise failures.pop()
        return maker(location)

    clients = Clients(client_for)
    with pytest.raises(LookupError):
        await clients.take("a")
    assert await clients.take("a") is maker.made["a"]
    await clients.give_back("a")
    await clients.aclose()


async def test_a_client_that_cannot_close_keeps_nobody(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its store is away: the others are closed, and the worker ends."""
    maker, closing = Maker(shared), LeadConnector.aclose

    async def close(client: LeadConnector) -> None:
        if client is maker.made["a"]:
            await asyncio.Event().wait()
        await closing(client)

    monkeypatch.setattr(LeadConnector, "aclose", close)
    clients = Clients(maker)
    for location in ("a", "b"):
        await clients.take(location)
    async with asyncio.timeout(30):
        await clients.aclose()
    assert maker.made["b"].is_closed
    monkeypatch.undo()
    await maker.made["a"].aclose()
