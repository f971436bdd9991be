"""What is kept of an answer of the token endpoints, whichever version it is of."""

import msgspec
import pytest

from leadconnector_async import OAuthApp, StoredToken
from leadconnector_async._operations import OAUTH_TOKEN
from leadconnector_async._token_wire import build_stored_token, build_token_request, read_token
from leadconnector_async._wire_models import TokenAnswer
from leadconnector_async.sandbox import Sandbox

REQUEST = build_token_request(OAUTH_TOKEN, {})
SNAKE = b'"access_token": "a", "refresh_token": "r", "expires_in": 60, "token_type": "Bearer"'
CAMEL = b'"accessToken": "a", "refreshToken": "r", "expiresIn": 60, "tokenType": "Bearer"'


def store(body: bytes, known: StoredToken | None = None) -> StoredToken:
    answer = read_token(REQUEST, 200, body)
    assert isinstance(answer, TokenAnswer)
    return build_stored_token(answer, 1000.0, "app", known)


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
