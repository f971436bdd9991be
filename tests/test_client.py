"""The session manager: settings, copies, tokens, whole answers, any other path."""

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any, get_type_hints

import aiohttp
import pytest

from leadconnector_async import (
    Appointment,
    AppointmentUpdate,
    AuthenticationError,
    ConfigurationError,
    DailyLimitError,
    InvalidEventError,
    LeadConnector,
    NotFoundError,
    PermissionDeniedError,
    RateLimit,
    RateLimitedError,
    RetryPolicy,
    Shared,
    Timeouts,
    TokenExpiredError,
    UnprocessableError,
    with_response,
)
from leadconnector_async import client as client_module
from leadconnector_async._client.environment import ClientOptions
from leadconnector_async.sandbox import Limits, Sandbox

from .conftest import QUICK, MakeClient
from .raw_server import answer, raw_server

UPDATE = AppointmentUpdate(title="Intro call", appointment_status="confirmed")
OK = answer(200, b'{"id":"ev1"}')


async def test_an_update_changes_the_appointment_and_returns_it(sandbox: Sandbox, client: LeadConnector) -> None:
    """From a typed payload over a socket to the server's state, and back."""
    event_id = sandbox.appointment_ids[0]
    updated = await client.update_appointment(event_id, UPDATE)
    assert (updated.id, updated.title) == (event_id, "Intro call")
    assert sandbox.appointment(event_id).title == "Intro call"
    read = await client.get_appointment(event_id)
    assert read.start_time == updated.start_time == sandbox.appointment(event_id).start_time


