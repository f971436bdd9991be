"""Settings that cannot work: refused when they are given, by an error of ours that says what to do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    FileTokenStore,
    KeyringTokenStore,
    LeadConnector,
    LeadConnectorError,
    MemoryTokenStore,
    OAuthApp,
    RateLimit,
    RetryPolicy,
    StoredToken,
    Timeouts,
)
from leadconnector_async._call.emit import EventEmitter
from leadconnector_async.events import CallStarted, Event

from ..conftest import MakeClient
from ..stand_ins import OldStatus, SafeString

HUGE = 10**5000
"""A number that has no `repr`: Python refuses to write so many digits."""


def name_type(value: object) -> str:
    """The name of a case, for values that cannot be shown."""
    return value.__name__ if isinstance(value, type) else type(value).__name__


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


async def listen(event: Event) -> None: ...


async def stream(event: Event) -> AsyncIterator[Event]:
    yield event


class Listener:
    async def __call__(self, event: Event) -> None: ...


SETTINGS: dict[str, list[object]] = {
    "location_id": ["", " x", "a\nb", "\ud800", "a\0", 5, b"x"],
    "base_url": [None, 5, "", b"https://x", "https://\ud800", "https://a\0b", "https://a:99999", "x" * 100_000],
    "version": [None, "", " ", "v3\n", "v\ud800", "ä", 3, b"v3"],
    "app_info": ["", "a\r\nX: y", "ä", 5],
    "timeouts": [5, {"read": 5}, Timeouts],
    "retry": [5, RetryPolicy],
    "rate_limit": [5, RateLimit, 0],
    "priority": [None, "", "low", 1, ["bulk"]],
    "session": [5, "session"],
    "on_event": [5, "print", listen, stream, Listener(), AsyncMock(), OldStatus.CONFIRMED],
}
COPIED = ("version", "timeouts", "retry", "priority", "app_info", "on_event")
CASES = [(name, value) for name, values in SETTINGS.items() for value in [*values, HUGE, Unshowable()]]


@pytest.mark.parametrize(("name", "value"), CASES, ids=name_type)
def test_a_setting_that_cannot_work_is_refused(name: str, value: object) -> None:
    """By the client and by a copy of it; the message begins with its name."""
    with pytest.raises(ConfigurationError, match=f"^{name} ") as caught:
        LeadConnector("pit-1", **{name: value})  # type: ignore[arg-type]
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    if name in COPIED:
        with pytest.raises(ConfigurationError, match=f"^{name} "):
            LeadConnector("pit-1").with_options(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["version", "timeouts", "retry", "priority"])
def test_none_is_not_a_setting_of_a_copy(name: str) -> None:
    """It would be sent as the header's text, or fail at the first call."""
    with pytest.raises(ConfigurationError, match=f"^{name} is None"):
        LeadConnector("pit-1").with_options(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize("location_id", [None, "", 5, "\ud800"])
def test_a_location_that_cannot_be_one_is_refused(location_id: object) -> None:
    """By `for_location`, and by the providers of an app."""
    client = LeadConnector("pit-1")
    with pytest.raises(ConfigurationError, match="location_id"):
        client.for_location(location_id, "pit-2")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="location_id"):
        OAuthApp("id", "secret").provider(location_id)  # type: ignore[arg-type]


def test_texts_of_any_class_are_settings() -> None:
    """They are kept as plain ones."""
    client = LeadConnector(SafeString("pit-1"), location_id=SafeString("Loc1"), version=SafeString("v3"))
    assert {type(client.location_id), type(client.version)} == {str}


@pytest.mark.parametrize("given", ["pit-secret-1", None, 5, b"pit-secret-1"])
async def test_a_provider_that_is_not_async_is_our_error(make_client: MakeClient, given: object) -> None:
    """It says what to do, and shows no token."""
    client = make_client(lambda: given)
    with pytest.raises(ConfigurationError, match=r"returned \w+, which is not awaitable") as caught:
        await client.get_appointment("ev1")
    assert "secret" not in str(caught.value)


async def test_a_plain_function_may_return_something_to_await(make_client: MakeClient, sandbox: object) -> None:
    """Only what it gives is looked at, not how it was written."""

    async def fetch() -> str:
        return sandbox.token  # type: ignore[attr-defined, no-any-return]

    client = make_client(lambda: asyncio.ensure_future(fetch()))
    event_id = sandbox.appointment_ids[0]  # type: ignore[attr-defined]
    assert (await client.get_appointment(event_id)).id == event_id


@pytest.mark.parametrize("provider", [lambda location_id: location_id, print, Listener()])
def test_a_provider_that_takes_arguments_is_refused(provider: object) -> None:
    """When it is given, not at the first call."""
    if provider is print:
        LeadConnector(provider)  # type: ignore[arg-type] # callable without arguments: what it gives decides
    else:
        with pytest.raises(ConfigurationError, match="takes arguments"):
            LeadConnector(provider)  # type: ignore[arg-type]


