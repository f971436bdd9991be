"""Refusals of the token endpoints: a stray one is asked again, and only what blames the grant ends it."""

import json

import pytest

from leadconnector_async import AuthenticationError, OAuthApp, PermissionDeniedError, ReconnectRequiredError

from ..raw_server import answer, raw_server

GRANTED = {
    "access_token": "a-1",
    "refresh_token": "r-1",
    "expires_in": 86399,
    "locationId": "loc",
    "companyId": "co",
}
PAGE = b"<html><head><title>Just a moment...</title></head></html>"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PAUSE", "_STRAY_PAUSE"):
        monkeypatch.setattr(f"leadconnector_async._oauth.endpoint.{name}", 0.001)


def say(status: int, body: object) -> bytes:
    return answer(status, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "body"), [(401, {"message": "Unauthorized?"}), (401, b""), (401, PAGE), (403, PAGE), (429, b"")]
)
async def test_a_stray_refusal_of_the_token_endpoint_passes(status: int, body: object) -> None:
    """A page of the edge as well."""
    async with raw_server(say(status, body), say(200, GRANTED)) as server:
        app = OAuthApp("id", "secret-secret", base_url=server.url, redirect_uri="https://x")
        assert (await app.exchange_code("code")).access_token == "a-1"
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "body", "error", "requests"),
    [
        (401, {"error": "invalid_grant"}, ReconnectRequiredError, 1),
        (401, {"error": "invalid_client"}, AuthenticationError, 1),
        (401, {"message": "version header is invalid"}, AuthenticationError, 1),
        (401, {"message": "no"}, AuthenticationError, 2),
        (403, {"message": "no"}, PermissionDeniedError, 1),
        (403, PAGE, PermissionDeniedError, 3),
    ],
)
async def test_a_refusal_that_says_why_is_believed(
    status: int, body: object, error: type[Exception], requests: int
) -> None:
    """At once; one that does not, when it comes again."""
    async with raw_server(*[say(status, body)] * 4) as server:
        app = OAuthApp("id", "secret-secret", base_url=server.url, redirect_uri="https://x")
        with pytest.raises(error):
            await app.exchange_code("code")
        assert len(server.requests) == requests


@pytest.mark.parametrize(
    "text", ["Invalid JWT", "jwt expired", "Invalid token: access token is invalid", "Unauthorized"]
)
async def test_an_agencys_token_that_is_refused_is_renewed(text: str) -> None:
    """Whatever the text is that an expired one is refused with."""
    agency = {**GRANTED, "userType": "Company", "locationId": None}
    answers = (
        say(200, agency),
        say(401, {"message": text}),
        say(200, {**agency, "access_token": "a-2", "refresh_token": "r-2"}),
        say(200, {**GRANTED, "access_token": "l-1"}),
    )
    async with raw_server(*answers) as server:
        app = OAuthApp("id", "secret-secret", base_url=server.url, redirect_uri="https://x")
        await app.exchange_code("code", user_type="Company")
        assert (await app.location_token("co", "loc")).access_token == "l-1"
        assert b"Authorization: Bearer a-2\r\n" in server.requests[3]