async def test_a_thousand_updates_gathered_simply_work(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Each waits its turn as long as its turn takes; none is refused, never more than N in T."""
    sandbox.limits = Limits(max_requests=400, interval=0.5)
    client = make_client()
    ids = sandbox.appointment_ids
    await asyncio.gather(*(client.update_appointment(ids[n % len(ids)], UPDATE) for n in range(1000)))
    assert sandbox.requests.count_statuses() == {200: 1000}
    assert sandbox.requests.count_most_in(0.5) <= 400


async def test_the_whole_answer_can_be_had(sandbox: Sandbox, client: LeadConnector) -> None:
    """Value, status, headers, trace id, quota, attempts and body, from the same operations."""
    sandbox.faults.plan("get_appointment", ["503"])
    whole = await with_response(client.get_appointment(sandbox.appointment_ids[0]))
    assert whole.value.id == sandbox.appointment_ids[0]
    assert (whole.status, whole.attempts, whole.unread) == (200, 2, ())
    assert whole.headers["X-RateLimit-Max"] == "10000"
    assert (whole.quota.limit, whole.quota.interval, whole.quota.daily_limit) == (10_000, 0.5, 200_000)
    assert whole.trace_id == "00000000-0000-0000-0000-000000000002"
    assert whole.body.startswith(b'{"event":{"id":"')


async def test_whole_answers_of_concurrent_calls_do_not_mix(sandbox: Sandbox, client: LeadConnector) -> None:
    """Each task gets its own."""
    ids = sandbox.appointment_ids[:20]
    answers = await asyncio.gather(*(with_response(client.get_appointment(event_id)) for event_id in ids))
    assert [one.value.id for one in answers] == list(ids)


async def test_answer_of_a_task_or_of_something_else_says_what_it_takes(client: LeadConnector) -> None:
    """What was started elsewhere cannot be listened to."""

    async def other() -> int:
        return 1

    with pytest.raises(TypeError, match="has not started"):
        await with_response(other())


async def test_any_other_path_goes_through_the_same_pipeline(sandbox: Sandbox, client: LeadConnector) -> None:
    """Limiter, retry and errors included; JSON or a type of one's own comes back."""
    path = f"/calendars/events/appointments/{sandbox.appointment_ids[0]}"
    sandbox.faults.plan("get_appointment", ["503"])
    value = await client.request("GET", path)
    assert isinstance(value, dict)
    assert value.keys() == {"event", "traceId"}
    typed = await client.request("PUT", path, body=UPDATE, response_type=Appointment)
    assert typed.title == "Intro call"
    with pytest.raises(NotFoundError, match="Cannot GET /contacts"):
        await client.request("GET", "/contacts", query={"locationId": "x y&z"})


async def test_a_query_is_encoded() -> None:
    """Names and values stay what they are."""
    async with (
        raw_server(answer(200, b"[]")) as server,
        LeadConnector("t", base_url=server.url + "/base/") as client,
    ):
        assert await client.request("GET", "/a%20b", query={"q": "x y&z/ä", "n": 5}) == []
    assert server.requests[0].startswith(b"GET /base/a%20b?q=x+y%26z/%C3%A4&n=5 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "empty"),
        ("pit-x\n", "not allowed in a header"),
        ("pit-x\r\nX-Evil: 1", "not allowed in a header"),
        (" pit-x", "not allowed in a header"),
        ("pit-\x00x", "not allowed in a header"),
        ("pit-ä", "not allowed in a header"),
        ("Bearer pit-x", "not allowed in a header"),
        (None, "NoneType"),
        (b"pit-x", "bytes"),
    ],
)
def test_a_token_that_cannot_be_one_is_refused_unseen(token: Any, reason: str) -> None:
    """The error says what is wrong and does not show it."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        LeadConnector(token)
    assert "pit-" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://services.leadconnectorhq.com",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://127.0.0.1",
        "https://services..leadconnectorhq.com",
        f"https://{'s' * 64}.leadconnectorhq.com",
        "services.leadconnectorhq.com",
        "https://user:pw@services.leadconnectorhq.com",
        "https://services.leadconnectorhq.com/?a=b",
        "https://services.leadconnectorhq.com/#a",
        "",
        "https://",
    ],
)
def test_an_address_that_would_give_the_token_away_is_refused(base_url: str) -> None:
    """TLS always, except to loopback."""
    with pytest.raises(ConfigurationError, match="base_url"):
        LeadConnector("t", base_url=base_url)


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:80", "http://[::1]:80", "http://localhost", "http://127.9.9.9"]
)
def test_loopback_may_go_without_tls(base_url: str) -> None:
    """For the sandbox and for tests."""
    assert LeadConnector("t", base_url=base_url)


@pytest.mark.parametrize("name", ["version", "app_info"])
@pytest.mark.parametrize("value", ["a\r\nX: y", "", "ä"])
def test_a_header_value_of_ones_own_must_be_one_plain_line(name: str, value: str) -> None:
    """No header can be smuggled in."""
    with pytest.raises(ConfigurationError, match=name):
        LeadConnector("t", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(max_attempts=0),
        lambda: RetryPolicy(max_attempts=True),
        lambda: RetryPolicy(deadline=0),
        lambda: RetryPolicy(backoff_base=float("nan")),
        lambda: RetryPolicy(backoff_cap=-1),
        lambda: RetryPolicy(on_ambiguous="maybe"),  # type: ignore[arg-type]
        lambda: RateLimit(max_requests=0),
        lambda: RateLimit(interval=float("inf")),
        lambda: Timeouts(connect=0),
        lambda: Timeouts(total="5"),  # type: ignore[arg-type]
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_it_is_made(make: Any) -> None:
    """By name and value."""
    with pytest.raises(ConfigurationError, match=r"(RetryPolicy|RateLimit|Timeouts)\.\w+ is"):
        make()


async def test_headers_carry_version_and_app_info() -> None:
    """`Version`, and a User-Agent of our own with the program's name behind it."""
    async with raw_server(OK) as server:
        async with LeadConnector("t", base_url=server.url, version="v3", app_info="mover/2.1") as client:
            await client.get_appointment("ev1")
    assert b"\r\nVersion: v3\r\n" in server.requests[0]
    assert b" mover/2.1\r\n" in server.requests[0]


async def test_a_copy_shares_connections_and_limiter_and_closes_nothing() -> None:
    """Other settings, the same socket, the same slots."""
    async with raw_server(OK, OK, OK) as server, LeadConnector("t", base_url=server.url) as client:
        await client.get_appointment("ev1")
        async with client.with_options(version="v3", retry=RetryPolicy(max_attempts=1)) as copy:
            await copy.get_appointment("ev1")
        await client.get_appointment("ev1")
        assert server.connections == 1
        assert b"Version: v3" in server.requests[1]
        assert b"Version: 2021-04-15" in server.requests[2]
        assert copy._shared is client._shared


async def test_a_client_that_is_closed_says_so(sandbox: Sandbox, client: LeadConnector) -> None:
    """Also one that was never used; closing twice is no error."""
    await client.aclose()
    await client.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await client.get_appointment(sandbox.appointment_ids[0])


