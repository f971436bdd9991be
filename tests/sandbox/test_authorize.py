"""The authorize page sends a code to whom it belongs, and to nobody else."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest

from leadconnector_async import OAuthApp
from leadconnector_async.sandbox import Sandbox, TokenRules

BACK = "http://127.0.0.1:8123/callback"
REGISTERED = ("https://app.example.com/callback?x=1", "myapp://callback")
AGENT = {"User-Agent": "test/1"}
PATHS = ("/v2/oauth/chooselocation", "/oauth/chooselocation")


async def visit(address: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(address, allow_redirects=False) as response:
        return response.status, response.headers.get("location", ""), await response.text()


def build(sandbox: Sandbox, path: str = PATHS[0], **changes: Any) -> str:
    query = {
        "response_type": "code",
        "client_id": sandbox.client_id,
        "redirect_uri": BACK,
        "scope": "calendars/events.readonly calendars/events.write",
        "state": "s & t=é",
        **changes,
    }
    return f"{sandbox.url}{path}?{urlencode({name: one for name, one in query.items() if one is not None})}"


def read(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def test_an_app_is_connected_from_its_url_to_its_token(sandbox: Sandbox) -> None:
    """`OAuthApp` from end to end: the page sends state and code back, and the code gives the location's token."""
    app = OAuthApp(
        sandbox.client_id,
        sandbox.client_secret,
        base_url=sandbox.url,
        authorize_at=sandbox.authorize_at,
        redirect_uri=BACK,
    )
    status, location, _ = await visit(app.authorize_url(["calendars/events.readonly"], state="a b&c"))
    assert (status, location.split("?")[0]) == (302, BACK)
    answer = read(location)
    assert answer.keys() == {"code", "state"}
    assert answer["state"] == "a b&c"
    token = await app.exchange_code(answer["code"])
    assert token.location_id == sandbox.location_id
    assert token.access_token


@pytest.mark.parametrize("path", PATHS)
async def test_both_paths_send_back_what_they_were_given(sandbox: Sandbox, path: str) -> None:
    """Any state, or none; what the redirect URI has of its own stays."""
    status, location, _ = await visit(build(sandbox, path, redirect_uri=f"{BACK}?mine=1"))
    assert (status, read(location)["state"], read(location)["mine"]) == (302, "s & t=é", "1")
    assert "state" not in read((await visit(build(sandbox, path, state=None)))[1])


@pytest.mark.sandbox(appointments=0, locations=3)
async def test_a_location_or_the_agency_is_chosen(sandbox: Sandbox) -> None:
    """The first location, the one that the URL names, or the agency, whose token reads all of them."""
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url, redirect_uri=BACK)
    third = sandbox.location_ids[2]
    for chosen, owner in (({}, sandbox.location_id), ({"location_id": third}, third)):
        code = read((await visit(build(sandbox, **chosen)))[1])["code"]
        assert (await app.exchange_code(code)).location_id == owner
    code = read((await visit(build(sandbox, user_type="Company")))[1])["code"]
    agency = await app.exchange_code(code, user_type="Company")
    assert (agency.user_type, agency.company_id) == ("Company", sandbox.company_id)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"client_id": None}, "client_id"),
    ({"client_id": "another"}, "client_id"),
    ({"redirect_uri": None}, "redirect_uri"),
    ({"location_id": "nowhere"}, "location_id"),
    ({"user_type": "Admin"}, "user_type"),
]
HOSTILE = [
    "",
    "callback",
    "//evil.example",
    "https://evil.example/callback",
    "https://app.example.com/callback",
    "https://app.example.com/callback?x=1&y=2",
    "https://app.example.com/callback?x=1#",
    "https://app.example.com.evil.example/callback?x=1",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.1@evil.example/",
    "http://127.0.0.1:80@evil.example/",
    "http://evil.example@127.0.0.1/",
    "http://localhost.evil.example/",
    "http://evil.example\\@127.0.0.1/",
    "http://127.0.0.1\\.evil.example/",
    "http:\\\\evil.example",
    "http:/\t/evil.example",
    "http://127.0.0.1/\r\nset-cookie: a=b",
    "http://127.0.0.1/ x",
    "http://127.0.0.1/#fragment",
    "http://0.0.0.0/",
    "http://[::1/",
    "http://[::2]/",
    "javascript://127.0.0.1/%0aalert(1)",
    "file://localhost/etc/passwd",
    "data:text/html,x",
    "http://lоcalhost/",
    f"http://127.0.0.1/{'x' * 3000}",
]


