"""The sandbox gives out tokens as the vendor does, and can be asked what it saw."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from leadconnector_async.sandbox import Sandbox, TokenRules

from .test_sandbox import PATH, Caller


class Asker:
    def __init__(self, session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
        self.call, self.sandbox = Caller(session, sandbox), sandbox

    async def __call__(self, grant_type: str = "refresh_token", **fields: str) -> tuple[int, Any]:
        keys = {"client_id": self.sandbox.client_id, "client_secret": self.sandbox.client_secret}
        return await self.post("/oauth/token", {**keys, "grant_type": grant_type, **fields})

    async def post(self, path: str, form: dict[str, str], **headers: str | None) -> tuple[int, Any]:
        headers = {"Content_Type": "application/x-www-form-urlencoded", **headers}
        return (await self.call("POST", path, raw=urlencode(form), **headers))[:2]

    async def connect(self, **options: Any) -> dict[str, Any]:
        status, pair = await self("authorization_code", code=self.sandbox.issue_code(**options))
        assert status == 200
        return dict(pair)

    async def read(self, access_token: str) -> tuple[int, Any]:
        authorization = f"Bearer {access_token}"
        path = PATH + self.sandbox.appointment_ids[0]
        return (await self.call("GET", path, Authorization=authorization))[:2]


@pytest.fixture
async def ask(sandbox: Sandbox) -> AsyncIterator[Asker]:
    async with aiohttp.ClientSession() as session:
        yield Asker(session, sandbox)


async def test_a_code_works_once(sandbox: Sandbox, ask: Asker) -> None:
    """And gives a pair with all documented fields, whose access token works."""
    code = sandbox.issue_code()
    status, pair = await ask("authorization_code", code=code)
    assert (status, pair["expires_in"], pair["userType"], pair["locationId"], pair["companyId"]) == (
        200,
        86_399,
        "Location",
        sandbox.location_id,
        sandbox.company_id,
    )
    assert (await ask.read(pair["access_token"]))[0] == 200
    status, refusal = await ask("authorization_code", code=code)
    assert (status, refusal["error"]) == (400, "invalid_grant")


async def test_a_refresh_token_works_once_with_a_grace(sandbox: Sandbox, ask: Asker) -> None:
    """For 30 seconds the same answer comes again; then it is refused, and the next one still works."""
    first = await ask.connect()
    _, second = await ask(refresh_token=first["refresh_token"])
    assert len({pair[name] for pair in (first, second) for name in ("access_token", "refresh_token")}) == 4
    sandbox.advance(29)
    _, again = await ask(refresh_token=first["refresh_token"])
    assert again["access_token"] == second["access_token"]
    sandbox.advance(2)
    assert (await ask(refresh_token=first["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await ask(refresh_token=second["refresh_token"]))[0] == 200


async def test_access_tokens_expire_by_the_clock_of_the_sandbox(sandbox: Sandbox, ask: Asker) -> None:
    """After `expires_in` seconds, with the real message; tokens made by hand do not."""
    sandbox.token_rules = TokenRules(expires_in=60)
    pair = await ask.connect()
    sandbox.advance(59)
    assert (await ask.read(pair["access_token"]))[0] == 200
    sandbox.advance(2)
    status, refusal = await ask.read(pair["access_token"])
    assert (status, refusal["message"]) == (401, "Invalid JWT")
    assert (await ask.read(sandbox.issue_token("access")))[0] == 200


@pytest.mark.parametrize("status", [400, 401])
async def test_refusals_name_the_client_the_grant_or_the_field(sandbox: Sandbox, ask: Asker, status: int) -> None:
    """With the status that the rules say."""
    sandbox.token_rules = TokenRules(refusal_status=status)
    pair = await ask.connect()
    for wrong in ({"client_id": "x"}, {"client_secret": "x"}):
        refused = await ask(refresh_token=pair["refresh_token"], **wrong)
        assert (refused[0], refused[1]["error"]) == (status, "invalid_client")
    refused = await ask(refresh_token="x")
    assert (refused[0], refused[1]["error"]) == (status, "invalid_grant")
    assert (await ask("password"))[0] == 422
    assert (await ask(refresh_token=pair["refresh_token"]))[0] == 200


async def test_a_removed_app_renews_nothing(sandbox: Sandbox, ask: Asker) -> None:
    """Not even within the grace; other owners keep theirs."""
    pair, other = await ask.connect(), await ask.connect(location_id="other")
    await ask(refresh_token=pair["refresh_token"])
    sandbox.disconnect()
    assert (await ask(refresh_token=pair["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await ask(refresh_token=other["refresh_token"]))[0] == 200


@pytest.mark.parametrize("renewable", [False, True])
async def test_an_agency_token_gives_a_locations(sandbox: Sandbox, ask: Asker, renewable: bool) -> None:
    """Only an agency's, only with a Version, only for its own company; with a refresh token or without."""
    sandbox.token_rules = TokenRules(location_refresh=renewable)
    agency, path = await ask.connect(user_type="Company"), "/oauth/locationToken"
    assert "locationId" not in agency
    bearer = f"Bearer {agency['access_token']}"
    form = {"companyId": sandbox.company_id, "locationId": sandbox.location_id}
    status, token = await ask.post(path, form, Authorization=bearer, Version="2021-07-28")
    assert (status, "refresh_token" in token, token["locationId"]) == (200, renewable, sandbox.location_id)
    assert (await ask.read(token["access_token"]))[0] == 200
    assert (await ask.post(path, form))[1]["message"] == "Token's user type mismatch!"
    assert (await ask.post(path, form, Authorization=bearer, Version=None))[0] == 401
    assert (await ask.post(path, {**form, "companyId": "x"}, Authorization=bearer))[0] == 400


async def test_tokens_are_beside_the_limits_in_the_log_and_open_to_faults(sandbox: Sandbox, ask: Asker) -> None:
    """No headers of the limiter, no secrets in the log; a lost answer has used the refresh token up."""
    pair = await ask.connect()
    answer = await ask.call("POST", "/oauth/token", raw="grant_type=x")
    assert not [name for name in answer[2] if name.startswith("x-ratelimit")]
    sandbox.requests.clear()
    sandbox.faults.plan("oauth_token", ["lose-response", "503"])
    with pytest.raises(aiohttp.ClientError):
        await ask(refresh_token=pair["refresh_token"])
    assert (await ask(refresh_token=pair["refresh_token"]))[0] == 503
    sandbox.advance(31)
    assert (await ask(refresh_token=pair["refresh_token"]))[1]["error"] == "invalid_grant"
    assert [request.status for request in sandbox.requests.of("oauth_token")] == [None, 503, 400]
    text = repr(list(sandbox.requests))
    assert "grant_type=refresh_token" in text
    assert pair["refresh_token"] not in text
    assert sandbox.client_secret not in text


async def test_a_body_that_is_no_form_shows_no_secret_in_the_log(sandbox: Sandbox, ask: Asker) -> None:
    """JSON by mistake is one long name for a reader of forms; it is answered as any bad form is."""
    for raw in ('{"refresh_token": "very-secret-0123"}', "very-secret-0123", "very-secret-0123=x&refresh_token=y"):
        assert (await ask.call("POST", "/oauth/token", raw=raw))[0] == 400
    assert "very-secret-0123" not in repr(list(sandbox.requests))
    assert sandbox.requests.of("oauth_token")[-1].body == "…&refresh_token=…"