async def test_from_env_reads_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Token, location, address and log level."""
    logger = logging.getLogger("leadconnector_async")
    monkeypatch.setattr(logger, "level", logger.level)
    async with raw_server(OK) as server:
        for name, value in (("TOKEN", "pit-e"), ("LOCATION_ID", "loc"), ("BASE_URL", server.url), ("LOG", "debug")):
            monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
        async with LeadConnector.from_env(app_info="x/1") as client:
            await client.get_appointment("ev1")
        assert "location_id='loc'" in repr(client)
    assert b"Authorization: Bearer pit-e\r\n" in server.requests[0]
    assert logger.level == logging.DEBUG
    logger.setLevel(logging.NOTSET)


def test_from_env_takes_what_the_constructor_takes() -> None:
    """Every option, by the same name and of the same type; the token is that of the environment."""
    names = vars(client_module) | {"Shared": Shared}
    taken = get_type_hints(LeadConnector.__init__, names)
    assert {"token", "location_id", "session"} < taken.keys()
    wanted = {name: kind for name, kind in taken.items() if name not in ("token", "return")}
    assert get_type_hints(ClientOptions, localns=names) == wanted


async def test_what_is_passed_takes_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is `None`; but not over `LEADCONNECTOR_ACCESS=read`."""
    async with raw_server(OK, OK) as server:
        for name, value in (("TOKEN", "pit-e"), ("LOCATION_ID", "loc"), ("BASE_URL", "https://a.example")):
            monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
        monkeypatch.setenv("LEADCONNECTOR_SHARED", "postgresql://nowhere.example/x")
        async with aiohttp.ClientSession() as session:
            limit = RateLimit(max_requests=7)
            async with LeadConnector.from_env(
                base_url=server.url,
                location_id="mine",
                shared=None,
                session=session,
                rate_limit=limit,
                timeouts=None,
                retry=None,
            ) as client:
                await client.get_appointment("ev1")
                assert client.quota.limit == 7
                assert (client.location_id, client.shared) == ("mine", None)
            assert not session.closed
            assert LeadConnector.from_env(location_id=None, shared=None).location_id is None
    monkeypatch.setenv("LEADCONNECTOR_ACCESS", "read")
    assert LeadConnector.from_env(access="write", shared=None).access == "read"


async def test_a_store_that_is_passed_stays_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only one that `from_env` has opened is closed with the client."""
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-e")
    monkeypatch.setenv("LEADCONNECTOR_SHARED", f"sqlite:///{tmp_path}/other.db")
    async with Shared(f"sqlite:///{tmp_path}/mine.db") as shared, raw_server(OK, OK) as server:
        for _ in range(2):
            async with LeadConnector.from_env(shared=shared, base_url=server.url) as client:
                assert client.shared is shared
                await client.get_appointment("ev1")
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("variables", "reason"),
    [({}, "LEADCONNECTOR_TOKEN is not set"), ({"TOKEN": "t", "LOG": "loud"}, "LEADCONNECTOR_LOG")],
)
def test_from_env_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], reason: str
) -> None:
    """In the names of the variables."""
    monkeypatch.delenv("LEADCONNECTOR_TOKEN", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
    with pytest.raises(ConfigurationError, match=reason):
        LeadConnector.from_env()


async def test_an_expired_token_is_fetched_anew_once(sandbox: Sandbox, make_client: MakeClient) -> None:
    """`Invalid JWT`: the provider is asked again, and the new token is tried."""
    stale, fresh = sandbox.issue_token("access"), sandbox.issue_token("access")
    sandbox.expire_token(stale)
    given = iter([stale])

    async def provide() -> str:
        return next(given, fresh)

    whole = await with_response(make_client(provide).get_appointment(sandbox.appointment_ids[0]))
    assert whole.attempts == len(sandbox.requests) == 2


async def test_an_expired_token_without_another_is_final(sandbox: Sandbox, make_client: MakeClient) -> None:
    """A fixed one cannot be refreshed, nor one that the provider gives again: tried once more, it is believed."""
    stale = sandbox.issue_token("access")
    sandbox.expire_token(stale)

    async def provide() -> str:
        return stale

    for token in (stale, provide):
        sandbox.requests.clear()
        with pytest.raises(TokenExpiredError, match="expired"):
            await make_client(token).get_appointment(sandbox.appointment_ids[0])
        assert len(sandbox.requests) == 2


async def test_a_provider_that_fails_costs_no_slot(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Its error is the caller's; a bad token of its is refused before it is sent."""
    sandbox.limits = Limits(max_requests=1, interval=60.0)
    tokens = iter([OSError("vault"), "pit-x\n", sandbox.token])

    async def provide() -> str:
        token = next(tokens)
        if isinstance(token, OSError):
            raise token
        return token

    client = make_client(provide)
    with pytest.raises(OSError, match="vault"):
        await client.get_appointment(sandbox.appointment_ids[0])
    with pytest.raises(ConfigurationError, match="line break"):
        await client.get_appointment(sandbox.appointment_ids[0])
    async with asyncio.timeout(30):
        assert await client.get_appointment(sandbox.appointment_ids[0])


