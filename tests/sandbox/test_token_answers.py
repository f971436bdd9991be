"""The token endpoints of both versions answer with all that the vendor's file and real answers have."""

from typing import Any

import pytest

from leadconnector_async.sandbox import Sandbox

from .test_oauth import Asker, ask

__all__ = ["ask"]

V3 = {"Version": "v3", "Content_Type": "application/json"}


async def ask_v3(ask: Asker, path: str = "/oauth/token", **fields: str) -> tuple[int, Any]:
    keys = {"clientId": ask.sandbox.client_id, "clientSecret": ask.sandbox.client_secret}
    return (await ask.call("POST", path, {**keys, **fields}, **V3))[:2]


async def test_a_token_says_who_connected_the_app_and_where(sandbox: Sandbox, ask: Asker) -> None:
    """A location's and an agency's, the first and the next: `userId` is always the same, and required."""
    first = await ask.connect()
    _, second = await ask(refresh_token=first["refresh_token"])
    agency = await ask.connect(user_type="Company")
    names = {"userId", "approvedLocations", "planId", "isBulkInstallation", "installToFutureLocations"}
    for pair in (first, second, agency):
        assert names | {"refreshTokenId"} <= pair.keys()
    assert first["userId"] == second["userId"] == agency["userId"]
    assert first["userId"]
    assert (first["approvedLocations"], first["isBulkInstallation"]) == ([sandbox.location_id], False)
    assert (agency["approvedLocations"], agency["isBulkInstallation"]) == ([*sandbox.location_ids], True)
    assert first["refreshTokenId"] != second["refreshTokenId"]
    form = {"companyId": sandbox.company_id, "locationId": sandbox.location_id}
    headers = {"Authorization": f"Bearer {agency['access_token']}", "Version": "2021-07-28"}
    _, of_location = await ask.post("/oauth/locationToken", form, **headers)
    assert of_location["userId"] == first["userId"]
    assert not {"companyId", "approvedLocations"} & of_location.keys()


async def test_version_v3_asks_and_answers_in_camel_case(sandbox: Sandbox, ask: Asker) -> None:
    """By JSON: a code, a refresh and a refusal; the tokens work, and no secret is in the log."""
    status, pair = await ask_v3(ask, grantType="authorization_code", code=sandbox.issue_code())
    assert status == 200
    assert {"accessToken", "refreshToken", "expiresIn", "tokenType", "userId", "locationId"} <= pair.keys()
    assert not any("_" in name for name in pair)
    assert (await ask.read(pair["accessToken"]))[0] == 200
    status, second = await ask_v3(ask, grantType="refresh_token", refreshToken=pair["refreshToken"])
    assert (status, second["locationId"]) == (200, sandbox.location_id)
    assert second["accessToken"] != pair["accessToken"]
    assert (await ask_v3(ask, grantType="refresh_token", refreshToken="x"))[0] == 400
    logged = "".join(request.body for request in sandbox.requests)
    for secret in (sandbox.client_secret, pair["refreshToken"], second["refreshToken"]):
        assert secret not in logged


async def test_version_v3_has_a_route_of_its_own_for_locations(sandbox: Sandbox, ask: Asker) -> None:
    """`/oauth/location-token`, under that version alone."""
    agency = await ask.connect(user_type="Company")
    form = {"companyId": sandbox.company_id, "locationId": sandbox.location_id}
    bearer = {"Authorization": f"Bearer {agency['access_token']}"}
    status, pair = await ask.post("/oauth/location-token", form, **bearer, Version="v3")
    assert (status, pair["locationId"]) == (200, sandbox.location_id)
    assert (await ask.read(pair["accessToken"]))[0] == 200
    assert (await ask.post("/oauth/location-token", form, **bearer, Version="2021-07-28"))[0] == 401
    assert (await ask.post("/oauth/locationToken", form, **bearer, Version="2021-07-28"))[0] == 200


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"clientId": 5}'])
async def test_json_that_cannot_be_read_is_refused(ask: Asker, raw: str) -> None:
    """As keys that are missing."""
    assert (await ask.call("POST", "/oauth/token", raw=raw, **V3))[0] == 400
