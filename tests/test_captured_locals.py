"""Nothing secret in what tools that report errors print: the locals of every frame of a chain of errors."""

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from leadconnector_async import (
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlotCreate,
    BlockSlotUpdate,
    ConfigurationError,
    FileTokenStore,
    LeadConnector,
    MemoryTokenStore,
    OAuthApp,
    RedisTokenStore,
    RetryPolicy,
    Shared,
    SQLTokenStore,
    StoredToken,
    Timeouts,
    TokenStoreError,
)
from leadconnector_async.cli.connect import make_client
from leadconnector_async.cli.tokens import CommandToken, LocationToken, read_secret
from leadconnector_async.integrations.starlette import Backend
from leadconnector_async.sandbox import Sandbox

from .leaks import show_all
from .raw_server import RawServer, answer, raw_server

TOKEN = "pit-0123456789-very-secret-" + "0123456789abcdef" * 6
OTHER = TOKEN.replace("pit-", "eyJ")
CLIENT_SECRET = "client-secret-aaaa-bbbb"
CODE = "code-cccc-dddd-eeee"
GRANT = "grant-ffff-9999-0000"
NEXT = "next-1234-5678-9abc"
KEY = "a2V5LXZlcnktc2VjcmV0LTAxMjM0NTY3ODlhYmNkZWY="
NEWER_KEY = "bmV3ZXIta2V5LXZlcnktc2VjcmV0LTAxMjM0NTY3ODk="
PASSWORD = "pass-word-5555-6666"
KEYS = (KEY[:20], NEWER_KEY[:20])
SECRETS = (TOKEN[:12], OTHER[:12], TOKEN[-12:], CLIENT_SECRET, CODE, GRANT, NEXT, PASSWORD, *KEYS)
START, END = datetime(2027, 3, 9, tzinfo=UTC), datetime(2027, 3, 10, tzinfo=UTC)
TIME = "2027-03-09T09:00:00-05:00"
UPDATE = AppointmentUpdate(title="x")

Call = Callable[[LeadConnector], Awaitable[object]]


async def drain(pages: AsyncIterator[object]) -> None:
    async for _ in pages:
        pass


CALLS: dict[str, Call] = {
    "update_appointment": lambda c: c.update_appointment("ev1", UPDATE),
    "reschedule_appointment": lambda c: c.reschedule_appointment("ev1", shift=timedelta(hours=1)),
    "plan_reschedule": lambda c: c.plan_reschedule("ev1", shift=timedelta(hours=1)),
    "get_appointment": lambda c: c.get_appointment("ev1"),
    "create_appointment": lambda c: c.create_appointment(
        AppointmentCreate(calendar_id="C", location_id="loc", contact_id="K", start_time=TIME)
    ),
    "book": lambda c: c.book(START, "K", calendar_ids=["C"]),
    "delete_event": lambda c: c.delete_event("ev1"),
    "list_events": lambda c: c.list_events(START, END, calendar_id="C"),
    "list_blocked_slots": lambda c: c.list_blocked_slots(START, END, calendar_id="C"),
    "create_block_slot": lambda c: c.create_block_slot(
        BlockSlotCreate(calendar_id="C", start_time=TIME, end_time="2027-03-09T10:00:00-05:00", title="x")
    ),
    "update_block_slot": lambda c: c.update_block_slot("ev1", BlockSlotUpdate(calendar_id="C", title="x")),
    "get_free_slots": lambda c: c.get_free_slots("C", START, END),
    "get_contact": lambda c: c.get_contact("K"),
    "find_contacts": lambda c: c.find_contacts(phone="+12125550123"),
    "list_contact_appointments": lambda c: c.list_contact_appointments("K"),
    "list_location_events": lambda c: c.list_location_events(START, END),
    "find_appointments": lambda c: c.find_appointments(START, END, contact_id="K"),
    "list_notes": lambda c: drain(c.list_notes("ev1")),
    "create_note": lambda c: c.create_note("ev1", "x"),
    "update_note": lambda c: c.update_note("ev1", "n1", "x"),
    "delete_note": lambda c: c.delete_note("ev1", "n1"),
    "get_calendar": lambda c: c.get_calendar("C"),
    "list_calendars": lambda c: c.list_calendars(),
    "request": lambda c: c.request("PUT", "/x", body={"a": 1}, query={"b": "c"}),
}
ECHO = TOKEN.encode()
ANSWERS = {
    "refused": answer(400, b'{"message":"no: ' + ECHO + b'","traceId":"' + ECHO + b'"}', f"x-echo: {TOKEN}"),
    "expired": answer(401, b'{"message":"Invalid JWT"}', f"x-echo: {TOKEN}"),
    "too-many": answer(429, ECHO, f"x-echo: {TOKEN}"),
    "unavailable": answer(503, b"<html>" + ECHO, f"x-echo: {TOKEN}"),
    "lost": b"",
    "junk": b"HTTP/1.1 " + ECHO + b"\r\n\r\n",
    "page": answer(200, b"<html>" + ECHO),
    "array": answer(200, b'["' + ECHO + b'"]'),
    "odd": answer(200, b'{"' + ECHO + b'": 1, "id": 1, "slots": 1, "events": "' + ECHO + b'", "notes": 3'),
    "half": f"HTTP/1.1 200 OK\r\nx-echo: {TOKEN}\r\ncontent-length: 900\r\n\r\n".encode() + ECHO,
}
SILENT = ("timeout", "deadline", "cancelled", "caller's timeout")
STOPPED = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n"