@pytest.mark.parametrize(("changes", "named"), REFUSED)
async def test_what_is_not_in_order_is_refused_in_place(sandbox: Sandbox, changes: Any, named: str) -> None:
    """As plain text that names what is wrong; nobody is redirected, and nothing is installed."""
    status, location, text = await visit(build(sandbox, **changes))
    assert (status, location) == (400, "")
    assert text.startswith(named)
    assert sandbox._app.token_endpoint.installs.find(sandbox.location_id) is None


@pytest.mark.sandbox(appointments=0, token_rules=TokenRules(redirect_uris=REGISTERED))
async def test_a_code_goes_to_registered_addresses_and_loopback_only(sandbox: Sandbox) -> None:
    """Letter for letter, or loopback by any of its names; nothing that a browser reads in another way."""
    for address in HOSTILE:
        status, location, text = await visit(build(sandbox, redirect_uri=address))
        assert (status, location) == (400, ""), address
        assert text.startswith("redirect_uri"), address
    for address in (
        *REGISTERED,
        BACK,
        "http://localhost/",
        "http://[::1]:9/x",
        "https://127.0.0.2/x",
        "http://localhost",
    ):
        status, location, _ = await visit(build(sandbox, redirect_uri=address))
        assert status == 302, address
        assert location.startswith(f"{address}{'&' if '?' in address else '?'}code="), address


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "location_id", "user_type", "scope"])
async def test_a_parameter_that_is_there_twice_is_refused(sandbox: Sandbox, name: str) -> None:
    """Whoever checks one and uses the other can be deceived."""
    good = build(sandbox, location_id=sandbox.location_id, user_type="Location")
    assert (await visit(good))[0] == 302
    for address in (f"{good}&{name}=x", good.replace("?", f"?{name}=x&")):
        status, location, text = await visit(address)
        assert (status, location, text) == (400, "", f"{name} is there more than once\n")


async def test_other_errors_go_back_to_the_app(sandbox: Sandbox) -> None:
    """With the state, as OAuth has it: another response type, and scopes that are none."""
    for changes, error in (
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "a  b"}, "invalid_scope"),
        ({"scope": "a,b"}, "invalid_scope"),
    ):
        status, location, _ = await visit(build(sandbox, **changes))
        assert (status, read(location)) == (302, {"error": error, "state": "s & t=é"})


async def test_a_code_is_for_the_address_that_it_was_sent_to(sandbox: Sandbox) -> None:
    """Exchanged with another redirect URI, it is refused and used up."""
    code = read((await visit(build(sandbox)))[1])["code"]
    form = {
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "grant_type": "authorization_code",
        "code": code,
    }
    async with aiohttp.ClientSession(headers=AGENT) as session:
        for redirect_uri in (f"{BACK}/", BACK):
            url, sent = f"{sandbox.url}/oauth/token", {**form, "redirect_uri": redirect_uri}
            async with session.post(url, data=sent) as response:
                assert (response.status, (await response.json())["error"]) == (400, "invalid_grant")


async def test_the_page_is_neither_logged_nor_kept(sandbox: Sandbox) -> None:
    """The state is a secret of the app: no log has it, and no cache keeps the answer; a POST is no such route."""
    async with aiohttp.ClientSession(headers=AGENT) as session:
        async with session.get(build(sandbox, state="very-secret"), allow_redirects=False) as response:
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["referrer-policy"] == "no-referrer"
        async with session.post(build(sandbox)) as response:
            assert response.status == 404
    assert "very-secret" not in repr(list(sandbox.requests))


@pytest.mark.parametrize("address", ["", "app", "https://app.example.com/a b", 5, "HTTPS://x"])
def test_a_redirect_uri_that_is_no_url_is_refused(address: Any) -> None:
    """When the rules are made, by its name."""
    with pytest.raises(ValueError, match="redirect_uris is"):
        TokenRules(redirect_uris=(address,))
