"""What follows a refusal of the token, step by step and on the wire."""

import asyncio
import json

import pytest

from leadconnector_async import LeadConnector, ReconnectRequiredError, RetryPolicy, with_response
from leadconnector_async._api.errors import TokenRefusal, classify_token_refusal, read_error
from leadconnector_async.exceptions import AuthenticationError, PermissionDeniedError, TokenExpiredError
from leadconnector_async.sandbox import Sandbox

from ..raw_server import answer, raw_server

OK = answer(200, b'{"id":"e"}')
PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking</body></html>"
QUICK = RetryPolicy(backoff_base=0.001, backoff_cap=0.002)
EXPIRED = ["Invalid JWT", "Invalid token: access token is invalid", "jwt expired", "Unauthorized"]
NEVER = [
    "Invalid Private Integration token",
    "The token is not authorized for this scope.",
    "Token\u2019s user type mismatch!",
    "version header was not found.",
    "version header is invalid",
]


def refuse(status: int, body: object) -> bytes:
    return answer(status, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadconnector_async._retry.backoff._STRAY_SECONDS", (0.001, 0.002))


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        *(({"statusCode": 401, "message": text}, "final") for text in NEVER),
        ({"message": ["Unauthorized", "THE TOKEN IS NOT AUTHORIZED FOR THIS SCOPE"]}, "final"),
        ({"error": {"message": "version header is invalid."}}, "final"),
        *(
            ({"message": text}, "expired")
            for text in ("Invalid JWT", "jwt expired", "Unauthorized", "invalid jwt.")
        ),
        ({"message": "Invalid JWT", "error": "Unauthorized"}, "expired"),
        ({"error": {"code": 401, "message": "JWT expired"}}, "expired"),
        ({"msg": "Unauthorized"}, "expired"),
        ({"error": "Unauthorized"}, "expired"),
        ({"message": "Unauthorized, Switch to the new API token."}, "stray"),
        ({"msg": "Api key is invalid."}, "stray"),
        (b"", "stray"),
        (PAGE, "stray"),
    ],
)
def test_a_401_is_judged_by_its_text(body: object, refusal: TokenRefusal) -> None:
    """In any case, with or without its full stop, alone or in a list, in every shape of the body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert classify_token_refusal(read_error(401, content)) == refusal
    assert classify_token_refusal(read_error(403, content)) is None
    assert classify_token_refusal(ReconnectRequiredError("x")) is None


@pytest.mark.parametrize(
    "body", [{"message": "Unauthorized"}, {"message": "Invalid JWT"}, {"msg": "no"}, b"", PAGE]
)
async def test_a_stray_401_passes_when_it_is_repeated(body: object) -> None:
    """With a token that cannot be renewed, whatever the text is but one that names what to fix."""
    async with raw_server(refuse(401, body), OK) as server, LeadConnector("t", base_url=server.url) as client:
        assert (await with_response(client.get_appointment("e"))).attempts == 2


@pytest.mark.parametrize("body", [{"message": "Unauthorized"}, {"msg": "no"}])
async def test_a_401_that_comes_again_is_believed(body: object) -> None:
    """No third request is sent."""
    async with raw_server(*[refuse(401, body)] * 3) as server, LeadConnector("t", base_url=server.url) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.get_appointment("e")
        assert (caught.value.attempts, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("text", NEVER)
async def test_a_refusal_that_says_what_to_fix_is_final(text: str) -> None:
    """No new token and no repetition would help."""
    asked: list[str] = []

    class Provider:
        async def __call__(self) -> str:
            return "token-1"

        async def refresh(self, rejected: str) -> str:
            asked.append(rejected)
            return "token-2"

    refusals = [refuse(401, {"message": text})] * 2
    async with raw_server(*refusals) as server, LeadConnector(Provider(), base_url=server.url) as client:
        with pytest.raises(AuthenticationError):
            await client.get_appointment("e")
        assert (len(server.requests), asked) == (1, [])


@pytest.mark.parametrize(
    "text", ["Invalid JWT", "Invalid token: access token is invalid", "jwt expired", "Unauthorized"]
)
async def test_the_token_that_refresh_returns_is_the_one_that_is_sent(text: str) -> None:
    """The provider is not asked again for this attempt, and may even go on giving the old one."""
    asked: list[str] = []

    class Provider:
        calls = 0

        async def __call__(self) -> str:
            self.calls += 1
            return "token-1"

        async def refresh(self, rejected: str) -> str:
            asked.append(rejected)
            return "token-2"

    provider = Provider()
    async with (
        raw_server(refuse(401, {"message": text}), OK, OK) as server,
        LeadConnector(provider, base_url=server.url) as client,
    ):
        assert (await with_response(client.get_appointment("e"))).attempts == 2
        assert (asked, provider.calls) == (["token-1"], 1)
        assert b"Authorization: Bearer token-2\r\n" in server.requests[1]


async def test_a_renewed_token_that_is_refused_too_is_believed() -> None:
    """Renewed once, repeated once."""
    tokens = iter(["token-1", "token-2", "token-3"])

    async def provide() -> str:
        return next(tokens)

    refusals = [refuse(401, {"message": "Invalid JWT"})] * 3
    async with raw_server(*refusals) as server, LeadConnector(provide, base_url=server.url) as client:
        with pytest.raises(TokenExpiredError):
            await client.get_appointment("e")
        assert len(server.requests) == 2


async def test_a_renewal_that_fails_is_told_only_if_the_token_is_refused_again() -> None:
    """A stray refusal of a token that has nothing to be renewed by ends nothing."""

    class Provider:
        async def __call__(self) -> str:
            return "token-1"

        async def refresh(self, rejected: str) -> str:
            raise ReconnectRequiredError("connect the app again")

    refusal = refuse(401, {"message": "Unauthorized"})
    async with (
        raw_server(refusal, OK, refusal, refusal) as server,
        LeadConnector(Provider(), base_url=server.url) as client,
    ):
        assert (await with_response(client.get_appointment("e"))).attempts == 2
        with pytest.raises(ReconnectRequiredError, match="connect the app again") as caught:
            await client.get_appointment("e")
        assert caught.value.attempts == 2


async def test_a_stray_401_is_not_waited_for_beyond_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal itself is raised, at once."""
    monkeypatch.setattr("leadconnector_async._retry.backoff._STRAY_SECONDS", (60.0, 60.0))
    async with (
        raw_server(refuse(401, b"")) as server,
        LeadConnector("t", base_url=server.url, retry=RetryPolicy(deadline=30.0)) as client,
    ):
        with pytest.raises(AuthenticationError, match="HTTP 401: Unauthorized"):
            await client.get_appointment("e")


