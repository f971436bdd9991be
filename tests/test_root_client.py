"""A client without a location: made of an app, and there for `for_location`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, InvalidRequestError, LeadConnector, OAuthApp, PlanError, Shared
from leadconnector_async.jobs import BulkJob, update_many
from leadconnector_async.sandbox import Sandbox

from .conftest import QUICK
from .raw_server import raw_server
from .test_client import OK


@pytest.fixture
async def two() -> AsyncIterator[Sandbox]:
    async with Sandbox(appointments=4, locations=2) as sandbox:
        yield sandbox


@pytest.fixture
async def root(two: Sandbox) -> AsyncIterator[LeadConnector]:
    app = OAuthApp(two.client_id, two.client_secret, base_url=two.url, redirect_uri="https://a.example/")
    for location_id in two.location_ids:
        await app.exchange_code(two.issue_code(location_id=location_id))
    two.requests.clear()
    async with LeadConnector(app, base_url=two.url, retry=QUICK) as client:
        yield client


async def test_each_location_has_its_own_token_and_limit(two: Sandbox, root: LeadConnector) -> None:
    """Without a location that only fills a gap."""
    for location_id in two.location_ids:
        client = root.for_location(location_id)
        (event_id, *_) = two.find_appointment_ids(location_id)
        assert (await client.get_appointment(event_id)).location_id == location_id
        assert client.quota.limit == client.for_location(location_id).quota.limit
    assert root.location_id is None


CALLS: dict[str, Callable[[LeadConnector], object]] = {
    "get_appointment": lambda client: client.get_appointment("ev1"),
    "update_appointment": lambda client: client.update_appointment("ev1", {"title": "x"}),
    "reschedule_appointment": lambda client: client.reschedule_appointment("ev1", title="x"),
    "list_calendars": lambda client: client.list_calendars(),
    "list_calendars of a location": lambda client: client.list_calendars(location_id="Loc1"),
    "create_note": lambda client: client.create_note("ev1", "text", once="key"),
    "get_contact": lambda client: client.get_contact("k1"),
    "request": lambda client: client.request("GET", "/calendars/"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_without_a_location_is_refused_before_anything_is_sent(
    two: Sandbox, root: LeadConnector, name: str
) -> None:
    """With what to do instead; no lane is made for it."""
    with pytest.raises((ConfigurationError, InvalidRequestError), match="client has no location") as caught:
        await CALLS[name](root)  # type: ignore[misc]
    assert caught.value.outcome == "not_applied"
    assert not list(two.requests)
    with pytest.raises(ConfigurationError, match=r"use client.for_location\(location_id\)"):
        _ = root.quota


async def test_rows_name_their_location(two: Sandbox, root: LeadConnector, tmp_path: Path) -> None:
    """In `update_many` and in jobs; one that names none is refused, and so is its plan."""
    rows = [
        {"event_id": two.find_appointment_ids(one)[0], "location_id": one, "title": "Moved"}
        for one in two.location_ids
    ]
    nameless = {"event_id": "ev1", "title": "x"}
    outcomes = [one async for one in update_many(root, [*rows, nameless])]
    assert sorted(one.state for one in outcomes) == ["applied", "applied", "refused"]
    (refused,) = [one.reason for one in outcomes if one.state == "refused"]
    reason = "neither the row nor the client has a location; add location_id, or pass client.for_location(…)"
    assert refused == reason
    with pytest.raises(PlanError) as caught:
        await BulkJob.create(tmp_path / "bad.job", root, [*rows, nameless])
    assert [str(one) for one in caught.value.faults] == [f"line 3, location_id: {reason}"]
    again = [row | {"title": "Again"} for row in rows]
    async with await BulkJob.create(tmp_path / "good.job", root, again) as job:
        assert (await job.run()).counts == {"applied": 2}
    async with await BulkJob.open(tmp_path / "good.job", root) as job:
        assert (await job.run()).remaining == 0
    assert {two.appointment(str(row["event_id"])).title for row in rows} == {"Again"}


async def test_a_client_with_one_token_needs_no_location() -> None:
    """As before: its token says which it is."""
    async with raw_server(OK) as server:
        async with LeadConnector("pit-1", base_url=server.url) as client:
            assert client.quota.limit
            await client.get_appointment("ev1")


async def test_the_store_counts_the_requests_of_its_locations(two: Sandbox, tmp_path: Path) -> None:
    """The app is known from the root, too."""
    async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
        app = OAuthApp(two.client_id, two.client_secret, base_url=two.url, redirect_uri="https://a.example/")
        await app.exchange_code(two.issue_code())
        async with LeadConnector(app, base_url=two.url, shared=shared) as client:
            own = client.for_location(two.location_id)
            await asyncio.gather(*(own.get_appointment(one) for one in two.appointment_ids[:3]))
            assert own.quota.limit


def test_a_class_is_not_an_app() -> None:
    """Nor is a token of another kind."""
    for wrong in (OAuthApp, 5, None, object()):
        with pytest.raises(ConfigurationError):
            LeadConnector(wrong)  # type: ignore[arg-type]