def check_nothing_leaks(error: BaseException | None) -> None:
    assert error is not None
    shown = show_all(error)
    found = [secret for secret in SECRETS if secret in shown]
    assert not found, [line[:300] for line in shown.splitlines() if any(one in line for one in found)]


@contextlib.asynccontextmanager
async def silent_server(head: bytes) -> AsyncIterator[RawServer]:
    """It takes requests and never answers whole."""
    raw = RawServer([])
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        raw.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(head)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield raw
    finally:
        for writer in held:
            writer.close()
        server.close()
        await server.wait_closed()


async def interrupt(kind: str, server: RawServer, call: Coroutine[Any, Any, object]) -> BaseException | None:
    """Run a call until it fails by itself, or end it from outside; returns what it raised."""
    if kind == "caller's timeout":

        async def bounded() -> None:
            async with asyncio.timeout(0.05):
                await call

        task: asyncio.Task[object] = asyncio.create_task(bounded())
    else:
        task = asyncio.create_task(call)
    if kind == "cancelled":
        while not server.requests:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)
        task.cancel()
    await asyncio.wait([task])
    try:
        await task
    except BaseException as error:
        return error
    return None


async def wrap(made: Awaitable[object]) -> object:
    return await made


def test_every_call_is_tried() -> None:
    """A new method is placed here before it is used."""
    methods = inspect.getmembers(LeadConnector, inspect.isfunction)
    calls = {
        name for name, value in methods if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)
    }
    assert {name for name in calls if not name.startswith("_")} - {"aclose"} == CALLS.keys()


class Provider:
    """Gives one token, and another one when that is refused."""

    async def __call__(self) -> str:
        return TOKEN

    async def refresh(self, rejected: str) -> str:
        return TOKEN

    def for_location(self, location_id: str) -> "Provider":
        return self


@pytest.mark.parametrize("source", ["fixed", "provider"])
@pytest.mark.parametrize("kind", ANSWERS)
async def test_no_answer_makes_a_call_show_its_token(kind: str, source: str) -> None:
    """Every public method, whatever comes back: in no text, attribute, local or what these hold."""
    policy = RetryPolicy(max_attempts=2, backoff_base=0.001, deadline=5.0)
    token = TOKEN if source == "fixed" else Provider()
    async with raw_server(*[ANSWERS[kind]] * 200) as server:
        server.answers = _Endless(ANSWERS[kind])  # type: ignore[assignment]
        options: dict[str, Any] = {"base_url": server.url, "location_id": "loc", "retry": policy}
        async with LeadConnector(token, timeouts=Timeouts(total=0.3), **options) as client:
            results = await asyncio.gather(*(call(client) for call in CALLS.values()), return_exceptions=True)
    errors = [one for one in results if isinstance(one, BaseException)]
    assert errors or kind in ("page", "odd", "array")
    for error in errors:
        check_nothing_leaks(error)


class _Endless(list[bytes]):
    def __init__(self, one: bytes) -> None:
        super().__init__([one])

    def pop(self, index: Any = -1) -> bytes:
        return self[0]


