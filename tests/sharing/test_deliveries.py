"""Which webhooks were processed: the leases of processes that died, and how much is remembered."""

from unittest.mock import AsyncMock

import pytest

from leadconnector_async._sharing.deliveries import LEASE_SECONDS, DeliveryLedger, name_delivery
from leadconnector_async._sharing.keys import MemoryKeys


async def test_a_process_that_was_killed_leaves_a_lease_that_ends() -> None:
    """Until then nobody else processes the event; afterwards the next delivery is processed, and recorded."""
    now = 100.0
    ledger = DeliveryLedger(MemoryKeys(lambda: now), keep_seconds=1_000.0)
    name = name_delivery("app", "event")
    assert await ledger._claim(name, "killed") == "begun"
    now += LEASE_SECONDS - 0.1
    async with ledger.process(name) as found:
        assert found == "busy"
    now += 0.2
    async with ledger.process(name) as found:
        assert found == "begun"
    async with ledger.process(name) as found:
        assert found == "done"
    now += 1_001.0
    async with ledger.process(name) as found:
        assert found == "begun"


async def test_an_event_whose_row_something_else_has_changed_is_processed() -> None:
    keys = MemoryKeys(lambda: 1.0)
    name = name_delivery("app", "event")
    assert await keys.swap(name, "", b"garbage", 10.0)
    for expected in ("begun", "done"):
        async with DeliveryLedger(keys, keep_seconds=10.0).process(name) as found:
            assert found == expected


def test_apps_that_share_a_store_have_their_own_events() -> None:
    """Whatever their names and ids contain."""
    assert len({name_delivery(*pair) for pair in (("a", "bc"), ("ab", "c"), ("a", "b"), ("a/b", ""))}) == 4


async def test_memory_is_bounded() -> None:
    """The oldest rows are dropped; one that was written again is not the oldest."""
    keys = MemoryKeys(lambda: 1.0, most=3)
    for key in "abc":
        assert await keys.swap(key, "", b"1", 10.0)
    assert await keys.swap("a", (await keys.read("a")).version, b"2", 10.0)
    assert await keys.swap("d", "", b"1", 10.0)
    assert [(await keys.read(key)).content for key in "abcd"] == [b"2", b"", b"1", b"1"]


async def test_what_could_not_be_recorded_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process would process the next delivery of that event again."""
    keys = MemoryKeys(lambda: 1.0)
    ledger = DeliveryLedger(keys, keep_seconds=10.0)
    async with ledger.process(name_delivery("app", "event")) as found:
        assert found == "begun"
        monkeypatch.setattr(keys, "swap", AsyncMock(return_value=False))
    assert "could not be recorded" in caplog.text
