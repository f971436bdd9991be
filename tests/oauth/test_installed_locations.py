"""Where an app is installed: every page is read, and nothing is left out unnoticed."""

import json
from collections.abc import AsyncIterator

import pytest

from leadconnector_async import (
    ConfigurationError,
    DecodeError,
    InstalledLocation,
    OAuthApp,
    ReconnectRequiredError,
    StoredToken,
)
from leadconnector_async.sandbox import Sandbox

from ..raw_server import answer, raw_server


@pytest.fixture
async def agency() -> AsyncIterator[Sandbox]:
    async with Sandbox(appointments=0, locations=5) as sandbox:
        yield sandbox


def make_app(sandbox: Sandbox) -> OAuthApp:
    return OAuthApp(
        sandbox.client_id, sandbox.client_secret, base_url=sandbox.url, redirect_uri="https://a.example/"
    )


async def connect(sandbox: Sandbox) -> OAuthApp:
    app = make_app(sandbox)
    await app.exchange_code(sandbox.issue_code(user_type="Company"), user_type="Company")
    sandbox.requests.clear()
    return app


async def test_the_locations_are_those_of_the_app(agency: Sandbox) -> None:
    """With names; asked for with the agency's token and the id in the first part of the client's."""
    app = await connect(agency)
    found = await app.list_installed_locations(agency.company_id)
    assert {one.id for one in found} == set(agency.location_ids)
    assert all(isinstance(one, InstalledLocation) and one.name and one.is_installed for one in found)
    assert await app.list_installed_locations(agency.company_id, app_id=agency.app_id) == found


async def test_a_location_without_the_app_is_left_out(agency: Sandbox) -> None:
    """The server knows more locations of the agency."""
    app = await connect(agency)
    agency.disconnect(agency.location_ids[1])
    found = {one.id for one in await app.list_installed_locations(agency.company_id)}
    assert found == set(agency.location_ids) - {agency.location_ids[1]}


async def test_an_expired_token_is_refreshed_and_a_failure_retried(agency: Sandbox) -> None:
    """As in any call of a client."""
    app = await connect(agency)
    agency.expire_token(await app.provider(agency.company_id)())
    agency.faults.plan("list_installed_locations", ["503"])
    assert len(await app.list_installed_locations(agency.company_id)) == 5
    statuses = [one.status for one in agency.requests if one.operation == "list_installed_locations"]
    assert sorted(statuses) == [200, 200, 401, 503]


async def test_an_agency_that_is_not_connected_is_named(agency: Sandbox) -> None:
    """Nothing is sent."""
    app = make_app(agency)
    with pytest.raises(ReconnectRequiredError, match="Com1"):
        await app.list_installed_locations("Com1")
    with pytest.raises(ConfigurationError, match="company_id"):
        await app.list_installed_locations("")
    with pytest.raises(ConfigurationError, match="app_id"):
        await app.list_installed_locations("Com1", app_id=" ")
    assert not list(agency.requests)


def page(*ids: object, **others: object) -> bytes:
    locations = [{"_id": one, "name": f"N{one}", "isInstalled": True, **others} for one in ids]
    return answer(200, json.dumps({"locations": locations, "count": 900}).encode())


async def read(*pages: bytes) -> tuple[list[InstalledLocation], list[str]]:
    async with raw_server(*pages) as server:
        app = OAuthApp("app-1", "secret", base_url=server.url)
        token = StoredToken(access_token="a", expires_at=4e9, user_type="Company", company_id="Com1")
        await app._refresher._store.save("Com1", token)
        found = await app.list_installed_locations("Com1")
    return found, [one.split(b" ")[1].decode() for one in server.requests]


async def test_all_pages_are_read() -> None:
    """However many a page has, and although the count is that of all locations."""
    found, asked = await read(page(*map(str, range(100))), page(*map(str, range(100, 130))), page())
    assert [one.name for one in found] == [f"N{one}" for one in range(130)]
    assert [one.rpartition("skip=")[2].partition("&")[0] for one in asked] == ["0", "100", "130"]
    assert all("companyId=Com1" in one and "appId=app&" in one and "isInstalled=true" in one for one in asked)
    assert all("limit=100" in one for one in asked)


async def test_a_server_that_repeats_its_page_is_read_once() -> None:
    """It may not know `skip`."""
    found, asked = await read(page("a", "b"), page("a", "b"))
    assert [one.id for one in found] == ["a", "b"]
    assert len(asked) == 2


async def test_what_is_not_installed_is_left_out() -> None:
    """A server that does not know `isInstalled` shows it."""
    found, _ = await read(page("a", "b", isInstalled=False), page())
    assert found == []


@pytest.mark.parametrize("bad", [page("a", 5), page("a", None)])
async def test_an_entry_that_cannot_be_read_is_an_error(bad: bytes) -> None:
    """Without it, the list would look complete."""
    with pytest.raises(DecodeError, match="of the installed locations cannot be read"):
        await read(bad, page())
