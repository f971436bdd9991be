"""What is kept of an answer of the token endpoints, whichever version it is of."""

import msgspec
import pytest

from leadconnector_async import (
    AuthenticationError,
    DecodeError,
    LeadConnectorError,
    MemoryTokenStore,
    OAuthApp,
    ReconnectRequiredError,
    StoredToken,
    UnprocessableError,
)
from leadconnector_async._oauth.codec import (
    OAUTH_TOKEN,
    TokenResponse,
    build_stored_token,
    build_token_request,
    read_token,
)
from leadconnector_async.sandbox import Sandbox

from ..raw_server import answer, raw_server

REQUEST = build_token_request(OAUTH_TOKEN, {})
SNAKE = b'"access_token": "a", "refresh_token": "r", "expires_in": 60, "token_type": "Bearer"'
CAMEL = b'"accessToken": "a", "refreshToken": "r", "expiresIn": 60, "tokenType": "Bearer"'


def store(body: bytes, known: StoredToken | None = None) -> StoredToken:
    read = read_token(REQUEST, 200, body)
    assert isinstance(read, TokenResponse)
    return build_stored_token(read, 1000.0, "app", known)


@pytest.mark.parametrize("tokens", [SNAKE, CAMEL])
def test_a_pair_is_read_under_the_names_of_either_version(tokens: bytes) -> None:
    """It comes once: whoever cannot read it has lost it."""
    stored = store(b'{"userType": "Location", "locationId": "l", "companyId": "c", "userId": "u", %s}' % tokens)
    assert (stored.access_token, stored.refresh_token, stored.expires_at) == ("a", "r", 1060.0)
    assert (stored.user_type, stored.location_id, stored.company_id, stored.user_id) == ("Location", "l", "c", "u")


def test_the_user_is_kept_when_an_answer_does_not_name_one() -> None:
    """Or names one in no shape that is known; another one takes the place of the first."""
    known = store(b'{"userId": "u", %s}' % SNAKE)
    assert store(b"{%s}" % SNAKE).user_id is None
    assert store(b"{%s}" % SNAKE, known).user_id == "u"
    assert store(b'{"userId": {"id": 5}, %s}' % SNAKE, known).user_id == "u"
    assert store(b'{"userId": "v", %s}' % SNAKE, known).user_id == "v"


def test_a_token_that_was_stored_before_is_still_read() -> None:
    """Without a user; and one with a user goes through JSON whole."""
    old = msgspec.json.decode(b'{"access_token": "a", "expires_at": 1.0, "location_id": "l"}', type=StoredToken)
    assert (old.location_id, old.user_id) == ("l", None)
    new = store(b'{"userId": "u", %s}' % SNAKE)
    assert msgspec.json.decode(msgspec.json.encode(new), type=StoredToken) == new


async def test_the_app_says_who_connected_it(sandbox: Sandbox) -> None:
    """By a code, and by an agency's token."""
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    by_code = await app.exchange_code(sandbox.issue_code())
    await app.exchange_code(sandbox.issue_code(user_type="Company"), user_type="Company")
    by_agency = await app.location_token(sandbox.company_id, sandbox.location_id)
    assert by_code.user_id
    assert by_agency.user_id == by_code.user_id


BODY = b'{"access_token": "abc", "refresh_token": "def"}'


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + BODY,
        b"\r\n\t " + BODY,
        BODY.replace(b"abc", b"a\nbc").replace(b"def", b"d\te\nf"),
        BODY.replace(b"}", b', "scope": "a\nb"}'),
        BODY.replace(b"}", b', "planName": "\xff", "x": NaN}'),
    ],
)
def test_a_pair_is_read_out_of_nearly_json(body: bytes) -> None:
    """A byte order mark, raw line ends, even within a token, and what is not UTF-8 beside it."""
    stored = store(body)
    assert (stored.access_token, stored.refresh_token) == ("abc", "def")


PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in.</body></html>"
GRANT = b'{"error": "invalid_grant", "error_description": "Invalid refresh token"}'
KEYS = b'{"error": "invalid_client"}'


async def ask(*answers: bytes) -> tuple[LeadConnectorError | None, StoredToken | None, int]:
    """What a refresh ends in, what is stored after it, and how often the endpoint was asked."""
    tokens = MemoryTokenStore()
    old = StoredToken(access_token="old", expires_at=1.0, refresh_token="kept", location_id="l", client_id="app")
    await tokens.save("l", old)
    async with raw_server(*answers) as raw:
        app = OAuthApp("app", "secret", base_url=raw.url, store=tokens)
        try:
            await app.provider("l")()
        except LeadConnectorError as error:
            return error, await tokens.load("l"), len(raw.requests)
        return None, await tokens.load("l"), len(raw.requests)


@pytest.mark.parametrize("page", [PAGE, b"\xef\xbb\xbf\n" + PAGE, b"OK", b"504 Gateway Time-out"])
async def test_a_page_in_place_of_a_token_costs_nothing(page: bytes) -> None:
    """Nothing of it is stored, the refresh token is kept, and one real answer after it is enough."""
    error, kept, requests = await ask(*[answer(200, page)] * 3)
    assert type(error) is DecodeError
    assert error.outcome == "not_applied"
    assert "it is not the API's" in str(error)
    assert kept is not None
    assert (kept.access_token, kept.refresh_token) == ("old", "kept")
    assert requests == 3
    error, kept, requests = await ask(answer(200, page), answer(200, BODY))
    assert error is None
    assert kept is not None
    assert (kept.access_token, kept.refresh_token, requests) == ("abc", "def", 2)


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        (GRANT, ReconnectRequiredError),
        (b"\xef\xbb\xbf" + GRANT.replace(b"Invalid", b"Inva\nlid"), ReconnectRequiredError),
        (GRANT.replace(b"}", b', "statusCode": 400}'), ReconnectRequiredError),
        (KEYS, AuthenticationError),
        (b'{"statusCode": 422, "message": "redirect_uri is wrong"}', UnprocessableError),
    ],
)
async def test_a_refusal_within_a_success_is_that_refusal(
    body: bytes, error_type: type[LeadConnectorError]
) -> None:
    """Asked once: it will not pass, and what was stored stays."""
    error, kept, requests = await ask(answer(200, body))
    assert type(error) is error_type
    assert error.outcome == "not_applied"
    assert kept is not None
    assert kept.refresh_token == "kept"
    assert requests == 1
