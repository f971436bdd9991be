"""Whose requests count together: those of one app, or those of every tool on the location."""

import asyncio

import aiohttp
import pytest

from leadconnector_async import (
    DeadlineExceededError,
    LeadConnector,
    MemoryTokenStore,
    OAuthApp,
    RateLimitedError,
    RetryPolicy,
)
from leadconnector_async.auth import TokenProvider
from leadconnector_async.sandbox import Limits, Sandbox

ONCE = RetryPolicy(max_attempts=1, deadline=1.0)


async def use_up(sandbox: Sandbox, token: str | TokenProvider, calls: int) -> int:
    """How many of the calls were let in."""
    options = {"base_url": sandbox.url, "location_id": sandbox.location_id}
    async with LeadConnector(token, retry=ONCE, **options) as client:  # type: ignore[arg-type]
        made = [client.get_appointment(sandbox.appointment_ids[0]) for _ in range(calls)]
        results = await asyncio.gather(*made, return_exceptions=True)
    refused = [one for one in results if isinstance(one, BaseException)]
    assert all(isinstance(one, RateLimitedError | DeadlineExceededError) for one in refused)
    return calls - len(refused)


@pytest.mark.parametrize("per_app", [True, False])
async def test_two_apps_share_a_limit_only_by_default(per_app: bool) -> None:
    """A client of the OAuth app and one with a private token, on one location."""
    limits = Limits(max_requests=5, interval=30.0, per_app=per_app)
    async with Sandbox(appointments=1, limits=limits) as sandbox:
        app = OAuthApp(sandbox.client_id, sandbox.client_secret, store=MemoryTokenStore(), base_url=sandbox.url)
        await app.exchange_code(sandbox.issue_code())
        assert await use_up(sandbox, app.provider(sandbox.location_id), 5) == 5
        assert await use_up(sandbox, sandbox.token, 5) == (5 if per_app else 0)


async def test_tokens_of_one_app_share_its_limit() -> None:
    """Refreshed ones, two private ones, and two that were made for a named app; a third app is on its own."""
    limits = Limits(max_requests=4, interval=30.0, per_app=True)
    async with Sandbox(appointments=1, limits=limits) as sandbox:
        app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
        first = await app.exchange_code(sandbox.issue_code())
        second = await app.provider(sandbox.location_id).refresh(first.access_token)
        assert second != first.access_token
        pairs = [
            (first.access_token, second),
            (sandbox.token, sandbox.issue_token()),
            (sandbox.issue_token("access", app="another"), sandbox.issue_token("pit", app="another")),
        ]
        for one, other in pairs:
            assert await use_up(sandbox, one, 3) == 3
            assert await use_up(sandbox, other, 3) == 1
        assert await use_up(sandbox, sandbox.issue_token("access"), 1) == 0  # of the OAuth app
        assert await use_up(sandbox, sandbox.issue_token(app="a third"), 4) == 4


async def test_another_process_can_do_the_same() -> None:
    """It sets limits for each app, and gets tokens of the apps that it names."""
    async with Sandbox(appointments=1) as sandbox, aiohttp.ClientSession() as session:

        async def post(name: str, **body: object) -> dict[str, str]:
            headers = {"X-Sandbox-Admin": sandbox.admin_token}
            async with session.post(f"{sandbox.url}/_sandbox/{name}", json=body, headers=headers) as response:
                assert response.status == 200
                answer: dict[str, str] = await response.json()
                return answer

        await post("limits", max_requests=3, interval=30.0, per_app=True)
        tokens = [await post("tokens", app=app) for app in ("one", "one", "other")]
        assert [await use_up(sandbox, one["token"], 2) for one in tokens] == [2, 1, 2]
