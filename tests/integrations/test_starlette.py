"""Backends on Starlette alone: whose client a request gets, and who refuses it."""

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from leadconnector_async import ConfigurationError, InvalidRequestError, LeadConnector, OAuthApp, Shared
from leadconnector_async.integrations.starlette import LOCATION_HEADER, Backend
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .backends import allow, serve, sign_in


def make_app(backend: Backend) -> Starlette:
    """Its response is the location whose client it got, or why it got none."""

    async def respond(request: Request) -> Response:
        try:
            client = await backend.find_client(request)
        except InvalidRequestError as error:
            return PlainTextResponse(error.reason, 422)
        return PlainTextResponse(client.location_id or "")

    paths = ["/of/{location_id}", "/here"]
    return Starlette(routes=[Route(path, respond) for path in paths], lifespan=backend.lifespan)


@pytest.fixture
async def oauth(sandbox: Sandbox) -> OAuthApp:
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    for location_id in (sandbox.location_id, "second", "third"):
        await app.exchange_code(sandbox.issue_code(location_id=location_id))
    return app


def make_backend(oauth: OAuthApp, sandbox: Sandbox, **options: Any) -> Backend:
    return Backend(oauth=oauth, base_url=sandbox.url, **{"authorize": allow, **options})


@pytest.mark.parametrize("authorize", [None, True, "everybody"])
def test_without_authorize_there_is_no_backend(authorize: Any) -> None:
    """The application does not start, and the error says what to pass."""
    with pytest.raises(ConfigurationError, match="pass a function of a request and a location id"):
        Backend(authorize=authorize, token="pit-0", location_id="here")


async def test_a_request_gets_the_client_of_its_location(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """Of each that its sender may use; no other request reaches a client."""
    backend = make_backend(oauth, sandbox)
    async with serve(make_app(backend)) as browser:
        for location_id in ("second", "third"):
            response = await browser.get(f"/of/{location_id}", headers=sign_in("second", "third"))
            assert (response.status_code, response.text) == (200, location_id)
        assert (await browser.get("/of/second", headers=sign_in("third"))).status_code == 403
        assert (await browser.get("/of/second")).status_code == 403
        assert (await browser.get("/here", headers=sign_in("third"))).status_code == 422


async def refuse_all(request: Request, location_id: str) -> bool:
    return False


def forget_to_return(request: Request, location_id: str) -> bool:
    return None  # type: ignore[return-value]


def return_the_user(request: Request, location_id: str) -> bool:
    return {"name": "somebody"}  # type: ignore[return-value]


def forget_to_await(request: Request, location_id: str) -> Any:
    return refuse_all(request, location_id)


@pytest.mark.parametrize("authorize", [refuse_all, forget_to_return, return_the_user, forget_to_await])
async def test_only_true_allows_a_request(authorize: Any, oauth: OAuthApp, sandbox: Sandbox) -> None:
    """Whatever else `authorize` returns, awaited if it has to be, refuses it."""
    async with serve(make_app(make_backend(oauth, sandbox, authorize=authorize))) as browser:
        assert (await browser.get("/of/second", headers=sign_in("second"))).status_code == 403


async def test_an_error_of_authorize_refuses_the_request(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """It is the response if it is an HTTP error, and a 500 otherwise."""

    async def ask_for_a_sign_in(request: Request, location_id: str) -> bool:
        if location_id == "third":
            raise KeyError(location_id)
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})

    backend = make_backend(oauth, sandbox, authorize=ask_for_a_sign_in)
    async with serve(make_app(backend), raise_app_exceptions=False) as browser:
        response = await browser.get("/of/second")
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert (await browser.get("/of/third")).status_code == 500


DISAGREEING: list[tuple[str, str, list[str]]] = [
    ("path", "/of/second", ["third"]),
    ("path", "/of/second", ["second", "third"]),
    ("header", "/of/third", ["second"]),
    ("header", "/here", ["second", "third"]),
    ("token", "/of/third", []),
    ("token", "/here", ["third"]),
]


async def read_token(request: Request) -> str:
    return "second"


@pytest.mark.parametrize(("source", "path", "headers"), DISAGREEING)
async def test_two_locations_in_one_request_are_refused(
    source: Any, path: str, headers: list[str], oauth: OAuthApp, sandbox: Sandbox
) -> None:
    """Although its sender may use both: a proxy may have checked the other one."""
    backend = make_backend(oauth, sandbox, location=read_token if source == "token" else source)
    sent = [(LOCATION_HEADER, one) for one in headers] + [*sign_in("second", "third").items()]
    async with serve(make_app(backend)) as browser:
        response = await browser.get(path, headers=sent)
        assert (response.status_code, response.text) == (422, "the request names another location as well")


