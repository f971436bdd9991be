"""An agency's token reads in which of its locations the app is installed, as the vendor's file has it."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from leadconnector_async.sandbox import Sandbox

from .test_oauth import Asker

OLD, NEW = "/oauth/installedLocations", "/oauth/installed-locations"


@pytest.fixture
async def many() -> AsyncIterator[Sandbox]:
    async with Sandbox(appointments=0, locations=5) as sandbox:
        yield sandbox


@pytest.fixture
async def ask(many: Sandbox) -> AsyncIterator[Asker]:
    async with aiohttp.ClientSession() as session:
        yield Asker(session, many)


async def read(ask: Asker, path: str = OLD, token: str | None = None, **query: Any) -> tuple[int, Any]:
    bearer = token or ask.sandbox.issue_token("access", user_type="Company")
    whole = {"companyId": ask.sandbox.company_id, "appId": ask.sandbox.app_id, **query}
    sent = urlencode({name: value for name, value in whole.items() if value is not None})
    version = "v3" if path == NEW else "2021-07-28"
    return (await ask.call("GET", f"{path}?{sent}", Authorization=f"Bearer {bearer}", Version=version))[:2]


async def list_installed(ask: Asker) -> set[str]:
    status, answer = await read(ask, isInstalled="true")
    assert status == 200
    return {one["_id"] for one in answer["locations"]}


async def test_connecting_installs_and_removing_uninstalls(many: Sandbox, ask: Asker) -> None:
    """One location, then the agency with all of them, then all but one, then none; a reset keeps it."""
    first, second, *others = many.location_ids
    assert await list_installed(ask) == set()
    many.issue_code(location_id=second)
    assert await list_installed(ask) == {second}
    assert (await read(ask))[1]["installToFutureLocations"] is False
    agency = await ask.connect(user_type="Company")
    assert await list_installed(ask) == {first, second, *others}
    assert (await read(ask))[1]["installToFutureLocations"] is True
    many.disconnect(first)
    many.reset()
    assert await list_installed(ask) == {second, *others}
    status, refusal = await ask.post(
        "/oauth/locationToken",
        {"companyId": many.company_id, "locationId": first},
        Authorization=f"Bearer {agency['access_token']}",
        Version="2021-07-28",
    )
    assert (status, refusal["message"]) == (400, "The app is not installed in this location.")
    many.disconnect(many.company_id)
    assert await list_installed(ask) == set()


async def test_each_location_is_shown_with_what_the_file_requires(many: Sandbox, ask: Asker) -> None:
    """All locations of the agency in their order; version and time only where the app is installed."""
    many.issue_code()
    many.advance(3600)
    await list_installed(ask)
    many.issue_code(location_id=many.location_ids[1])
    status, answer = await read(ask)
    assert (status, answer["count"]) == (200, 5)
    assert answer.keys() == {"locations", "count", "installToFutureLocations", "traceId"}
    first, second, third, *_ = answer["locations"]
    assert [one["_id"] for one in answer["locations"]] == list(many.location_ids)
    assert first == {
        "_id": many.location_id,
        "name": "Riverside Clinic",
        "address": "12 Mill Lane, Riverside",
        "isInstalled": True,
        "versionId": first["versionId"],
        "installedAt": "2027-03-03T00:00:00.000Z",
    }
    assert second["installedAt"] >= "2027-03-03T01:00:00.000Z"
    assert third.keys() == {"_id", "name", "address", "isInstalled"}
    assert third["isInstalled"] is False
    assert len({one["name"] for one in answer["locations"]}) == 5


async def test_the_older_versions_skip_and_v3_has_pages(many: Sandbox, ask: Asker) -> None:
    """Every location once, forwards and back; the count of the older ones is of the whole agency."""
    many.issue_code(user_type="Company")
    many.disconnect()
    pages = [await read(ask, isInstalled="true", skip=str(skip), limit="3") for skip in (0, 3, 6)]
    assert [[one["_id"] for one in page["locations"]] for _, page in pages] == [
        list(many.location_ids[1:4]),
        [many.location_ids[4]],
        [],
    ]
    assert {page["count"] for _, page in pages} == {5}
    status, page = await read(ask, NEW, isInstalled="true", pageSize="3")
    assert (status, [one["_id"] for one in page["items"]]) == (200, list(many.location_ids[1:4]))
    assert page["pagination"] == {
        "totalRecords": 4,
        "hasNextPage": True,
        "hasPrevPage": False,
        "currentPageSize": 3,
        "nextPageToken": page["pagination"]["nextPageToken"],
    }
    _, last = await read(ask, NEW, isInstalled="true", pageSize="3", pageToken=page["pagination"]["nextPageToken"])
    assert [one["_id"] for one in last["items"]] == [many.location_ids[4]]
    assert (last["pagination"]["hasNextPage"], last["pagination"]["hasPrevPage"]) == (False, True)
    back = last["pagination"]["prevPageToken"]
    assert (await read(ask, NEW, isInstalled="true", pageSize="3", pageToken=back))[1]["items"] == page["items"]


async def test_locations_are_found_by_name_id_and_state(many: Sandbox, ask: Asker) -> None:
    """And by the version of the app; nobody is on trial."""
    many.issue_code()
    version_id = (await read(ask, isInstalled="true"))[1]["locations"][0]["versionId"]
    found = {
        "name": await read(ask, query="riverSIDE"),
        "id": await read(ask, locationId=many.location_ids[2]),
        "state": await read(ask, isInstalled="false"),
        "version": await read(ask, versionId=version_id),
        "other version": await read(ask, versionId="x"),
        "trial": await read(ask, onTrial="true"),
    }
    assert {kind: len(answer["locations"]) for kind, (_, answer) in found.items()} == {
        "name": 2,
        "id": 1,
        "state": 4,
        "version": 5,
        "other version": 0,
        "trial": 0,
    }


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    (OLD, {"companyId": None}, 422),
    (OLD, {"appId": None}, 422),
    (OLD, {"companyId": "another"}, 403),
    (OLD, {"appId": "another"}, 400),
    (OLD, {"isInstalled": "maybe"}, 422),
    (OLD, {"skip": "-1"}, 422),
    (OLD, {"limit": "²"}, 422),
    (NEW, {"appId": "another"}, 404),
    (NEW, {"pageSize": "0"}, 400),
    (NEW, {"pageSize": "101"}, 400),
    (NEW, {"pageToken": "é"}, 400),
    (NEW, {"pageToken": "!"}, 400),
    (NEW, {"pageToken": "eyJza2lwIjotNX0"}, 400),
    (NEW, {"pageToken": "e30"}, 400),
]


@pytest.mark.parametrize(("path", "query", "status"), REFUSED)
async def test_what_the_file_forbids_is_refused(ask: Asker, path: str, query: dict[str, Any], status: int) -> None:
    """In v3's own shape, a code and its reason, where its file says so."""
    answer = await read(ask, path, **query)
    assert answer[0] == status
    assert ("code" in answer[1].get("error", "")) is (path == NEW)


