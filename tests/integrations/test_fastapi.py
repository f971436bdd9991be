"""Backends on FastAPI: dependencies, and what the OpenAPI document says of them."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from pydantic import BaseModel
from starlette.requests import Request

from leadconnector_async import LeadConnector, OAuthApp
from leadconnector_async.integrations.fastapi import LOCATION_HEADER, Backend, install_error_handlers
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.webhooks import WebhookEvent

from .backends import allow, serve, sign_in


@pytest.fixture
async def oauth(sandbox: Sandbox) -> OAuthApp:
    returns_to = "https://clinic.example/connected"
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, redirect_uri=returns_to, base_url=sandbox.url)
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


PAGE = Path(__file__).parent.parent.parent / "docs" / "pages" / "how-to" / "serve-many-locations.md"


def make_clinic(oauth: OAuthApp, sandbox: Sandbox) -> Any:
    """The application of the how-to, whose users Ada and Bo are signed in by a key."""
    source = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(source.removesuffix("asyncio.run(main())\n"), names)  # noqa: S102 - our own page
    names["LOCATIONS"]["ada"].add(sandbox.location_id)
    return names["make_app"](oauth, sandbox.webhook_key, sandbox.url)


ADA = {"authorization": "Bearer key-of-ada"}


async def test_the_document_of_the_how_to_is_valid(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """By OpenAPI 3.1; bodies and responses are the models, and every operation may respond with a problem."""
    app = make_clinic(oauth, sandbox)
    document = app.openapi()
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert app.openapi() is document
    path = document["paths"]["/locations/{location_id}/appointments/{event_id}"]
    body = path["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/AppointmentUpdate"}
    content = path["get"]["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Appointment"}
    schemas = document["components"]["schemas"]
    assert {"Appointment", "AppointmentUpdate", "LocationQuota", "Problem", "InvalidField"} <= schemas.keys()
    assert not {"HTTPValidationError", "ValidationError"} & schemas.keys()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}


async def test_responses_match_the_document(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """An appointment, a quota and a problem, each as its schema says."""
    app = make_clinic(oauth, sandbox)
    document = app.openapi()
    own = f"/locations/{sandbox.location_id}"
    async with serve(app) as browser:
        url = f"{own}/appointments/{sandbox.appointment_ids[0]}"
        shown = {
            "Appointment": await browser.get(url, headers=ADA),
            "LocationQuota": await browser.get(f"{own}/quota", headers=ADA),
            "Problem": await browser.get(f"{url}x", headers=ADA),
        }
    for name, response in shown.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        OAS31Validator(schema).validate(response.json())
        assert len(response.json()) == len(document["components"]["schemas"][name]["properties"])


async def test_an_update_changes_what_was_sent_only(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """A field that is left out stays, and one that is null is sent as null."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id).start_time
    url = f"/locations/{sandbox.location_id}/appointments/{event_id}"
    async with serve(make_clinic(oauth, sandbox)) as browser:
        response = await browser.put(url, json={"title": "Moved", "description": None}, headers=ADA)
    assert (response.status_code, response.json()["title"]) == (200, "Moved")
    (sent,) = sandbox.requests.of("update_appointment")
    assert sandbox.appointment(event_id).start_time == before
    assert sent.applied


INVALID: list[tuple[Any, list[str | None]]] = [
    ({"titel": "secret-value"}, ["titel"]),
    ({"title": "a\nsecret-value"}, ["title"]),
    ({"startTime": "secret-value"}, ["start_time"]),
    ({"appointmentStatus": "secret-value"}, ["appointment_status"]),
    (["secret-value"], [None]),
]


@pytest.mark.parametrize(("body", "fields"), INVALID)
async def test_an_invalid_body_is_a_problem(
    body: Any, fields: list[str | None], oauth: OAuthApp, sandbox: Sandbox
) -> None:
    """With the field and the reason, and without the value; nothing is sent."""
    async with serve(make_clinic(oauth, sandbox)) as browser:
        url = f"/locations/{sandbox.location_id}/appointments/{sandbox.appointment_ids[0]}"
        response = await browser.put(url, json=body, headers=ADA)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_request")
    assert [one["field"] for one in problem["errors"] if fields != [None]] == [one for one in fields if one]
    assert "secret-value" not in response.text
    assert len(sandbox.requests.of("update_appointment")) == 0