AGREEING: list[tuple[str, str, list[str]]] = [
    ("path", "/of/second", []),
    ("path", "/of/second", ["second"]),
    ("header", "/here", ["second"]),
    ("header", "/of/second", ["second", "second"]),
    ("token", "/here", []),
    ("token", "/of/second", ["second"]),
]


@pytest.mark.parametrize(("source", "path", "headers"), AGREEING)
async def test_the_location_comes_from_where_the_settings_say(
    source: Any, path: str, headers: list[str], oauth: OAuthApp, sandbox: Sandbox
) -> None:
    """And may be named elsewhere, too."""
    backend = make_backend(oauth, sandbox, location=read_token if source == "token" else source)
    sent = [(LOCATION_HEADER, one) for one in headers] + [*sign_in("second").items()]
    async with serve(make_app(backend)) as browser:
        response = await browser.get(path, headers=sent)
        assert (response.status_code, response.text) == (200, "second")


@pytest.mark.parametrize("location_id", ["", " ", "a%0D%0Ab", "x" * 10_000])
async def test_what_is_not_an_id_is_refused(location_id: str, oauth: OAuthApp, sandbox: Sandbox) -> None:
    """Before `authorize` sees it."""
    backend = make_backend(oauth, sandbox, authorize=lambda request, location_id: True)
    async with serve(make_app(backend)) as browser:
        assert (await browser.get(f"/of/{location_id}")).status_code in {404, 422}


async def test_a_private_token_serves_its_own_location_only(sandbox: Sandbox) -> None:
    """Whatever `authorize` says; it need not be named."""
    backend = Backend(
        token=sandbox.token,
        location_id=sandbox.location_id,
        base_url=sandbox.url,
        authorize=lambda request, location_id: True,
    )
    async with serve(make_app(backend)) as browser:
        assert (await browser.get("/here")).text == sandbox.location_id
        assert (await browser.get(f"/of/{sandbox.location_id}")).text == sandbox.location_id
        assert (await browser.get("/of/another")).status_code == 422
    other = Backend(
        token=sandbox.token,
        location_id=sandbox.location_id,
        base_url=sandbox.url,
        authorize=lambda request, location_id: True,
        location="path",
    )
    async with serve(make_app(other)) as browser:
        assert (await browser.get("/of/another")).status_code == 403


async def test_the_lifespan_closes_what_it_opened(
    sandbox: Sandbox, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client of the environment, and none of yours; it can be run again."""
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", sandbox.token)
    monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", sandbox.location_id)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", sandbox.url)
    event_id = sandbox.appointment_ids[0]
    backend = Backend(authorize=allow)
    for _ in range(2):
        async with backend.lifespan():
            opened = backend.root
            assert (await opened.get_appointment(event_id)).id == event_id
        with pytest.raises(ConfigurationError, match="closed"):
            await opened.get_appointment(event_id)
        with pytest.raises(ConfigurationError, match=r"pass lifespan=backend\.lifespan"):
            backend.root  # noqa: B018
    backend = Backend(authorize=allow, shared=Shared(f"sqlite:///{tmp_path}/shared.db"))
    async with backend.lifespan():
        assert backend.root.shared is not None
    mine = make_client()
    async with Backend(client=mine, authorize=allow).lifespan():
        pass
    assert (await mine.get_appointment(event_id)).id == event_id


async def test_a_backend_is_started_once(sandbox: Sandbox, client: LeadConnector) -> None:
    """A second application would close what the first one uses."""
    backend = Backend(client=client, authorize=allow)
    async with backend.lifespan():
        with pytest.raises(ConfigurationError, match="started already"):
            async with backend.lifespan():
                pass


def test_settings_that_exclude_each_other_are_refused(client: LeadConnector) -> None:
    """Two tokens, an unknown source, a token without its location."""
    with pytest.raises(ConfigurationError, match="exclude each other"):
        Backend(client=client, token="pit-0", authorize=allow)
    with pytest.raises(ConfigurationError, match="location is 'cookie'"):
        Backend(client=client, authorize=allow, location="cookie")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="location_id"):
        Backend(token="pit-0", authorize=allow)