def test_a_listener_that_returns_a_coroutine_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A plain function can hide an async one; no warning of Python's about a coroutine follows."""

    def hide(event: Event) -> object:
        return listen(event)

    with caplog.at_level(logging.ERROR):
        EventEmitter(hide).emit(CallStarted("Loc1", "get_appointment", 0, "id"))  # type: ignore[arg-type, return-value]
    assert "pass a function that is not async" in caplog.text


@pytest.mark.parametrize("kind", [Timeouts, RetryPolicy, RateLimit])
@pytest.mark.parametrize(
    "value", [HUGE, -1, 0, float("nan"), float("inf"), "5", b"5", True, [], Unshowable(), 1 + 1j], ids=name_type
)
def test_a_number_that_cannot_work_is_refused(kind: type, value: object) -> None:
    """In every field that holds one, infinite and hostile ones among them."""
    for name in kind.__struct_fields__:  # type: ignore[attr-defined]
        if name in ("daily_reserve", "interactive_reserve") and value == 0:
            continue
        with pytest.raises(ConfigurationError, match=rf"^{kind.__name__}\.{name} is "):
            kind(**{name: value})


@pytest.mark.parametrize("path", ["a\0b", "", "\ud800", None, 5, b"tokens.json", Unshowable()])
def test_a_path_that_cannot_be_one_is_refused(path: object) -> None:
    """NUL above all, which the system refuses by a bare ValueError."""
    with pytest.raises(ConfigurationError, match=r"^path is "):
        FileTokenStore(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", None, 5, "\ud800", "a\0b", b"Loc1"])
async def test_a_store_refuses_keys_and_tokens_that_cannot_be_kept(tmp_path: object, key: object) -> None:
    """On every way in."""
    keyring_store = KeyringTokenStore("app", lock_folder=f"{tmp_path}/locks")
    for store in (MemoryTokenStore(), FileTokenStore(f"{tmp_path}/tokens.json"), keyring_store):
        token = StoredToken(access_token="a", expires_at=0.0)
        with pytest.raises(LeadConnectorError):
            await store.load(key)  # type: ignore[arg-type]
        with pytest.raises(LeadConnectorError):
            await store.save(key, token)  # type: ignore[arg-type]
        with pytest.raises(LeadConnectorError):
            async with store.lock(key):  # type: ignore[arg-type]
                pass
        with pytest.raises(LeadConnectorError):
            await store.save("Loc1", {"access_token": "a"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": None},
        {"client_id": "a\nb"},
        {"client_secret": "sec\0ret"},
        {"client_secret": 5},
        {"store": "tokens.json"},
        {"store": MemoryTokenStore},
        {"redirect_uri": 5},
        {"redirect_uri": "https://a\nb"},
        {"base_url": None},
        {"authorize_at": None},
        {"authorize_at": "chooselocation"},
        {"refresh_ahead": "soon"},
        {"refresh_ahead": float("nan")},
        {"timeouts": None},
        {"session": 5},
        {"clock": None},
        {"clock": 5},
        {"clock": AsyncMock()},
    ],
)
def test_an_app_refuses_what_cannot_work(wrong: dict[str, object]) -> None:
    """When it is made; the secret is not shown."""
    settings = {"client_id": "id", "client_secret": "secret", **wrong}
    with pytest.raises(ConfigurationError) as caught:
        OAuthApp(**settings)  # type: ignore[arg-type]
    assert "sec\\x00ret" not in str(caught.value)


def test_a_clock_that_shows_no_time_is_our_error() -> None:
    """Found out when it is asked."""
    app = OAuthApp("id", "secret", clock=lambda: None, redirect_uri="https://a.example/")  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="clock returned a NoneType"):
        app._clock()


@pytest.mark.parametrize("scopes", [None, 5, [None], ["a\nb"], ["\ud800"]])
@pytest.mark.parametrize("state", [None, "", "\ud800"])
def test_an_authorize_url_needs_texts(scopes: object, state: object) -> None:
    """Scopes and state that can be sent."""
    app = OAuthApp("id", "secret", redirect_uri="https://a.example/")
    with pytest.raises(ConfigurationError, match="state"):
        app.authorize_url(["a"], state=state)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="scopes"):
        app.authorize_url(scopes, state="s")  # type: ignore[arg-type]


def test_a_good_client_is_made_of_good_settings() -> None:
    """What the checks must not refuse."""
    client = LeadConnector("pit-1", location_id="Loc1", app_info="clinic/1.0", on_event=print)
    assert client.with_options(app_info=None, on_event=None, version="v3", retry=RetryPolicy()).version == "v3"
    assert AppointmentUpdate(title="x")
