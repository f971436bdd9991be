"""Backends on FastAPI: dependencies, and what the OpenAPI document says of them."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from leadconnector_async import LeadConnector, OAuthApp
from leadconnector_async.integrations.fastapi import LOCATION_HEADER, Backend
from leadconnector_async.sandbox import Sandbox

from .backends import allow, serve, sign_in


@pytest.fixture
async def oauth(sandbox: Sandbox) -> OAuthApp:
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    await app.exchange_code(sandbox.issue_code())
    return app


def make_app(backend: Backend, path: str) -> FastAPI:
    """Its response is the title of an appointment."""
    app = FastAPI(lifespan=backend.lifespan)

    @app.get(path)
    async def respond(event_id: str, client: Annotated[LeadConnector, Depends(backend.client)]) -> str | None:
        return (await client.get_appointment(event_id)).title

    return app


async def take_from_token(request: object) -> str:
    return LOCATION


LOCATION = "lDoM42EAHvvAVikP1zmC"
SOURCES: list[tuple[Any, str, list[tuple[str, str]]]] = [
    ("path", "/locations/{location_id}/appointments/{event_id}", [("path", "location_id")]),
    ("header", "/appointments/{event_id}", [("header", LOCATION_HEADER)]),
    (take_from_token, "/appointments/{event_id}", []),
]


@pytest.mark.parametrize(("source", "path", "parameters"), SOURCES)
async def test_the_dependency_is_the_client_of_the_location(
    source: Any, path: str, parameters: list[tuple[str, str]], oauth: OAuthApp, sandbox: Sandbox
) -> None:
    """From the path, a header or the sender's token; the document names the parameter, which is required."""
    backend = Backend(oauth=oauth, base_url=sandbox.url, authorize=allow, location=source)
    app = make_app(backend, path)
    (operation,) = app.openapi()["paths"].values()
    described = [(one["in"], one["name"]) for one in operation["get"]["parameters"] if one["required"]]
    assert sorted(described) == sorted([("path", "event_id"), *parameters])
    event_id = sandbox.appointment_ids[0]
    url = path.format(location_id=sandbox.location_id, event_id=event_id)
    headers = {LOCATION_HEADER: sandbox.location_id}
    async with serve(app) as browser:
        response = await browser.get(url, headers=headers | sign_in(sandbox.location_id))
        assert (response.status_code, response.json()) == (200, sandbox.appointment(event_id).title)
        assert (await browser.get(url, headers=headers | sign_in("another"))).status_code == 403
