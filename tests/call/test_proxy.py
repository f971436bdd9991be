"""The way through a proxy, on real sockets."""

import asyncio
import ssl
import warnings
from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    LeadConnector,
    LeadConnectorError,
    OAuthApp,
    RetryPolicy,
    TransportError,
)
from leadconnector_async.cli.connect import make_client

from ..leaks import show_all
from ..proxies import run_proxy
from ..raw_server import answer, raw_server

ONCE = RetryPolicy(max_attempts=1)
NOWHERE = "https://localhost:9"
NEEDS_PASSWORD = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
USER, PASSWORD = "jane.doe", "p@ss/wörd:1"
QUOTED = "p%40ss%2Fw%C3%B6rd%3A1"
BASIC = b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def fail(client: LeadConnector) -> LeadConnectorError:
    async with client:
        with pytest.raises(LeadConnectorError) as caught:
            await client.get_appointment("ev1")
    return caught.value


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("form", ["http://{}", "{}", "http://{}/"])
async def test_the_proxy_of_the_environment_is_used(name: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever variable names it, with and without its scheme: a tunnel is asked for, and no token shown to it."""
    async with run_proxy(NEEDS_PASSWORD) as proxy:
        monkeypatch.setenv(name, form.format(f"127.0.0.1:{proxy.port}"))
        await fail(LeadConnector("pit-very-secret", base_url=NOWHERE, retry=ONCE))
    assert [head.split("\r\n")[0] for head in proxy.heads] == ["CONNECT localhost:9 HTTP/1.1"]
    assert "pit-very-secret" not in proxy.heads[0]


@pytest.mark.parametrize("no_proxy", ["localhost", "*", "example.com, localhost:9"])
async def test_no_proxy_is_obeyed(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host named there is asked directly."""
    async with run_proxy(NEEDS_PASSWORD) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        await fail(LeadConnector("t", base_url=NOWHERE, retry=ONCE))
    assert proxy.heads == []


async def test_plain_http_to_loopback_is_never_proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says: the token would travel unencrypted."""
    async with run_proxy(NEEDS_PASSWORD) as proxy, raw_server(answer(200, b'{"id":"ev1"}')) as server:
        for name in ("HTTPS_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with LeadConnector("t", base_url=server.url) as client:
            assert (await client.get_appointment("ev1")).id == "ev1"
    assert proxy.heads == []


async def test_each_way_to_make_a_client_knows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env`, the command line and an app's token endpoint."""
    async with run_proxy(NEEDS_PASSWORD) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("LEADCONNECTOR_TOKEN", "t")
        monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", "loc")
        monkeypatch.setenv("LEADCONNECTOR_BASE_URL", NOWHERE)
        await fail(LeadConnector.from_env(retry=ONCE))
        async with make_client() as client:
            await fail(client.with_options(retry=ONCE))
        with pytest.raises(LeadConnectorError):
            await OAuthApp("client", "secret", base_url=NOWHERE).exchange_code("code")
    assert len(proxy.heads) >= 3


async def test_the_credentials_of_a_proxy_go_to_it_and_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Percent-decoded and in UTF-8; no error, log line or local of a frame holds them."""
    async with run_proxy(NEEDS_PASSWORD) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}:{QUOTED}@127.0.0.1:{proxy.port}")
        client = LeadConnector("t", base_url=NOWHERE, retry=ONCE)
        error = await fail(client)
    assert f"Proxy-Authorization: Basic {BASIC}\r\n" in proxy.heads[0]
    shown = show_all(error) + repr(client)
    assert not [secret for secret in (PASSWORD, QUOTED, BASIC, USER) if secret in shown]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("socks5://{}@127.0.0.1:1080", "SOCKS"),
        ("socks5h://{}@proxy", "SOCKS"),
        ("socks://{}@127.0.0.1:1080", "SOCKS"),
        ("ftp://{}@127.0.0.1", "ftp://"),
        ("http://{}@127.0.0.1:99999", "not the address"),
        ("http://{}@127.0.0.1:port", "not the address"),
        ("http://{}@", "not the address"),
        ("{}@:3128", "not the address"),
        ("ht!tp://{}@x", "not the address"),
        ("http://{}@proxy..example:3128", "not the address"),
        (f"http://{{}}@{'p' * 64}.example:3128", "not the address"),
    ],
)
@pytest.mark.parametrize("borrowed", [False, True])
async def test_a_proxy_that_cannot_be_used_is_said_without_its_credentials(
    text: str, said: str, borrowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the client is made: never bypassed, and nothing of it in the error or in its frames."""
    address = text.format(f"{USER}:{QUOTED}")
    async with aiohttp.ClientSession(proxy=address) as session:
        if not borrowed:
            monkeypatch.setenv("https_proxy", address)
        for make in (
            lambda: LeadConnector("t", session=session if borrowed else None),
            lambda: OAuthApp("client", "secret", session=session if borrowed else None),
        ):
            with pytest.raises(ConfigurationError, match=said) as caught:
                make()
            assert ("session" in str(caught.value)) == borrowed
            assert ("https_proxy" in str(caught.value)) != borrowed
            shown = show_all(caught.value)
            assert not [secret for secret in (PASSWORD, QUOTED, USER) if secret in shown]


@pytest.mark.parametrize("credentials", ["none", "address", "auth"])
async def test_a_borrowed_sessions_proxy_is_used(credentials: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the session's choice, and goes before the environment's."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with run_proxy(NEEDS_PASSWORD) as proxy:
        user = f"{USER}:{QUOTED}@" if credentials == "address" else ""
        async with aiohttp.ClientSession(proxy=f"http://{user}127.0.0.1:{proxy.port}") as session:
            if credentials == "auth":
                with warnings.catch_warnings(action="ignore"):
                    session._default_proxy_auth = aiohttp.BasicAuth(USER, PASSWORD)
            error = await fail(LeadConnector("t", base_url=NOWHERE, session=session, retry=ONCE))
            with pytest.raises(LeadConnectorError):
                await OAuthApp("client", "secret", base_url=NOWHERE, session=session).exchange_code("code")
    assert len(proxy.heads) >= 2
    for head in proxy.heads:
        assert head.startswith("CONNECT localhost:9")
        assert (BASIC in head) == (credentials != "none")
    assert BASIC not in show_all(error)


async def test_a_borrowed_session_without_a_proxy_goes_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it trusts the environment; `~/.netrc` is read in neither case."""
    async with run_proxy(NEEDS_PASSWORD) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for trusts in (False, True):
            async with aiohttp.ClientSession(trust_env=trusts) as session:
                await fail(LeadConnector("t", base_url=NOWHERE, session=session, retry=ONCE))
            assert len(proxy.heads) == trusts


async def test_an_entry_of_netrc_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With aiohttp's `trust_env`, every call would fail."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with raw_server(answer(200, b"{}")) as server, aiohttp.ClientSession(trust_env=True) as session:
        async with LeadConnector("pit-1", base_url=server.url, session=session) as client:
            await client.get_appointment("ev1")
    assert b"Authorization: Bearer pit-1\r\n" in server.requests[0]


async def test_plain_http_goes_through_a_borrowed_sessions_proxy_on_this_machine_only() -> None:
    """On another one, the token could be read there: that is an error, not a bypass."""
    async with run_proxy() as proxy, raw_server(answer(200, b'{"id":"ev1"}')) as server:
        address = f"http://{USER}:x@127.0.0.1:{proxy.port}"
        async with aiohttp.ClientSession(proxy=address) as session:
            async with LeadConnector("t", base_url=server.url, session=session) as client:
                assert (await client.get_appointment("ev1")).id == "ev1"
        assert proxy.heads[0].startswith(f"GET {server.url}/calendars")
        assert "Proxy-Authorization: Basic" in proxy.heads[0]
        async with aiohttp.ClientSession(proxy="http://proxy.example.com:3128") as session:
            with pytest.raises(ConfigurationError, match="unencrypted"):
                LeadConnector("t", base_url=server.url, session=session)


async def test_a_call_goes_through_the_tunnel_and_tls_is_verified_at_its_end() -> None:
    """The proxy sees CONNECT and nothing else; a certificate of nobody's is refused as without a proxy."""
    pem = Path(__file__).parents[1] / "samples/self_signed.pem"
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(pem)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(200, b'{"id":"ev1"}'))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    trusting = ssl.create_default_context(cafile=pem)
    trusting.check_hostname = False
    async with run_proxy() as proxy:
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with aiohttp.ClientSession(connector=connector, proxy=proxy.url) as session:
            async with LeadConnector("pit-very-secret", base_url=url, session=session) as client:
                assert (await client.get_appointment("ev1")).id == "ev1"
        async with aiohttp.ClientSession(proxy=proxy.url) as session:
            error = await fail(LeadConnector("pit-very-secret", base_url=url, session=session))
        assert "certificate was rejected" in str(error)
    assert (len(asked), len(proxy.heads)) == (1, 2)
    assert "pit-very-secret" not in "".join(proxy.heads)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("refusal", [NEEDS_PASSWORD, b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b""])
async def test_a_tunnel_that_is_refused_means_that_nothing_was_sent(
    refusal: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for writes without a body: no doubt about their outcome."""
    async with run_proxy(refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with LeadConnector("t", base_url=NOWHERE, retry=ONCE) as client:
            for call in (
                client.update_appointment("ev1", AppointmentUpdate(title="x")),
                client.delete_event("ev1"),
                client.request("POST", "/x"),
            ):
                with pytest.raises(TransportError, match="never sent") as caught:
                    await call
                assert caught.value.outcome == "not_applied"
    assert len(proxy.heads) == 3


async def test_a_session_that_sends_in_its_own_way_is_refused() -> None:
    """Rather than bypassed."""

    async def _request(*args: object, **options: object) -> None:
        raise AssertionError

    with pytest.warns(DeprecationWarning, match="Signing"):
        signing = type("Signing", (aiohttp.ClientSession,), {"_request": _request})
    async with signing() as session:
        with pytest.raises(ConfigurationError, match="Signing, whose own way of sending requests"):
            LeadConnector("t", session=session)
    with pytest.raises(ConfigurationError, match="must be an aiohttp"):
        LeadConnector("t", session="x")  # type: ignore[arg-type]


async def test_a_borrowed_sessions_middlewares_and_bounds_of_reading_are_kept() -> None:
    """What says how bytes travel is the session's; here, headers larger than aiohttp takes by itself."""
    seen: list[str] = []

    async def look(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.method)
        return await send(request)

    large = answer(200, b"{}", f"x-large: {'x' * 10_000}")
    options = {"middlewares": (look,), "max_field_size": 20_000, "max_line_size": 20_000}
    async with raw_server(large) as server, aiohttp.ClientSession(**options) as session:  # type: ignore[arg-type]
        async with LeadConnector("t", base_url=server.url, session=session, retry=ONCE) as client:
            await client.get_appointment("ev1")
    assert seen == ["GET"]