async def test_refusals_of_the_server_have_their_own_errors(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Token, scope, user type, location, event, team: each its type, none repeated."""
    event_id = sandbox.appointment_ids[0]
    cases: list[tuple[str | None, str, type[Exception], str]] = [
        ("pit-unknown", event_id, AuthenticationError, "Copy the Private Integration token"),
        (sandbox.issue_token(scopes=()), event_id, AuthenticationError, "Grant the scope"),
        (sandbox.issue_token(user_type="Company"), event_id, AuthenticationError, "not of the agency"),
        (sandbox.issue_token(location_id="other"), event_id, PermissionDeniedError, "does not have access"),
        (None, "nobody", InvalidEventError, "never existed"),
    ]
    for token, event, error, text in cases:
        sandbox.requests.clear()
        with pytest.raises(error, match=text):
            await make_client(token).update_appointment(event, UPDATE)
        assert len(sandbox.requests) == 1
    with pytest.raises(UnprocessableError, match="member of the calendar's team"):
        await make_client().update_appointment(event_id, AppointmentUpdate(assigned_user_id="stranger"))


async def test_an_instance_of_a_series_is_changed_alone(sandbox: Sandbox, client: LeadConnector) -> None:
    """By its instance id; the master stays as it is."""
    master = sandbox.appointment(sandbox.series_ids[0])
    length = int((master.end_time - master.start_time).total_seconds())
    event_id = f"{master.id}_{int(master.start_time.timestamp() * 1000)}_{length}"
    await client.update_appointment(event_id, AppointmentUpdate(title="Moved"))
    assert sandbox.appointment(event_id).title == "Moved"
    assert sandbox.appointment(master.id) == master


async def test_the_daily_limit_is_no_reason_to_wait(make_client: MakeClient, sandbox: Sandbox) -> None:
    """The server's refusal is final at once, with the time until the reset."""
    sandbox.limits = Limits(daily=1)
    await make_client().get_appointment(sandbox.appointment_ids[0])
    with pytest.raises(DailyLimitError) as caught:
        await make_client().get_appointment(sandbox.appointment_ids[0])
    assert caught.value.attempts == 1
    assert caught.value.retry_after == pytest.approx(86_400, abs=5)


async def test_a_429_ends_a_call_only_at_its_deadline(sandbox: Sandbox, client: LeadConnector) -> None:
    """Waiting out a pause is no attempt, however often; a pause that would pass the deadline is not begun."""
    sandbox.faults.plan("update_appointment", ["429 retry-after=0.01"] * 8)
    whole = await with_response(client.update_appointment(sandbox.appointment_ids[0], UPDATE))
    assert whole.attempts == 9
    sandbox.faults.plan("update_appointment", ["429 retry-after=60"])
    hurried = client.with_options(retry=RetryPolicy(deadline=30.0))
    with pytest.raises(RateLimitedError) as caught:
        await hurried.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert (caught.value.attempts, caught.value.outcome, caught.value.retry_after) == (1, "not_applied", 60.0)


async def test_a_client_can_be_made_outside_a_loop_and_leaves_no_task_behind(sandbox: Sandbox) -> None:
    """Connections are opened on first use; after closing nothing is left to do."""
    client = await asyncio.to_thread(LeadConnector, sandbox.token, base_url=sandbox.url, retry=QUICK)
    before = asyncio.all_tasks()
    await client.get_appointment(sandbox.appointment_ids[0])
    await client.aclose()
    gc.collect()
    assert {task for task in asyncio.all_tasks() - before if "client" in repr(task)} == set()


async def test_a_session_of_the_callers_survives_many_clients(sandbox: Sandbox) -> None:
    """One pool for all."""
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with LeadConnector(sandbox.token, base_url=sandbox.url, session=session) as client:
                await client.get_appointment(sandbox.appointment_ids[0])
        assert not session.closed
