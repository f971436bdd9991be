"""Tokens of an app: one renewal for all, nothing lost, nothing shown."""

import asyncio
import gc
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from msgspec import structs

from leadconnector_async import (
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    Event,
    FileTokenStore,
    InvalidRequestError,
    LeadConnector,
    LeadConnectorError,
    MemoryTokenStore,
    OAuthApp,
    ReconnectRequiredError,
    ServerError,
    StoredToken,
    Timeouts,
    TokenExpiredError,
    TokenStoreError,
    TransportError,
)
from leadconnector_async._oauth import endpoint, refresh
from leadconnector_async.sandbox import Sandbox, TokenRules

from ..conftest import QUICK, MakeClient
from ..raw_server import answer, raw_server
from ..test_secrets import show

DAY = 86_400.0


class Clock:
    """The seconds since the epoch, as a test wants them."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long pauses between the tries of a renewal."""
    monkeypatch.setattr(endpoint, "_PAUSE", 0.01)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryTokenStore:
    return MemoryTokenStore()


MakeApp = Callable[..., OAuthApp]


@pytest.fixture
def make_app(sandbox: Sandbox, store: MemoryTokenStore, clock: Clock) -> MakeApp:
    def make(**options: Any) -> OAuthApp:
        settings = {"store": store, "base_url": sandbox.url, "clock": clock, **options}
        return OAuthApp(sandbox.client_id, sandbox.client_secret, **settings)

    return make


@pytest.fixture
async def app(sandbox: Sandbox, make_app: MakeApp) -> OAuthApp:
    """An app that the clinic has connected."""
    app = make_app(redirect_uri="https://example.com/back")
    await app.exchange_code(sandbox.issue_code())
    sandbox.requests.clear()
    return app


def pass_time(sandbox: Sandbox, clock: Clock, seconds: float) -> None:
    clock.now += seconds
    sandbox.advance(seconds)


def count_renewals(sandbox: Sandbox) -> int:
    return len(sandbox.requests.of("oauth_token"))


async def see_renewal(sandbox: Sandbox, count: int = 1) -> None:
    """Wait until a renewal has reached the server."""
    async with asyncio.timeout(30):
        while count_renewals(sandbox) < count:
            await asyncio.sleep(0.001)


async def read_stored(store: MemoryTokenStore, key: str) -> StoredToken:
    token = await store.load(key)
    assert token is not None
    return token


class SlowStore(MemoryTokenStore):
    """Its first save takes very long."""

    def __init__(self, behind: MemoryTokenStore, *, slow: bool = True) -> None:
        super().__init__()
        self.behind, self.slow, self.saving = behind, slow, False

    async def load(self, key: str) -> StoredToken | None:
        return await self.behind.load(key)

    async def save(self, key: str, token: StoredToken) -> None:
        if self.slow:
            self.slow, self.saving = False, True
            await asyncio.sleep(60)
        await self.behind.save(key, token)

    async def see_saving(self) -> None:
        async with asyncio.timeout(30):
            while not self.saving:
                await asyncio.sleep(0.001)


def test_a_user_is_sent_to_the_vendor_with_scopes_and_state(make_app: MakeApp) -> None:
    """Everything is in the address, percent-encoded; without redirect_uri or state there is none."""
    app = make_app(redirect_uri="https://example.com/back?x=1")
    url = app.authorize_url(["calendars/events.write", "calendars.readonly"], state="a b&c")
    assert url.startswith("https://marketplace.gohighlevel.com/v2/oauth/chooselocation?response_type=code&")
    for part in ("scope=calendars/events.write", "calendars.readonly", "state=a+b%26c", "client_id="):
        assert part in url
    assert "redirect_uri=https://example.com/back?x%3D1&" in url
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        make_app().authorize_url(["x"], state="s")
    with pytest.raises(ConfigurationError, match="state"):
        app.authorize_url(["x"], state="")