@pytest.mark.parametrize("head", ["", STOPPED])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", SILENT)
async def test_no_end_makes_a_call_show_its_token(kind: str, name: str, head: str) -> None:
    """Timeout, deadline, cancellation: aiohttp's frames, which hold the request, are in no traceback."""
    policy = RetryPolicy(max_attempts=1, deadline=0.05 if kind == "deadline" else None)
    async with silent_server(head.encode()) as server:
        bounds = Timeouts(total=0.05 if kind == "timeout" else 30.0)
        async with LeadConnector(
            TOKEN, base_url=server.url, location_id="loc", retry=policy, timeouts=bounds
        ) as client:
            error = await interrupt(kind, server, wrap(CALLS[name](client)))
    check_nothing_leaks(error)


async def test_nothing_else_that_goes_wrong_makes_a_call_show_its_token() -> None:
    """A refused connection, a client that is closed, a handler and a provider that fail."""
    once = RetryPolicy(max_attempts=1)
    client = LeadConnector(TOKEN, base_url="http://127.0.0.1:1", retry=once)
    errors = [await interrupt("", RawServer([]), wrap(call(client))) for call in CALLS.values()]
    await client.aclose()
    errors += [await interrupt("", RawServer([]), wrap(call(client))) for call in CALLS.values()]

    def interrupted(event: object) -> None:
        raise KeyboardInterrupt

    async def failing() -> str:
        raise KeyError("x")

    async def odd() -> str:
        return f"Bearer {TOKEN}"

    for options in ({"on_event": interrupted}, {"token": failing}, {"token": odd}):
        async with LeadConnector(**{"token": TOKEN, "base_url": "http://127.0.0.1:1", **options}) as other:  # type: ignore[arg-type]
            with pytest.raises(BaseException) as caught:
                await other.get_appointment("ev1")
            errors.append(caught.value)
    for error in errors:
        check_nothing_leaks(error)


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"Bearer {TOKEN}", TOKEN.encode(), [TOKEN], {"a": TOKEN}])
async def test_a_token_that_cannot_be_used_is_not_shown(token: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is given, nor a good one beside another setting that cannot work."""
    good = LeadConnector("t", location_id="loc")

    async def provide() -> object:
        return token

    makes: list[Callable[[], object]] = [
        lambda: LeadConnector(token),  # type: ignore[arg-type]
        lambda: good.for_location("other", token),  # type: ignore[arg-type]
        lambda: LeadConnector(TOKEN, base_url="http://example.com"),
        lambda: LeadConnector(TOKEN, version="a\n"),
        lambda: OAuthApp("client", CLIENT_SECRET, base_url="ftp://x"),
        lambda: OAuthApp("client", f"{CLIENT_SECRET}\n"),
        lambda: OAuthApp("client", CLIENT_SECRET.encode()),  # type: ignore[arg-type]
        lambda: OAuthApp("client", CLIENT_SECRET, timeouts=Timeouts(total=99)),
        lambda: OAuthApp("", CLIENT_SECRET),
        lambda: Backend(token=token, location_id="loc", authorize=print),  # type: ignore[arg-type]
        lambda: Backend(token=TOKEN, location_id="loc", authorize=None),
        lambda: Backend(token=TOKEN, location_id="loc", authorize=print, base_url="ftp://x"),  # type: ignore[arg-type]
        lambda: CommandToken("VARIABLE", f"printf '{TOKEN}", "loc"),
        lambda: CommandToken("VARIABLE", f"printf {TOKEN}", "loc").for_location(None),  # type: ignore[arg-type]
    ]
    if isinstance(token, str):
        monkeypatch.setenv("LEADCONNECTOR_TOKEN", token)
        monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", "loc")
        makes += [LeadConnector.from_env, make_client, lambda: LocationToken(token, "loc", "")]
    for make in makes:
        try:
            make()
        except Exception as error:
            check_nothing_leaks(error)
    async with LeadConnector(provide, retry=RetryPolicy(max_attempts=1)) as client:  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError) as caught:
            await client.get_appointment("ev1")
        check_nothing_leaks(caught.value)


async def test_a_command_or_file_that_gives_no_token_shows_none(tmp_path: Path) -> None:
    """What a command prints, and the file that others can read."""
    script = tmp_path / "say"
    script.write_text(f"#!/bin/sh\necho {TOKEN}\nexit 3\n")
    script.chmod(0o700)
    with pytest.raises(ConfigurationError, match="exit code 3") as caught:
        await CommandToken("VARIABLE", f"{script} {GRANT}", "loc")()
    check_nothing_leaks(caught.value)
    file = tmp_path / "secret"
    for content, mode in ((f"{TOKEN}", 0o644), (f"\n{TOKEN}", 0o600)):
        file.write_text(content)
        file.chmod(mode)
        with pytest.raises(ConfigurationError) as caught:
            read_secret("VARIABLE", str(file))
        check_nothing_leaks(caught.value)
    file.write_bytes(TOKEN.encode() + b"\xff")
    with pytest.raises(ConfigurationError) as caught:
        read_secret("VARIABLE", str(file))
    check_nothing_leaks(caught.value)


TOKEN_ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "refused": lambda sent: answer(400, b'{"error":"invalid_grant","error_description":"%s"}' % sent, "x: y"),
    "unauthorized": lambda sent: answer(401, b'{"error":"invalid_client","message":"%s"}' % sent),
    "expired": lambda sent: answer(401, b'{"message":"Invalid JWT"}'),
    "unavailable": lambda sent: answer(503, sent),
    "lost": lambda sent: b"",
    "junk": lambda sent: b"HTTP/1.1 " + sent + b"\r\n\r\n",
    "odd": lambda sent: answer(200, b'{"access_token": 1, "refresh_token": "%s"}' % NEXT.encode()),
    "nobody's": lambda sent: answer(200, b'{"access_token": "%s", "refresh_token": "x"}' % NEXT.encode()),
    "half": lambda sent: f"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{NEXT}".encode(),
}
Flow = Callable[[OAuthApp], Coroutine[Any, Any, object]]
SENT = {"exchange": (CODE, CLIENT_SECRET), "location": (OTHER,)}
"""What of its secrets a flow sends; all others send the refresh token."""
FLOWS: dict[str, Flow] = {
    "exchange": lambda app: app.exchange_code(CODE),
    "renew": lambda app: app.provider("loc")(),
    "replace": lambda app: app.provider("loc").refresh(TOKEN),
    "location": lambda app: app.location_token("com", "new"),
}
STORED = StoredToken(access_token=TOKEN, refresh_token=GRANT, expires_at=1.0, location_id="loc")
AGENCY = StoredToken(access_token=OTHER, refresh_token=GRANT, expires_at=9e9, company_id="com", user_type="Company")


async def make_store() -> MemoryTokenStore:
    store = MemoryTokenStore()
    await store.save("loc", STORED)
    await store.save("com", AGENCY)
    return store


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("kind", [*TOKEN_ANSWERS, *SILENT])
async def test_no_token_endpoint_makes_an_app_show_a_secret(
    kind: str, flow: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Code, client secret, access and refresh token: whatever is answered, and however it ends."""
    monkeypatch.setattr("leadconnector_async._oauth.endpoint._PAUSE", 0.001)
    store = await make_store()
    sent = " ".join(SENT.get(flow, (GRANT, CLIENT_SECRET)))
    serving = raw_server() if kind in TOKEN_ANSWERS else silent_server(b"")
    async with serving as server:
        if kind in TOKEN_ANSWERS:
            server.answers = _Endless(TOKEN_ANSWERS[kind](sent.encode()))  # type: ignore[assignment]
        bounds = Timeouts(connect=1.0, total=0.05 if kind in ("timeout", "half") else 5.0)
        app = OAuthApp("client", CLIENT_SECRET, base_url=server.url, store=store, timeouts=bounds)

        async def act() -> object:
            async with asyncio.timeout(0.05 if kind == "deadline" else None):
                return await FLOWS[flow](app)

        error = await interrupt(kind, server, act())
        if kind in SILENT:
            others = [task for task in asyncio.all_tasks() if "_renewal" in str(task.get_coro())]
            for task in others:
                task.cancel()
                task.cancel()
    assert error is not None or kind == "nobody's"
    if error is not None:
        check_nothing_leaks(error)
    for record in caplog.records:
        if record.exc_info:
            check_nothing_leaks(record.exc_info[1])


class LeakyStore(MemoryTokenStore):
    failing = ""

    async def load(self, key: str) -> StoredToken | None:
        if self.failing == "load":
            raise ValueError(TOKEN)
        return await super().load(key)

    async def save(self, key: str, token: StoredToken) -> None:
        if self.failing == "save":
            raise ValueError(token.access_token) from KeyError(token.refresh_token)
        await super().save(key, token)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("failing", ["load", "save"])
async def test_no_store_that_fails_makes_an_app_show_a_secret(flow: str, failing: str) -> None:
    """Nor the frames of ours that its error went through."""
    pair = b'{"access_token": "%s", "refresh_token": "%s", "locationId": "loc"}' % (OTHER.encode(), GRANT.encode())
    store = LeakyStore()
    await store.save("loc", STORED)
    await store.save("com", AGENCY)
    store.failing = failing
    async with raw_server(answer(200, pair), answer(200, pair)) as server:
        app = OAuthApp("client", CLIENT_SECRET, base_url=server.url, store=store)
        check_nothing_leaks(await interrupt("", server, FLOWS[flow](app)))


async def test_no_store_in_a_file_that_fails_shows_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be read, a token that cannot be kept, a disk that is full."""
    path = tmp_path / "tokens.json"
    store = FileTokenStore(path)
    path.write_text(f'{{"loc": "{TOKEN}"')
    path.chmod(0o600)
    errors: list[BaseException | None] = []
    for work in (store.load("loc"), store.save("loc", STORED)):
        errors.append(await interrupt("", RawServer([]), work))
    path.unlink()
    odd = msgspec.structs.replace(STORED, expires_at=float("nan"))
    errors.append(await interrupt("", RawServer([]), store.save("loc", odd)))

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            errors.append(await interrupt("", RawServer([]), store.save("loc", STORED)))
    for error in errors:
        assert isinstance(error, TokenStoreError)
        check_nothing_leaks(error)


async def test_no_shared_store_that_fails_shows_a_key_or_a_token(tmp_path: Path) -> None:
    """Another key, an altered value, a copied one, a plain one, a lost lock, a server that is away."""
    url = f"sqlite:///{tmp_path}/tokens.db"
    store, other = SQLTokenStore(url, key=KEY), SQLTokenStore(url, key=f"{NEWER_KEY}")
    plain = SQLTokenStore(url, key=None)
    far = [
        SQLTokenStore(f"postgresql://user:{PASSWORD}@127.0.0.1:1/x", key=KEY),
        RedisTokenStore(f"redis://user:{PASSWORD}@127.0.0.1:1", key=KEY),
    ]

    async def lose_lock() -> None:
        async with store.lock("lost"):
            await store.load("lost")
            await store._rows.replace("/lost", other._encode("/lost", AGENCY))
            await store.save("lost", STORED)

    odd = msgspec.structs.replace(STORED, expires_at=float("nan"))
    await store.save("loc", STORED)
    await plain.save("plain", STORED)
    value = await store._rows.read("/loc")
    assert value is not None
    await store._rows.replace("/copied", value)
    await store._rows.replace("/altered", value[:-2] + b"==")
    await store._rows.replace("/junk", b'{"access_token": "' + TOKEN.encode())
    works: list[Coroutine[Any, Any, object]] = [
        other.load("loc"),
        plain.load("loc"),
        store.load("copied"),
        store.load("altered"),
        store.load("junk"),
        store.save("loc", odd),
        lose_lock(),
        *(one.save("loc", STORED) for one in far),
        *(one.load("loc") for one in far),
    ]
    errors = [await interrupt("", RawServer([]), work) for work in works]
    for one in (store, other, plain, *far):
        await one.aclose()
        assert not [secret for secret in (KEY, NEWER_KEY, PASSWORD) if secret in repr(vars(one))]
    for error in errors:
        assert isinstance(error, TokenStoreError)
        check_nothing_leaks(error)


@pytest.mark.parametrize("key", [f"{KEY}x", f"{KEY},", KEY.encode(), [KEY], f"{NEWER_KEY},{KEY[:20]}"])
def test_a_key_that_cannot_be_used_is_not_shown(key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is given, nor a good one beside a URL that cannot be used."""
    makes: list[Callable[[], object]] = [
        lambda: SQLTokenStore("sqlite:///x.db", key=key),
        lambda: RedisTokenStore("redis://127.0.0.1", key=key),
        lambda: Shared("redis://127.0.0.1", key=key).token_store(),
        lambda: SQLTokenStore(f"mysql://user:{PASSWORD}@x", key=KEY),
        lambda: SQLTokenStore("sqlite:///x.db", key=KEY, lock_seconds=-1),
        lambda: Shared(f"redis://user:{PASSWORD}@x.example", key=KEY),
    ]
    if isinstance(key, str):
        monkeypatch.setenv("LEADCONNECTOR_KEY", key)
        makes.append(lambda: RedisTokenStore("redis://127.0.0.1"))
    for make in makes:
        with pytest.raises(ConfigurationError) as caught:
            make()
        check_nothing_leaks(caught.value)


async def test_the_whole_of_a_sandbox_call_shows_no_token_either() -> None:
    """A token that a real app has renewed meanwhile."""
    async with Sandbox(appointments=1) as sandbox, aiohttp.ClientSession() as session:
        client = LeadConnector(sandbox.token, base_url=sandbox.url, session=session)
        error = await interrupt("", RawServer([]), wrap(client.get_appointment("nobody")))
        await client.aclose()
    assert error is not None
    assert sandbox.token[:20] not in show_all(error)


@pytest.mark.parametrize(
    "address",
    [
        "https://user:{}@x.example",
        "https://{}@x.example",
        "https://x.example:{}",
        "https://us er:{}@x.example\n",
        " https://user:{}@x.example",
        "https://user:{}@[x",
        "https://x.example/?key={}",
        "https://x.example/#{}",
        "ftp://user:{}@x.example",
        "http://user:{}@x.example",
        "user:{}@x.example",
    ],
)
async def test_a_password_in_a_base_url_is_shown_nowhere(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such an address is refused, whoever is given it, and not repeated by the error nor by its frames."""
    url = address.format(CLIENT_SECRET)
    for name, value in {"TOKEN": TOKEN, "LOCATION_ID": "loc", "BASE_URL": url}.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
    makes: list[Callable[[], object]] = [
        lambda: LeadConnector(TOKEN, base_url=url),
        lambda: LeadConnector(TOKEN, base_url=url.encode()),  # type: ignore[arg-type]
        lambda: OAuthApp("client", "the-secret", base_url=url),
        LeadConnector.from_env,
        make_client,
    ]
    for make in makes:
        with pytest.raises(ConfigurationError, match="base_url") as caught:
            make()
        check_nothing_leaks(caught.value)


@pytest.mark.parametrize("asked", ["refreshing", "rotating"])
async def test_a_token_that_was_renewed_meanwhile_is_not_shown_either(asked: str) -> None:
    """A server that names the token of an earlier attempt, beside the new one or alone, cut off or whole.

    Both begin alike, as all tokens of one issuer do.
    """
    header = "eyJhbGciOiJIUzI1NiJ9.very-secret-"
    tokens = [f"{header}{part * 20}" for part in ("old1", "new2")]

    class Source:
        given = 0

        async def __call__(self) -> str:
            self.given += 1
            return tokens[asked == "rotating" and self.given > 1]

        async def refresh(self, rejected: str) -> str:
            return tokens[1]

    text = f"{tokens[0]} and {tokens[1]}, {tokens[0]}, {tokens[0][:50]}"
    last = [
        answer(400, b'{"message":"%s"}' % text.encode()),
        answer(404, text.encode()),
        answer(200, b"<html>" + text.encode()),
        answer(200, b'["%s"]' % text.encode()),
    ]
    for one in last:
        first = answer(401, b'{"message":"Invalid JWT"}') if asked == "refreshing" else answer(408, b"")
        async with raw_server(first, one) as server:
            policy = RetryPolicy(max_attempts=2, backoff_base=0.001, on_ambiguous="raise")
            async with LeadConnector(Source(), base_url=server.url, retry=policy) as client:
                error = await interrupt("", server, wrap(client.create_note("ev1", "x")))
        assert error is not None
        shown = show_all(error)
        assert not [part for part in ("old1", "new2", "very-secret") if part in shown], shown[:2000]