@pytest.mark.parametrize("body", [PAGE, b"error code: 1015", b"Forbidden", b"", b"\xef\xbb\xbf <html>"])
async def test_a_403_that_is_not_the_apis_is_repeated_with_back_off(body: bytes) -> None:
    """It has not reached the API, so nothing was applied, not even a creation."""
    async with (
        raw_server(*[refuse(403, body)] * 2, OK) as server,
        LeadConnector("t", base_url=server.url, retry=QUICK) as client,
    ):
        whole = await with_response(client.request("POST", "/calendars/events/appointments", response_type=dict))
        assert whole.attempts == 3


async def test_a_403_that_is_not_the_apis_is_transient_to_the_end() -> None:
    """The error says what it is, and a program can tell it from a token without access."""
    async with (
        raw_server(*[refuse(403, PAGE)] * 5) as server,
        LeadConnector("t", base_url=server.url, retry=QUICK) as client,
    ):
        with pytest.raises(PermissionDeniedError, match="did not come from the API") as caught:
            await client.get_appointment("e")
    assert (caught.value.attempts, caught.value.transient) == (5, True)
    assert caught.value.messages == ["Just a moment... Checking"]


@pytest.mark.parametrize("message", ["The token does not have access to this location.", "Forbidden resource"])
async def test_a_403_of_the_api_is_final(message: str) -> None:
    """Whatever it says."""
    async with (
        raw_server(refuse(403, {"message": message}), OK) as server,
        LeadConnector("t", base_url=server.url, retry=QUICK) as client,
    ):
        with pytest.raises(PermissionDeniedError) as caught:
            await client.get_appointment("e")
        assert (caught.value.transient, len(server.requests)) == (False, 1)


async def test_a_renewed_token_is_kept_while_the_provider_gives_the_old_one() -> None:
    """One renewal for all calls that were refused with the same token, now and later."""
    asked: list[str] = []
    async with Sandbox(appointments=20) as sandbox:
        old, new = (sandbox.issue_token("access") for _ in range(2))

        class Provider:
            async def __call__(self) -> str:
                return old

            async def refresh(self, rejected: str) -> str:
                asked.append(rejected)
                await asyncio.sleep(0.01)
                return new

        sandbox.expire_token(old)
        async with LeadConnector(Provider(), base_url=sandbox.url, location_id=sandbox.location_id) as client:
            async with asyncio.TaskGroup() as group:
                for event_id in sandbox.appointment_ids[:16]:
                    group.create_task(client.get_appointment(event_id))
            await client.get_appointment(sandbox.appointment_ids[0])
        assert asked == [old]