@pytest.mark.parametrize(
    "settings", [{"client_id": ""}, {"client_secret": "x\n"}, {"base_url": "http://example.com"}, {"timeouts": 1}]
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    """Before anything is asked; the secret is not repeated."""
    settings = {"client_id": "id", "client_secret": "secret-0123456789", **settings}
    if "timeouts" in settings:
        settings["timeouts"] = Timeouts(total=30)
    with pytest.raises(ConfigurationError) as caught:
        OAuthApp(**settings)
    assert "secret-0123456789" not in str(caught.value)


async def test_a_refresh_is_logged_once_it_is_saved(
    sandbox: Sandbox, make_app: MakeApp, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """At level DEBUG, with the key; a token that is only read is not."""
    caplog.set_level(logging.DEBUG, "leadconnector_async")
    app = make_app()
    await app.exchange_code(sandbox.issue_code())
    provider = app.provider(sandbox.location_id)
    await provider()
    assert "was refreshed" not in caplog.text
    clock.now += DAY
    token = await provider()
    assert [record.getMessage() for record in caplog.records if "refreshed" in record.getMessage()] == [
        f"the token of {sandbox.location_id} was refreshed"
    ]
    assert token not in caplog.text


async def test_a_code_becomes_a_stored_token_that_works(
    sandbox: Sandbox, make_app: MakeApp, store: MemoryTokenStore, clock: Clock, make_client: MakeClient
) -> None:
    """Under its location's id, with the moment at which it expires."""
    app = make_app()
    token = await app.exchange_code(sandbox.issue_code())
    assert await store.load(sandbox.location_id) == token
    assert (token.location_id, token.company_id) == (sandbox.location_id, sandbox.company_id)
    assert token.expires_at == clock.now + 86_399
    assert await make_client(app.provider(sandbox.location_id)).get_appointment(sandbox.appointment_ids[0])
    with pytest.raises(ReconnectRequiredError, match=r"invalid_grant.*this code.*authorize_url"):
        await app.exchange_code("used")


@pytest.mark.parametrize("code", ["", " c0de", "c0de\n", "c0\x00de", "c0de\ud800"])
async def test_what_cannot_be_a_code_is_the_fault_of_whoever_sent_it(
    code: str, sandbox: Sandbox, app: OAuthApp
) -> None:
    """It is in the query of whoever visits the redirect URI: the settings are not to blame. It is not shown."""
    with pytest.raises(InvalidRequestError) as caught:
        await app.exchange_code(code)
    assert caught.value.field == "code"
    assert "c0de" not in str(caught.value)
    assert len(sandbox.requests) == 0


async def test_a_hundred_tasks_share_one_renewal(
    sandbox: Sandbox,
    app: OAuthApp,
    store: MemoryTokenStore,
    clock: Clock,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All need a new token at once; the store is locked once, one refresh reaches the server, all succeed."""
    client = make_client(app.provider(sandbox.location_id))
    event_id = sandbox.appointment_ids[0]
    await client.get_appointment(event_id)  # from here on the limiter lets all of them go at once
    sandbox.requests.clear()
    locked: list[str] = []
    lock = store.lock
    monkeypatch.setattr(store, "lock", lambda key: locked.append(key) or lock(key))
    pass_time(sandbox, clock, DAY)
    found = await asyncio.gather(*[client.get_appointment(event_id) for _ in range(100)])
    assert [one.id for one in found] == [event_id] * 100
    assert count_renewals(sandbox) == 1
    assert sandbox.requests.count_statuses() == {200: 101}
    assert locked == [sandbox.location_id]


async def test_a_hundred_tasks_refused_with_invalid_jwt_share_one_renewal(
    sandbox: Sandbox, app: OAuthApp, make_client: MakeClient
) -> None:
    """The server calls the token expired before the clock does: all are refused, one renews, all succeed."""
    client = make_client(app.provider(sandbox.location_id))
    event_id = sandbox.appointment_ids[0]
    await client.get_appointment(event_id)
    sandbox.requests.clear()
    sandbox.advance(DAY)
    sandbox.faults.plan("oauth_token", ["stall 0.3"])
    found = await asyncio.gather(*[client.get_appointment(event_id) for _ in range(100)])
    assert [one.id for one in found] == [event_id] * 100
    assert count_renewals(sandbox) == 1
    assert sandbox.requests.count_statuses() == {401: 100, 200: 101}


async def test_a_refused_token_is_not_given_again_by_a_renewal_that_did_not_know(
    sandbox: Sandbox, app: OAuthApp, make_app: MakeApp
) -> None:
    """Somebody asks for a token, and shares what is found in the store with one whom it was refused."""
    first = await app.provider(sandbox.location_id)()
    provide = make_app().provider(sandbox.location_id)
    found, renewed = await asyncio.gather(provide(), provide.refresh(first))
    assert found == first != renewed
    assert count_renewals(sandbox) == 1


async def test_a_token_is_renewed_some_minutes_before_it_expires(
    sandbox: Sandbox, app: OAuthApp, clock: Clock
) -> None:
    """Five minutes by default; not earlier."""
    provide = app.provider(sandbox.location_id)
    first = await provide()
    pass_time(sandbox, clock, 86_399 - 301)
    assert await provide() == first
    pass_time(sandbox, clock, 1)
    assert await provide() != first
    assert count_renewals(sandbox) == 1


async def test_short_lived_tokens_are_not_renewed_with_every_call(
    sandbox: Sandbox, make_app: MakeApp, clock: Clock
) -> None:
    """One that lives for a minute is renewed half-way, not at once."""
    sandbox.token_rules = TokenRules(expires_in=60)
    app = make_app()
    await app.exchange_code(sandbox.issue_code())
    provide = app.provider(sandbox.location_id)
    first = await provide()
    clock.now += 29
    assert await provide() == first
    clock.now += 1
    assert await provide() != first


async def test_a_token_that_still_works_outlives_a_failing_renewal(
    sandbox: Sandbox, app: OAuthApp, clock: Clock
) -> None:
    """An early renewal that fails costs nobody anything, and is not tried again at once."""
    provide = app.provider(sandbox.location_id)
    first = await provide()
    pass_time(sandbox, clock, 86_399 - 200)
    sandbox.faults.plan("oauth_token", ["lose-response", "400"])
    assert [await provide(), await provide()] == [first, first]
    assert count_renewals(sandbox) == 2
    pass_time(sandbox, clock, 6)
    assert await provide() != first


async def test_a_renewal_that_took_long_to_fail_is_not_tried_again_at_once(
    sandbox: Sandbox, app: OAuthApp, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seconds before the next one count from its end."""
    pass_time(sandbox, clock, 86_399 - 200)
    provide = app.provider(sandbox.location_id)

    async def fail(_: StoredToken) -> StoredToken:
        clock.now += 24
        tries.append(clock.now)
        raise TransportError("no answer")

    tries: list[float] = []
    monkeypatch.setattr(app._refresher, "_refresh_token", fail)
    assert await provide() == await provide()
    assert len(tries) == 1


@pytest.mark.parametrize("fault", ["lose-response", "half-body", "reset", "503-after-apply", "html 502"])
async def test_a_lost_answer_to_a_renewal_loses_no_access(
    sandbox: Sandbox, app: OAuthApp, clock: Clock, store: MemoryTokenStore, fault: str
) -> None:
    """The same refresh token is sent again at once, in its grace; the pair is stored, and renewed next time."""
    for _ in range(2):
        before = await read_stored(store, sandbox.location_id)
        pass_time(sandbox, clock, DAY)
        sandbox.requests.clear()
        sandbox.faults.plan("oauth_token", [fault])
        token = await app.provider(sandbox.location_id)()
        after = await read_stored(store, sandbox.location_id)
        assert after.access_token == token != before.access_token
        assert after.refresh_token != before.refresh_token
        assert count_renewals(sandbox) == 2


async def test_an_answer_that_takes_too_long_is_asked_for_again(
    sandbox: Sandbox, app: OAuthApp, make_app: MakeApp, clock: Clock
) -> None:
    """In time for the grace."""
    pass_time(sandbox, clock, DAY)
    sandbox.faults.plan("oauth_token", ["stall 5"])
    assert await make_app(timeouts=Timeouts(total=1.0)).provider(sandbox.location_id)()
    assert count_renewals(sandbox) == 2


@pytest.mark.parametrize("moment", ["asking", "saving"])
async def test_the_end_of_asyncio_run_loses_no_pair(
    sandbox: Sandbox, app: OAuthApp, make_app: MakeApp, store: MemoryTokenStore, clock: Clock, moment: str
) -> None:
    """It cancels the renewal after the server has used the refresh token up; nobody comes within the grace."""
    pass_time(sandbox, clock, DAY)
    slow = SlowStore(store, slow=moment == "saving")
    ending = make_app(store=slow)
    if moment == "asking":
        sandbox.faults.plan("oauth_token", ["stall 30"])

    async def main() -> None:
        renewal = asyncio.create_task(ending.provider(sandbox.location_id)())
        await (see_renewal(sandbox) if moment == "asking" else slow.see_saving())
        assert not renewal.done()

    await asyncio.to_thread(asyncio.run, main())
    pass_time(sandbox, clock, 3600)
    assert await make_app().provider(sandbox.location_id)()
    assert count_renewals(sandbox) == (2 if moment == "asking" else 1)


async def test_a_renewal_that_is_cancelled_twice_ends_at_once(
    sandbox: Sandbox, app: OAuthApp, make_app: MakeApp, clock: Clock, store: MemoryTokenStore
) -> None:
    """As in a crash, the next process finds the old refresh token in the store, and it still works."""
    pass_time(sandbox, clock, DAY)
    sandbox.faults.plan("oauth_token", ["stall 30"] * 2)
    crashing = make_app()
    crashed = asyncio.create_task(crashing.provider(sandbox.location_id)())
    for count in (1, 2):
        await see_renewal(sandbox, count)
        crashing._refresher._states[sandbox.location_id].task.cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(crashed, return_exceptions=True)
    assert not store.lock(sandbox.location_id).locked()  # type: ignore[attr-defined]
    pass_time(sandbox, clock, 20)
    assert await make_app().provider(sandbox.location_id)()
    assert count_renewals(sandbox) == 3


@pytest.mark.parametrize("hangs", [True, False])
async def test_the_end_waits_for_a_pair_no_longer_than_it_can_be_saved(
    sandbox: Sandbox,
    app: OAuthApp,
    clock: Clock,
    store: MemoryTokenStore,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    hangs: bool,
) -> None:
    """A store that hangs or fails then is in the log, with no secret."""
    monkeypatch.setattr(refresh, "_LAST_SECONDS", 0.05)
    pass_time(sandbox, clock, DAY)
    sandbox.faults.plan("oauth_token", ["stall 30"])
    waiter = asyncio.create_task(app.provider(sandbox.location_id)())
    await see_renewal(sandbox)

    async def fail(_: str) -> None:
        if hangs:
            await asyncio.sleep(60)
        raise OSError("access-0123456789")

    monkeypatch.setattr(store, "load", fail)
    app._refresher._states[sandbox.location_id].task.cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(waiter, return_exceptions=True)
    assert f"may be lost: {'TimeoutError' if hangs else 'OSError'}" in caplog.text
    assert "0123456789" not in caplog.text


@pytest.mark.parametrize(("faults", "error"), [(["lose-response"] * 3, TransportError), (["503"] * 3, ServerError)])
async def test_tries_are_bounded_and_what_is_stored_stays(
    sandbox: Sandbox,
    app: OAuthApp,
    clock: Clock,
    store: MemoryTokenStore,
    faults: list[str],
    error: type[LeadConnectorError],
) -> None:
    """Three tries, then an error of ours; the next call tries again."""
    pass_time(sandbox, clock, DAY)
    before = await store.load(sandbox.location_id)
    sandbox.faults.plan("oauth_token", faults)
    with pytest.raises(error) as caught:
        await app.provider(sandbox.location_id)()
    assert (caught.value.attempts, caught.value.operation) == (3, "oauth_token")
    assert await store.load(sandbox.location_id) == before
    assert await app.provider(sandbox.location_id)()


async def test_each_waiter_gets_an_error_of_its_own(sandbox: Sandbox, app: OAuthApp, clock: Clock) -> None:
    """What one call writes on it is not for the others."""
    pass_time(sandbox, clock, DAY)
    sandbox.disconnect()
    provide = app.provider(sandbox.location_id)
    errors = await asyncio.gather(*[provide() for _ in range(3)], return_exceptions=True)
    assert {type(error) for error in errors} == {ReconnectRequiredError}
    assert len({id(error) for error in errors}) == 3


@pytest.mark.parametrize("status", [400, 401])
async def test_a_removed_app_says_that_a_user_must_connect_it_again(
    sandbox: Sandbox, app: OAuthApp, make_client: MakeClient, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """After the store was read again; the server is not asked for ever, and one error is logged."""
    sandbox.token_rules = TokenRules(refusal_status=status)
    sandbox.advance(DAY)
    sandbox.disconnect()
    client = make_client(app.provider(sandbox.location_id))
    for _ in range(3):
        with pytest.raises(ReconnectRequiredError, match="send a user through authorize_url"):
            await client.get_appointment(sandbox.appointment_ids[0])
    assert count_renewals(sandbox) == 1
    [logged] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert f"the refresh token of {sandbox.location_id} was refused: " in logged.getMessage()
    await app.exchange_code(sandbox.issue_code())
    assert await client.get_appointment(sandbox.appointment_ids[0])


async def test_a_location_that_never_connected_is_told_so(app: OAuthApp) -> None:
    """Nothing is asked."""
    with pytest.raises(ReconnectRequiredError, match="stranger") as caught:
        await app.provider("stranger")()
    assert caught.value.status is None


class LateStore(MemoryTokenStore):
    """Its lock does nothing, and another process has stored a newer pair while we asked."""

    def __init__(self, behind: MemoryTokenStore, stale: StoredToken, looks: int) -> None:
        super().__init__()
        self.behind, self.stale, self.looks = behind, stale, looks

    async def load(self, key: str) -> StoredToken | None:
        self.looks -= 1
        return self.stale if self.looks >= 0 else await self.behind.load(key)


@pytest.mark.parametrize("looks", [2, 3])
async def test_invalid_grant_is_believed_only_after_the_store_was_read_again(
    sandbox: Sandbox, app: OAuthApp, make_app: MakeApp, store: MemoryTokenStore, clock: Clock, looks: int
) -> None:
    """Another process has won: its pair is used, whether it is there already or in a moment."""
    stale = await read_stored(store, sandbox.location_id)
    pass_time(sandbox, clock, DAY)
    won = await app.provider(sandbox.location_id)()
    pass_time(sandbox, clock, 31)
    late = make_app(store=LateStore(store, stale, looks))
    assert await late.provider(sandbox.location_id)() == won
    assert sandbox.requests.count_statuses() == {200: 1, 400: 1}


async def test_a_caller_that_goes_away_does_not_take_the_renewal_along(
    sandbox: Sandbox, app: OAuthApp, clock: Clock
) -> None:
    """Neither the first waiter nor a later one."""
    pass_time(sandbox, clock, DAY)
    sandbox.faults.plan("oauth_token", ["stall 0.1"])
    provide = app.provider(sandbox.location_id)
    waiters = [asyncio.create_task(provide()) for _ in range(4)]
    await see_renewal(sandbox)
    waiters[0].cancel()
    waiters[2].cancel()
    ends = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, str, asyncio.CancelledError, str]
    assert count_renewals(sandbox) == 1


async def test_a_renewal_goes_on_when_all_callers_went_away(
    sandbox: Sandbox, app: OAuthApp, clock: Clock, store: MemoryTokenStore
) -> None:
    """A refresh token that was sent must not be lost with them."""
    pass_time(sandbox, clock, DAY)
    before = await store.load(sandbox.location_id)
    sandbox.faults.plan("oauth_token", ["stall 0.05"])
    waiter = asyncio.create_task(app.provider(sandbox.location_id)())
    await see_renewal(sandbox)
    waiter.cancel()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)
    assert await store.load(sandbox.location_id) != before


class StubbornStore(MemoryTokenStore):
    """It fails to save, or to lock, as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = self.lock_failures = 0

    async def save(self, key: str, token: StoredToken) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(f"no room for {token.access_token} and {token.refresh_token}")
        await super().save(key, token)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        if self.lock_failures:
            self.lock_failures -= 1
            raise TokenStoreError("it has been locked by another process for 60 s")
        return super().lock(key)


@pytest.mark.parametrize("failing", ["save", "lock"])
@pytest.mark.parametrize("way", ["code", "agency"])
async def test_a_token_of_a_code_that_cannot_be_stored_is_not_lost(
    sandbox: Sandbox, make_app: MakeApp, way: str, failing: str
) -> None:
    """The code is used up; the next call for that location stores what it brought, and asks nobody."""
    store = StubbornStore()
    app = make_app(store=store)
    if way == "agency":
        await app.exchange_code(sandbox.issue_code(user_type="Company"), user_type="Company")
    setattr(store, "failures" if failing == "save" else "lock_failures", 2)
    provide = app.provider(sandbox.location_id)
    from_agency = app.location_token(sandbox.company_id, sandbox.location_id)
    from_code = app.exchange_code(sandbox.issue_code())
    asked, other = (from_agency, from_code) if way == "agency" else (from_code, from_agency)
    other.close()
    with pytest.raises(TokenStoreError):
        await asked
    sandbox.requests.clear()
    with pytest.raises(TokenStoreError):
        await provide()
    assert await store.load(sandbox.location_id) is None
    assert await provide() == (await read_stored(store, sandbox.location_id)).access_token
    assert not list(sandbox.requests)


async def test_a_new_connection_that_cannot_be_stored_leaves_the_old_token_at_work(
    sandbox: Sandbox, make_app: MakeApp, clock: Clock
) -> None:
    """It serves on while the store fails, and gives way to the new one as soon as that is stored."""
    store = StubbornStore()
    app = make_app(store=store)
    old = await app.exchange_code(sandbox.issue_code())
    provide = app.provider(sandbox.location_id)
    assert await provide() == old.access_token
    store.failures = 2
    with pytest.raises(TokenStoreError):
        await app.exchange_code(sandbox.issue_code())
    assert [await provide(), await provide()] == [old.access_token] * 2
    pass_time(sandbox, clock, 4)
    assert await provide() == (await read_stored(store, sandbox.location_id)).access_token != old.access_token


async def test_what_could_not_be_stored_gives_way_to_a_newer_connection(
    sandbox: Sandbox, make_app: MakeApp, clock: Clock
) -> None:
    """Another process has exchanged a later code meanwhile."""
    store = StubbornStore()
    app = make_app(store=store)
    store.failures = 1
    with pytest.raises(TokenStoreError):
        await app.exchange_code(sandbox.issue_code())
    pass_time(sandbox, clock, 60)
    newer = await make_app(store=store).exchange_code(sandbox.issue_code())
    assert await app.provider(sandbox.location_id)() == newer.access_token
    assert await store.load(sandbox.location_id) == newer


@pytest.mark.parametrize("way", ["code", "agency"])
async def test_a_caller_that_goes_away_does_not_take_an_exchange_along(
    sandbox: Sandbox, make_app: MakeApp, store: MemoryTokenStore, way: str
) -> None:
    """The code is used up; what it brings is stored."""
    app = make_app()
    if way == "agency":
        await app.exchange_code(sandbox.issue_code(user_type="Company"), user_type="Company")
        sandbox.faults.plan("oauth_location_token", ["stall 0.2"])
        ask = app.location_token(sandbox.company_id, sandbox.location_id)
    else:
        sandbox.faults.plan("oauth_token", ["stall 0.2"])
        ask = app.exchange_code(sandbox.issue_code())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask
    assert await store.load(sandbox.location_id) is None
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)
    assert (await read_stored(store, sandbox.location_id)).access_token
    assert not app._refresher._tasks


async def test_an_exchange_that_fails_when_its_caller_went_away_is_in_the_log(
    sandbox: Sandbox, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """With no secret, and once; what it brought is stored by the next call."""
    store = StubbornStore()
    store.failures = 1
    app = make_app(store=store)
    sandbox.faults.plan("oauth_token", ["stall 0.2"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await app.exchange_code(sandbox.issue_code())
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)
    gc.collect()
    assert [record.name for record in caplog.records] == ["leadconnector_async"]
    assert "after its caller was cancelled, a token could not be obtained or saved" in caplog.text
    assert "no room for [redacted] and [redacted]" in caplog.text
    assert await app.provider(sandbox.location_id)() not in caplog.text


async def test_a_token_that_is_being_stored_holds_up_nobody_who_has_one(
    sandbox: Sandbox, app: OAuthApp, store: MemoryTokenStore
) -> None:
    """A new connection waits for the lock of another process; calls go on with the token they know."""
    provide = app.provider(sandbox.location_id)
    old = await provide()
    async with store.lock(sandbox.location_id), asyncio.timeout(30):
        exchange = asyncio.create_task(app.exchange_code(sandbox.issue_code()))
        await see_renewal(sandbox)
        while app._refresher._find_state(sandbox.location_id).unsaved is None:
            await asyncio.sleep(0.001)
        assert await provide() == old
    assert (await exchange).access_token == await provide()


async def test_the_end_of_asyncio_run_loses_no_token_of_a_code(
    sandbox: Sandbox, make_app: MakeApp, store: MemoryTokenStore
) -> None:
    """It comes while that is being stored."""
    slow = SlowStore(store)
    app = make_app(store=slow)

    async def main() -> None:
        exchange = asyncio.create_task(app.exchange_code(sandbox.issue_code()))
        await slow.see_saving()
        assert not exchange.done()

    await asyncio.to_thread(asyncio.run, main())
    assert await make_app().provider(sandbox.location_id)()
    assert count_renewals(sandbox) == 1


async def test_a_pair_that_cannot_be_stored_is_neither_used_nor_lost(
    sandbox: Sandbox, make_app: MakeApp, clock: Clock
) -> None:
    """It is stored and used later, even when the grace is over; the error shows no secret."""
    store = StubbornStore()
    app = make_app(store=store)
    token = await app.exchange_code(sandbox.issue_code())
    pass_time(sandbox, clock, DAY)
    store.failures = 2
    for _ in range(2):
        with pytest.raises(TokenStoreError, match=r"OSError: no room for \[redacted\] and \[redacted\]") as caught:
            await app.provider(sandbox.location_id)()
        assert caught.value.__cause__ is None
        assert await store.load(sandbox.location_id) == token
        pass_time(sandbox, clock, 40)
    renewed = await app.provider(sandbox.location_id)()
    assert (await read_stored(store, sandbox.location_id)).access_token == renewed
    assert count_renewals(sandbox) == 2


@pytest.mark.parametrize("way", ["refresh", "code"])
async def test_a_token_that_only_this_process_has_is_logged_once(
    sandbox: Sandbox, make_app: MakeApp, clock: Clock, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """Whoever reads that the store has failed could restart the program, and the token would be gone."""
    store = StubbornStore()
    app = make_app(store=store)
    provide = app.provider(sandbox.location_id)
    if way == "refresh":
        await app.exchange_code(sandbox.issue_code())
        pass_time(sandbox, clock, DAY)
    store.failures = 3
    if way == "code":
        with pytest.raises(TokenStoreError):
            await app.exchange_code(sandbox.issue_code())
    while store.failures:
        with pytest.raises(TokenStoreError):
            await provide()
    renewed = await provide()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 2
    lost = f"the new token of {sandbox.location_id} is lost if this process ends before a later call can save it ("
    assert told[0].startswith(lost)
    assert told[1] == f"the new token of {sandbox.location_id} is saved now"
    assert renewed not in caplog.text


async def test_a_token_is_stored_before_it_is_used(sandbox: Sandbox, app: OAuthApp, clock: Clock) -> None:
    """At the moment that anybody gets it, it is in the store."""
    saved: list[str] = []

    class Watching(MemoryTokenStore):
        async def save(self, key: str, token: StoredToken) -> None:
            await asyncio.sleep(0.01)
            saved.append(token.access_token)
            await super().save(key, token)

    watching = Watching()
    other = OAuthApp(sandbox.client_id, sandbox.client_secret, store=watching, base_url=sandbox.url, clock=clock)
    await other.exchange_code(sandbox.issue_code())
    pass_time(sandbox, clock, DAY)
    token = await other.provider(sandbox.location_id)()
    assert saved[-1] == token


async def test_two_apps_on_one_store_do_not_overwrite_each_other(
    sandbox: Sandbox, app: OAuthApp, store: MemoryTokenStore, clock: Clock
) -> None:
    """The second is told so; when what the first has left is removed, the token that it got is stored."""
    mine = await read_stored(store, sandbox.location_id)
    assert mine.client_id == sandbox.client_id
    async with Sandbox(seed=2) as other:
        settings = {"store": store, "base_url": other.url, "clock": clock}
        second = OAuthApp(other.client_id, other.client_secret, **settings)  # type: ignore[arg-type]
        provide = second.provider(sandbox.location_id)
        with pytest.raises(ConfigurationError, match=r"holds the tokens of another app .* its own store"):
            await provide()
        with pytest.raises(ConfigurationError, match="holds the tokens of another app"):
            await second.exchange_code(other.issue_code(location_id=sandbox.location_id))
        with pytest.raises(ConfigurationError, match="holds the tokens of another app"):
            await provide()
        assert await store.load(sandbox.location_id) == mine
        assert await app.provider(sandbox.location_id)() == mine.access_token
        store._tokens.clear()
        token = await provide()
    stored = await read_stored(store, sandbox.location_id)
    assert (stored.access_token, stored.client_id) == (token, second._client_id)


async def test_a_token_that_was_stored_without_its_app_is_taken(
    sandbox: Sandbox, app: OAuthApp, make_app: MakeApp, store: MemoryTokenStore, clock: Clock
) -> None:
    """And has it noted when it is renewed."""
    mine = await read_stored(store, sandbox.location_id)
    await store.save(sandbox.location_id, structs.replace(mine, client_id=""))
    provide = make_app().provider(sandbox.location_id)
    assert await provide() == mine.access_token
    pass_time(sandbox, clock, DAY)
    assert await provide() != mine.access_token
    assert (await read_stored(store, sandbox.location_id)).client_id == sandbox.client_id


LOOK_ALIKES = [
    ("Invalid Private Integration token", "Copy the Private Integration"),
    ("The token is not authorized for this scope.", "Grant the scope"),
    ("Token's user type mismatch!", "not of the agency"),
    ("version header was not found.", "removed the Version header"),
    ("version header is invalid", "Pass version='2021-04-15'"),
]


class Probe:
    """A provider that counts what it is asked."""

    def __init__(self) -> None:
        self.rejected: list[str] = []

    async def __call__(self) -> str:
        return "token-after" if self.rejected else "token-before"

    async def refresh(self, rejected: str) -> str:
        self.rejected.append(rejected)
        return "token-after"


@pytest.mark.parametrize(("message", "hint"), LOOK_ALIKES)
async def test_look_alike_401s_never_cause_a_renewal(message: str, hint: str) -> None:
    """Each has its own message and hint, and is final at once."""
    probe = Probe()
    refusal = answer(401, json.dumps({"statusCode": 401, "message": message}).encode())
    async with raw_server(refusal) as server, LeadConnector(probe, base_url=server.url, retry=QUICK) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.get_appointment("ev1")
    assert type(caught.value) is AuthenticationError
    assert caught.value.messages == [message]
    assert hint in str(caught.value)
    assert (probe.rejected, len(server.requests)) == ([], 1)


async def test_invalid_jwt_tells_the_provider_once_which_token_was_refused() -> None:
    """It must give another one, which is tried; refused again, the call ends."""
    probe = Probe()
    refusal = answer(401, b'{"message": "Invalid JWT"}')
    async with raw_server(refusal, refusal) as server:
        async with LeadConnector(probe, base_url=server.url, retry=QUICK) as client:
            with pytest.raises(TokenExpiredError, match="has expired"):
                await client.get_appointment("ev1")
    assert probe.rejected == ["token-before"]
    assert [b"token-after" in request for request in server.requests] == [False, True]


async def test_an_agency_gives_its_locations_their_tokens(
    sandbox: Sandbox, make_app: MakeApp, clock: Clock, store: MemoryTokenStore, make_client: MakeClient
) -> None:
    """Stored under the location; without a refresh token, the agency is asked again when the time has come."""
    app = make_app()
    await app.exchange_code(sandbox.issue_code(user_type="Company"), user_type="Company")
    token = await app.location_token(sandbox.company_id, sandbox.location_id)
    assert await store.load(sandbox.location_id) == token
    assert (token.refresh_token, token.company_id) == (None, sandbox.company_id)
    client = make_client(app.provider(sandbox.location_id))
    assert await client.get_appointment(sandbox.appointment_ids[0])
    pass_time(sandbox, clock, DAY)
    assert await client.get_appointment(sandbox.appointment_ids[0])
    assert [len(sandbox.requests.of(name)) for name in ("oauth_token", "oauth_location_token")] == [2, 2]


async def test_an_agency_token_that_the_server_calls_expired_is_renewed_once(
    sandbox: Sandbox, make_app: MakeApp
) -> None:
    """Then the location's is asked for again."""
    app = make_app()
    await app.exchange_code(sandbox.issue_code(user_type="Company"), user_type="Company")
    sandbox.advance(DAY)
    assert await app.location_token(sandbox.company_id, sandbox.location_id)
    assert [request.status for request in sandbox.requests] == [200, 401, 200, 200]


@pytest.mark.parametrize(("user_type", "location_id"), [("Company", "loc"), ("Location", "agency")])
async def test_an_agency_does_not_wait_for_itself(
    make_app: MakeApp, store: MemoryTokenStore, user_type: str, location_id: str
) -> None:
    """Its token may name a location, or itself as one: without a refresh token only a user can help."""
    ids = {"user_type": user_type, "location_id": location_id, "company_id": "agency"}
    await store.save("agency", StoredToken(access_token="old-token", expires_at=1.0, **ids))
    async with asyncio.timeout(30):
        with pytest.raises(ReconnectRequiredError, match="has expired and has no refresh token"):
            await make_app().provider("agency")()


async def test_any_2xx_with_a_token_is_a_success() -> None:
    """201, text for numbers, keys that nobody knows; a 2xx without a token is none."""
    good = answer(201, b'{"access_token": "tok-12345678", "expires_in": "60", "locationId": "loc", "new": []}')
    async with raw_server(good, *[answer(200, b"{}")] * 3) as server:
        app = OAuthApp("id", "secret", base_url=server.url, clock=lambda: 100.0)
        token = await app.exchange_code("code")
        assert (token.access_token, token.expires_at, token.refresh_token) == ("tok-12345678", 160.0, None)
        with pytest.raises(DecodeError, match="cannot be read"):
            await app.exchange_code("code")


ODD = [
    b'"expires_in": null',
    b'"expires_in": "soon"',
    b'"expires_in": "inf"',
    b'"expires_in": "nan"',
    b'"expires_in": 1e400',
    b'"expires_in": -5',
    b'"expires_in": true',
    b'"scope": ["calendars.readonly"]',
    b'"scope": "\xff"',
    b'"locationId": 5',
    b'"companyId": {}',
    b'"userType": false',
]


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_side_field_throws_no_pair_away(odd: bytes, store: MemoryTokenStore, clock: Clock) -> None:
    """The tokens come once; what else the answer says in an unknown shape stays as it was, or is the default."""
    ids = {"location_id": "loc", "company_id": "agency", "scope": "calendars.readonly"}
    await store.save("loc", StoredToken(access_token="old-1234", refresh_token="r-1", expires_at=1.0, **ids))
    body = b'{"access_token": "new-1234", "refresh_token": "r-2", %s}' % odd
    async with raw_server(answer(200, body)) as server:
        app = OAuthApp("id", "secret", base_url=server.url, store=store, clock=clock)
        assert await app.provider("loc")() == "new-1234"
    kept = structs.asdict(await read_stored(store, "loc"))
    assert kept == {**kept, **ids, "refresh_token": "r-2", "user_type": "Location"}
    assert kept["expires_at"] == clock.now + 86_399


async def test_a_wrong_secret_is_the_developers_to_mend(sandbox: Sandbox, app: OAuthApp, clock: Clock) -> None:
    """No user is sent anywhere for it."""
    wrong = OAuthApp(sandbox.client_id, "wrong-secret", base_url=sandbox.url)
    with pytest.raises(AuthenticationError, match="Copy client_id and client_secret") as caught:
        await wrong.exchange_code(sandbox.issue_code())
    assert not isinstance(caught.value, ReconnectRequiredError)


SECRETS = ("secret/0123456789=", "access-0123456789", "grant+0123456789")


@pytest.mark.parametrize(
    "echo",
    [
        answer(400, b'{"error": "invalid_grant", "message": "no: %s"}' % b"secret/0123456789= grant+0123456789"),
        answer(401, b'{"error": "invalid_client", "traceId": "grant+0123456789"}'),
        answer(422, b"<p>secret%2F0123456789%3D grant%2B0123456789 secret/0123456789=</p>"),
        b"HTTP/1.1 grant+0123456789 secret/0123456789=\r\n\r\n",
        answer(200, b'{"access_token": 5, "x": "grant+0123456789"}'),
        answer(200, b'{"access_token": "access-0123456789", "refresh_token": "grant+0123456789"}'),
    ],
)
async def test_secrets_are_in_no_error_event_log_or_repr(echo: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server echoes."""
    caplog.set_level(logging.DEBUG)
    secret, access, grant = SECRETS
    store = MemoryTokenStore()
    stored = StoredToken(access_token=access, refresh_token=grant, expires_at=0.0, location_id="loc")
    await store.save("loc", stored)
    seen, events = "", list[Event]()
    async with raw_server(*[echo] * 9) as server:
        app = OAuthApp("client", secret, base_url=server.url, store=store)
        async with LeadConnector(app.provider("loc"), base_url=server.url, on_event=events.append) as client:
            for ask in (lambda: app.exchange_code(grant), lambda: client.get_appointment("ev")):
                try:
                    await ask()
                except LeadConnectorError as error:
                    seen += show(error)
        things = [
            app,
            client,
            store,
            stored,
            app.provider("loc"),
            app._endpoint,
            app._endpoint._keys,
            app._refresher,
        ]
    seen += repr(things) + repr(events) + caplog.text + str(list(stored.__rich_repr__()))
    seen += str(list(app._endpoint._keys.__rich_repr__()))
    assert seen
    for text in SECRETS:
        assert text not in seen
        assert quote_plus(text) not in seen


async def test_the_log_of_the_sandbox_shows_no_secret(sandbox: Sandbox, app: OAuthApp, clock: Clock) -> None:
    """Nor does its repr."""
    pass_time(sandbox, clock, DAY)
    await app.provider(sandbox.location_id)()
    seen = repr(sandbox) + repr(list(sandbox.requests)) + repr(sandbox._app.token_endpoint)
    assert "grant_type=refresh_token" in seen
    stored = structs.asdict(await read_stored(app._refresher._store, sandbox.location_id))  # type: ignore[arg-type]
    for secret in (sandbox.client_secret, stored["access_token"], stored["refresh_token"]):
        assert secret not in seen


async def test_a_copy_for_another_location_has_its_own_token_and_limiter(
    sandbox: Sandbox, app: OAuthApp, make_client: MakeClient
) -> None:
    """From the app, or as given; connections are shared, and only the first closes them."""
    await app.exchange_code(sandbox.issue_code(location_id="other"))
    client = make_client(app.provider(sandbox.location_id))
    other = client.for_location("other")
    await client.get_appointment(sandbox.appointment_ids[0])
    assert client.quota.daily_remaining < other.quota.daily_remaining
    with pytest.raises(LeadConnectorError, match="does not have access to this location"):
        await other.get_appointment(sandbox.appointment_ids[0])
    assert other._shared.transport is client._shared.transport
    assert "location_id='other'" in repr(other)
    await other.aclose()
    given = client.for_location(sandbox.location_id, sandbox.token)
    assert await given.get_appointment(sandbox.appointment_ids[0])
    with pytest.raises(ConfigurationError, match="is for one location only"):
        given.for_location("other")


WORKER = """
import asyncio, sys
from leadconnector_async import FileTokenStore, LeadConnector, OAuthApp

async def main(url, path, client_id, client_secret, location_id, event_id):
    app = OAuthApp(client_id, client_secret, store=FileTokenStore(path), base_url=url)
    async with LeadConnector(app.provider(location_id), base_url=url, location_id=location_id) as client:
        print("ready", flush=True)
        sys.stdin.readline()
        found = await asyncio.gather(*[client.get_appointment(event_id) for _ in range(5)])
    print(len(found))

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def workers(count: int, *arguments: str) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    pipe = asyncio.subprocess.PIPE
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", WORKER, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
        )
        for _ in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize("expired", ["at the server", "by the clock"])
async def test_four_processes_share_one_renewal(sandbox: Sandbox, tmp_path: Path, expired: str) -> None:
    """All need a new token at once; one refresh reaches the server, and all succeed."""
    path = tmp_path / "tokens.json"
    store = FileTokenStore(path)
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, store=store, base_url=sandbox.url)
    token = await app.exchange_code(sandbox.issue_code())
    sandbox.advance(DAY)
    if expired == "by the clock":
        await store.save(sandbox.location_id, structs.replace(token, expires_at=token.issued_at))
    sandbox.faults.plan("oauth_token", ["stall 0.3"])
    sandbox.requests.clear()
    keys = (sandbox.client_id, sandbox.client_secret, sandbox.location_id, sandbox.appointment_ids[0])
    async with workers(4, sandbox.url, str(path), *keys) as started:
        for process in started:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        ends = await asyncio.gather(*[process.communicate(b"go\n") for process in started])
    assert ends == [(b"5\n", b"")] * 4
    assert count_renewals(sandbox) == 1
    assert sandbox.faults.unused() == {}


async def test_a_process_killed_between_answer_and_store_loses_no_access(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its lock is gone with it, and the next one uses the refresh token's grace."""
    path = tmp_path / "tokens.json"
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, store=FileTokenStore(path), base_url=sandbox.url)
    token = await app.exchange_code(sandbox.issue_code())
    sandbox.advance(DAY)
    sandbox.requests.clear()
    sandbox.faults.plan("oauth_token", ["stall 20"])
    keys = (sandbox.client_id, sandbox.client_secret, sandbox.location_id, sandbox.appointment_ids[0])
    async with workers(1, sandbox.url, str(path), *keys) as (process,):
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        await see_renewal(sandbox)
        process.kill()
        await process.communicate()
    assert await app.provider(sandbox.location_id).refresh(token.access_token)
    assert [request.status for request in sandbox.requests.of("oauth_token")] == [200, 200]