async def test_what_is_not_json_is_a_problem(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """So is a missing parameter."""
    async with serve(make_clinic(oauth, sandbox)) as browser:
        url = f"/locations/{sandbox.location_id}/appointments/ev1"
        response = await browser.put(url, content=b"{", headers=ADA | {"content-type": "application/json"})
        assert (response.status_code, response.json()["errors"][0]["reason"]) == (422, "JSON decode error")
        missing = await browser.get("/connected", headers=ADA)
        assert [one["field"] for one in missing.json()["errors"]] == ["code", "state"]


async def test_only_a_user_of_a_location_reaches_it(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """By any route of the how-to, the quota included."""
    async with serve(make_clinic(oauth, sandbox)) as browser:
        for path in ("appointments/ev1", "quota"):
            url = f"/locations/{sandbox.location_id}/{path}"
            other = await browser.get(url, headers={"authorization": "Bearer key-of-bo"})
            assert (other.status_code, other.json()["code"]) == (403, "location_refused")
            nobody = await browser.get(url)
            assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert len(sandbox.requests.of("get_appointment")) == 0


@pytest.fixture
async def tab(oauth: OAuthApp, sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Ada's browser; its address is `https`, as cookies of the how-to are for that only."""
    async with serve(make_clinic(oauth, sandbox)) as browser:
        browser.base_url = httpx.URL("https://backend")
        browser.headers.update(ADA)
        yield browser


async def begin(tab: httpx.AsyncClient) -> str:
    """Begin to connect a location; returns the state."""
    sent = await tab.get("/connect")
    return str(httpx.URL(sent.headers["location"]).params["state"])


@pytest.mark.parametrize("state", ["", "\u00e9", "of-somebody-else", "begun"])
@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_code_is_taken_only_from_the_browser_that_was_sent_for_it(
    state: str, has_begun: bool, tab: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """Otherwise a link could connect the account of whoever follows it to a location of its author."""
    if has_begun:
        await begin(tab)
    asked = len(sandbox.requests.of("oauth_token"))
    refused = await tab.get("/connected", params={"code": sandbox.issue_code(), "state": state})
    assert (refused.status_code, len(sandbox.requests.of("oauth_token"))) == (403, asked)


async def test_a_user_connects_in_two_tabs_at_once(tab: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """Each state is accepted once."""
    states = [await begin(tab), await begin(tab)]
    for expected in (200, 403):
        for state in states:
            returned = {"code": sandbox.issue_code(), "state": state}
            assert (await tab.get("/connected", params=returned)).status_code == expected


JOBS_PAGE = PAGE.parent / "run-in-fastapi.md"


@pytest.mark.parametrize(
    ("given", "allowed"), [(b"Bearer key", True), (b"Bearer kez", False), (b"Bearer k\xe9y", False), (b"", False)]
)
def test_a_key_is_compared_whatever_is_sent(given: bytes, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes beyond ASCII are a wrong key as well, and not an error of the service."""
    monkeypatch.setenv("APP_KEY", "key")
    names: dict[str, Any] = {}
    (source,) = re.findall(r"```python\n(.*?)```", JOBS_PAGE.read_text(), re.DOTALL)
    exec(source, names)  # noqa: S102 - our own page
    request = Request({"type": "http", "headers": [(b"authorization", given)]})
    assert names["may_use"](request, "here") is allowed


async def test_a_test_replaces_a_dependency(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """With `dependency_overrides`: what the backend shows as its dependency is always the same function."""
    backend = Backend(oauth=oauth, base_url=sandbox.url, authorize=allow, webhook_key=sandbox.webhook_key)
    app = FastAPI(lifespan=backend.lifespan)
    app.include_router(backend.router)

    @app.post("/webhooks")
    async def receive(event: Annotated[WebhookEvent, Depends(backend.webhook)]) -> str:
        return event.type

    async with serve(app) as browser, LeadConnector("pit-0", location_id="fake", base_url=sandbox.url) as fake:
        url = "/locations/anywhere/quota"
        assert (await browser.get(url)).status_code == 403
        app.dependency_overrides[backend.client] = lambda: fake
        app.dependency_overrides[backend.webhook] = lambda: WebhookEvent(type="Fake")
        assert (await browser.get(url)).status_code == 200
        assert (await browser.post("/webhooks")).json() == "Fake"


class InvalidField(BaseModel):
    """Of the application, and not of this package."""

    crop: str


def test_the_document_keeps_what_the_application_describes() -> None:
    """A model of the same name stays what it is, and a path may have more than operations."""
    app = FastAPI()

    @app.get("/fields/{number}")
    async def respond(number: int) -> InvalidField:
        return InvalidField(crop="rye")

    build = app.openapi

    def describe() -> dict[str, Any]:
        document = build()
        document["paths"]["/fields/{number}"]["summary"] = "A field."
        document["paths"]["/fields/{number}"]["servers"] = [{"url": "https://fields.example"}]
        return document

    app.openapi = describe  # type: ignore[method-assign] # as FastAPI's page on extending OpenAPI has it
    install_error_handlers(app)
    document = app.openapi()
    validate(document)
    schemas = document["components"]["schemas"]
    assert list(schemas["InvalidField"]["properties"]) == ["crop"]
    response = document["paths"]["/fields/{number}"]["get"]["responses"]["default"]
    name = response["content"]["application/problem+json"]["schema"]["$ref"].rpartition("/")[2]
    nested = schemas[name]["properties"]["errors"]["items"]["$ref"].rpartition("/")[2]
    assert "reason" in schemas[nested]["properties"]


@pytest.mark.parametrize("fault", [{"loc": (), "msg": "they do not fit"}, {"msg": "they do not fit"}])
async def test_an_application_refuses_a_request_as_fastapi_does(fault: dict[str, Any]) -> None:
    """With an error of its own, which need not concern one field."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def respond() -> None:
        raise RequestValidationError([fault])

    async with serve(app) as browser:
        refused = await browser.get("/")
    assert (refused.status_code, refused.json()["errors"][0]["reason"]) == (422, "they do not fit")


BLOCKED = """
import sys

for name in ("fastapi", "pydantic", "pydantic_core", "cryptography"):
    sys.modules[name] = None
from leadconnector_async.integrations.starlette import Backend, install_error_handlers
from starlette.applications import Starlette
backend = Backend(token="pit-0", location_id="here", authorize=lambda request, location_id: True)
app = Starlette(routes=backend.routes, lifespan=backend.lifespan)
install_error_handlers(app)
try:
    import leadconnector_async.integrations.fastapi
except ModuleNotFoundError as error:
    print(error)
"""


def test_starlette_is_enough_for_what_needs_no_more() -> None:
    """Without FastAPI, pydantic and cryptography; FastAPI's part says what to install."""
    shown = subprocess.run([sys.executable, "-c", BLOCKED], check=True, capture_output=True, text=True).stdout  # noqa: S603
    assert shown == "FastAPI needs an extra: pip install 'leadconnector-async[fastapi]'\n"