async def test_only_an_agencys_token_with_the_scope_may_read_it(many: Sandbox, ask: Asker) -> None:
    """Not a location's, not one without `oauth.readonly`; the v3 path under v3 only; tokens need `oauth.write`."""
    refused = {
        many.token: "Token's user type mismatch!",
        many.issue_token("access"): "Token's user type mismatch!",
        many.issue_token(
            user_type="Company", scopes=["oauth.write"]
        ): "The token is not authorized for this scope.",
        "eyJ.x": "Invalid JWT",
    }
    for token, message in refused.items():
        status, answer = await read(ask, token=token)
        assert (status, answer["message"]) == (401, message)
    agency = many.issue_token(user_type="Company", scopes=["oauth.readonly"])
    assert (await read(ask, token=agency))[0] == 200
    bearer = f"Bearer {agency}"
    query = urlencode({"companyId": many.company_id, "appId": many.app_id})
    status, answer, _ = await ask.call("GET", f"{NEW}?{query}", Authorization=bearer, Version="2021-07-28")
    assert (status, answer["message"]) == (401, "version header is invalid")
    form = {"companyId": many.company_id, "locationId": many.location_id}
    assert (await ask.post("/oauth/locationToken", form, Authorization=bearer))[1]["message"] == (
        "The token is not authorized for this scope."
    )


async def test_its_requests_count_with_the_agency(many: Sandbox, ask: Asker) -> None:
    """The limits of a location are not touched; faults can be planned."""
    many.faults.plan("list_installed_locations", ["503"])
    assert (await read(ask))[0] == 503
    assert (await read(ask))[0] == 200
    assert {one.location_id for one in many.requests.of("list_installed_locations")} == {many.company_id}
