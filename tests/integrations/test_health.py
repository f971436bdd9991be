"""The routes of a backend: probes, and the quota of a location."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from leadconnector_async import LeadConnector, OAuthApp, Shared, StoreUnavailableError
from leadconnector_async.integrations.starlette import Backend, install_error_handlers
from leadconnector_async.sandbox import Sandbox

from .backends import allow, serve, sign_in


def make_app(backend: Backend) -> Starlette:
    app = Starlette(routes=backend.routes, lifespan=backend.lifespan)
    install_error_handlers(app)
    return app


async def test_a_backend_is_ready_while_it_runs(client: LeadConnector, sandbox: Sandbox) -> None:
    """The process is alive before, too; neither probe sends a request to the server."""
    app = make_app(Backend(client=client, authorize=allow))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://backend") as browser:
        assert (await browser.get("/health/live")).status_code == 200
        response = await browser.get("/health/ready")
        assert (response.status_code, response.json()["status"]) == (503, "starting")
        async with app.router.lifespan_context(app):
            response = await browser.get("/health/ready")
            assert (response.status_code, response.json()) == (200, {"status": "ok", "shared": "none"})
        assert (await browser.get("/health/ready")).status_code == 503
    assert len(sandbox.requests) == 0


async def test_a_store_that_is_down_does_not_stop_a_backend(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls continue without the store; the probe says so, without its address."""
    shared = Shared(f"sqlite:///{tmp_path}/shared.db")
    backend = Backend(
        token=sandbox.token, location_id=sandbox.location_id, base_url=sandbox.url, authorize=allow, shared=shared
    )
    async with serve(make_app(backend)) as browser:
        assert (await browser.get("/health/ready")).json() == {"status": "ok", "shared": "ok"}

        async def fail() -> None:
            raise StoreUnavailableError(f"{tmp_path} is not writable")

        monkeypatch.setattr(shared, "check", fail)
        response = await browser.get("/health/ready")
        assert (response.status_code, response.json()) == (200, {"status": "ok", "shared": "unreachable"})


async def test_the_quota_is_that_of_a_location_of_the_sender(sandbox: Sandbox) -> None:
    """Nobody else sees it; requests of one location do not count in another."""
    oauth = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    await oauth.exchange_code(sandbox.issue_code())
    backend = Backend(oauth=oauth, base_url=sandbox.url, authorize=allow)
    own = sandbox.location_id
    async with serve(make_app(backend)) as browser:
        await backend.client_for(own).get_appointment(sandbox.appointment_ids[0])
        refused = await browser.get(f"/locations/{own}/quota", headers=sign_in("second"))
        assert (refused.status_code, refused.json()["code"]) == (403, "location_refused")
        assert refused.headers["content-type"] == "application/problem+json"
        daily = {}
        for location_id in (own, "second"):
            response = await browser.get(f"/locations/{location_id}/quota", headers=sign_in(own, "second"))
            daily[location_id] = response.json()["daily_remaining"]
        assert daily == {own: daily["second"] - 1, "second": 200_000}
