"""Wrong types, half characters, NUL, huge and hostile values, at every public entry point: only our errors.

The entry points are found, not listed: every function, constructor and public method of what the `__all__` of any
public module names. A class whose methods need an instance has a maker in `MAKERS`; a missing one fails a test.
"""

import asyncio
import contextlib
import importlib
import inspect
import itertools
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import ModuleType
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

import leadconnector_async
from leadconnector_async import (
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlotCreate,
    BlockSlotUpdate,
    ConfigurationError,
    FileTokenStore,
    InvalidRequestError,
    KeyringTokenStore,
    LeadConnector,
    LeadConnectorError,
    MemoryTokenStore,
    OAuthApp,
    ReconnectRequiredError,
    RedisTokenStore,
    RetryPolicy,
    SlotOffer,
    SlotOwner,
    SQLTokenStore,
    StoredToken,
)
from leadconnector_async._call.reply import RawResponse
from leadconnector_async._call.transport import Transport
from leadconnector_async._sharing.crypto import make_key
from leadconnector_async.integrations.fastapi import Backend, JobRoutes
from leadconnector_async.jobs import BulkJob, JobService, PlanRow
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.testing import Clock

from ..oauth.keyrings import use_keyring
from ..stand_ins import FineTime, MissingTime, NumpyText, OldStatus, PlainStatus, PytzZone, SafeString, Status
from ..test_webhooks import make_verifier

START = datetime(2027, 3, 9, 9, tzinfo=timezone(timedelta(hours=-5)))
END = START + timedelta(minutes=30)
FOUND = {
    "id": "ev1",
    "calendarId": "c",
    "locationId": "Loc1",
    "contactId": "k",
    "assignedUserId": "u",
    "appointmentStatus": "confirmed",
    "startTime": START.isoformat(),
    "endTime": END.isoformat(),
}


class Hostile:
    """Whatever it is asked, it fails."""

    def fail(self, *args: object) -> object:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __bool__ = __eq__ = __hash__ = __len__ = __iter__ = __call__ = __lt__ = __le__ = fail  # type: ignore[assignment]
    __fspath__ = __int__ = __float__ = __index__ = __contains__ = __getitem__ = __add__ = __radd__ = fail


class HostileText(str):
    """Text that renders itself as an error."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("hostile")

    __repr__ = __format__ = __str__  # type: ignore[assignment]


async def async_function(*args: object) -> None:
    """In place of a plain one."""


VALUES: list[Callable[[], object]] = [
    lambda: None,
    lambda: True,
    lambda: 0,
    lambda: -1,
    lambda: 10**5000,
    lambda: -(10**30),
    lambda: 1.5,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: 1 + 1j,
    lambda: Decimal("NaN"),
    lambda: "",
    lambda: " ",
    lambda: "\ud800",
    lambda: "a\udcffb",
    lambda: "a\0b",
    lambda: "a\nb",
    lambda: "a\u2028b",
    lambda: "..",
    lambda: "%2e%2e",
    lambda: "/x/%2e%2e/y",
    lambda: "x" * 200_000,
    lambda: "\ud800" * 50_000,
    lambda: "2027-03-09T09:00:00-04:56",
    lambda: "RRULE:FREQ=DAILY;COUNT=999999999999",
    lambda: "EST",
    lambda: b"bytes",
    lambda: b"\xff" * 100_000,
    lambda: bytearray(b"x"),
    list,
    dict,
    lambda: [None],
    lambda: ["\ud800"],
    lambda: [["a"]],
    lambda: {"a": "\ud800"},
    lambda: {"\ud800": 1},
    lambda: {None: None},
    lambda: {"event_id": Hostile()},
    lambda: [Hostile()],
    lambda: (None, None),
    set,
    object,
    lambda: object,
    lambda: print,
    lambda: async_function,
    lambda: ValueError("x"),
    Hostile,
    lambda: HostileText("ev1"),
    lambda: SafeString("ev1"),
    lambda: NumpyText("a\0b"),
    lambda: Status.CONFIRMED,
    lambda: OldStatus.CONFIRMED,
    lambda: PlainStatus.CONFIRMED,
    lambda: UUID(int=1),
    lambda: date(2027, 3, 9),
    lambda: datetime(2027, 3, 9, 9),
    lambda: datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    lambda: datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    lambda: datetime(2027, 3, 14, 2, 30, tzinfo=ZoneInfo("America/New_York")),
    lambda: datetime(2027, 7, 9, 9, tzinfo=ZoneInfo("EST")),
    lambda: datetime(2027, 7, 9, 9, tzinfo=PytzZone("America/New_York")),
    MissingTime,
    lambda: FineTime(2027, 3, 9, 9, tzinfo=UTC),
    lambda: timedelta.max,
    lambda: timedelta(microseconds=1),
    lambda: ZoneInfo("EST"),
    AppointmentUpdate,
    lambda: AppointmentUpdate(title="\ud800"),
    lambda: AppointmentUpdate(start_time=MissingTime()),
    lambda: msgspec.structs.replace(AppointmentUpdate(), title=Hostile()),
    lambda: [PlanRow(1, "\ud800", AppointmentUpdate(title="x"))],
    lambda: [PlanRow(1, Hostile(), AppointmentUpdate(title="x"))],  # type: ignore[arg-type]
    lambda: [PlanRow(1, "ev1", None)],  # type: ignore[arg-type]
    lambda: [("ev1", None), ("ev1",), (1, 2, 3)],
    lambda: [{"event_id": "ev1", "title": "\ud800"}],
]
hostile = st.sampled_from(VALUES) | st.text(max_size=8).map(lambda text: lambda: text)
"""Made anew for each call, as some can be used once only."""

GOOD: dict[str, Callable[[], object]] = {
    "snapshot": lambda: Sandbox(appointments=3).snapshot(),
    "event_id": lambda: "ev1",
    "note_id": lambda: "n1",
    "calendar_id": lambda: "c",
    "contact_id": lambda: "k",
    "location_id": lambda: "Loc1",
    "company_id": lambda: "Com1",
    "master_event_id": lambda: "ev1",
    "body": lambda: "text",
    "update": lambda: AppointmentUpdate(title="x"),
    "appointment": lambda: AppointmentCreate(calendar_id="c", location_id="l", contact_id="k", start_time=START),
    "start": lambda: START,
    "end": lambda: END,
    "after": lambda: START,
    "when": lambda: SlotOffer(start_time=START, owners=(SlotOwner("c", None, START),)),
    "length": lambda: timedelta(minutes=30),
    "rrule": lambda: "RRULE:FREQ=DAILY;COUNT=3",
    "rule": lambda: "RRULE:FREQ=DAILY;COUNT=3",
    "zone": lambda: "America/New_York",
    "method": lambda: "GET",
    "path": lambda: "/a",
    "token": lambda: "pit-1",
    "client_id": lambda: "id",
    "client_secret": lambda: "secret",
    "key": lambda: "Loc1",
    "code": lambda: "code1",
    "rejected": lambda: "old",
    "scopes": lambda: ["a"],
    "state": lambda: "s",
    "text": lambda: "+2d",
    "lines": lambda: ["event_id,title\n", "ev1,x\n"],
    "rows": lambda: [("ev1", AppointmentUpdate(title="x"))],
    "headers": dict,
    "kind": lambda: "pit",
    "service": lambda: "app",
    "rate": lambda: 5.0,
    "seconds": lambda: 1.0,
    "name": lambda: "job-1",
    "authorize": lambda: lambda request, location_id: True,
    "location": lambda: "Loc1",
    "client_for": lambda: lambda location: make_client(),
    "older_than": lambda: timedelta(days=90),
    "url": lambda: "sqlite:///jobs.db",  # refused before anything is opened: a database would be waited for
    "place": lambda: "none.job",  # the same
}
SPECIAL: dict[tuple[str, str], Callable[[Path], object]] = {
    ("create_block_slot", "block_slot"): lambda folder: BlockSlotCreate(
        location_id="l", calendar_id="c", start_time=START, end_time=END
    ),
    ("update_block_slot", "block_slot"): lambda folder: BlockSlotUpdate(
        calendar_id="c", location_id="l", title="x"
    ),
    ("FileTokenStore", "path"): lambda folder: str(folder / "tokens.json"),
    ("Shared", "url"): lambda folder: f"sqlite:///{folder}/shared.db",
    ("SQLTokenStore", "url"): lambda folder: f"sqlite:///{folder}/tokens.db",
    ("RedisTokenStore", "url"): lambda folder: "redis://127.0.0.1:1",
    ("save", "token"): lambda folder: StoredToken(access_token="a", expires_at=0.0),
    ("create", "place"): lambda folder: folder / "new.job",
    ("create", "client"): lambda folder: make_client(),
    ("JobRoutes", "backend"): lambda folder: make_backend(),
    ("JobService", "client"): lambda folder: make_client(),
    ("JobRoutes", "place"): lambda folder: folder / "jobs",
    ("JobService", "place"): lambda folder: folder / "jobs",
    ("update_many", "client"): lambda folder: make_client(),
    ("open", "client"): lambda folder: make_client(),
    ("open", "place"): lambda folder: folder / "none.job",
    ("read_status", "place"): lambda folder: folder / "none.job",
    ("verify", "body"): lambda folder: b"{}",
    ("WebhookVerifier", "ed25519_key"): lambda folder: "-----BEGIN PUBLIC KEY-----",
    ("parse", "text"): lambda folder: "503",
    ("with_response", "call"): lambda folder: make_client().get_appointment("ev1"),
    ("request", "body"): lambda folder: {"a": 1},
}


MADE: list[LeadConnector] = []
"""Clients to close."""


def make_client() -> LeadConnector:
    MADE.append(LeadConnector("pit-1", location_id="Loc1", retry=RetryPolicy(max_attempts=1)))
    return MADE[-1]


def make_backend() -> Backend:
    return Backend(client=make_client(), authorize=lambda request, location_id: True)


async def close_clients() -> None:
    while MADE:
        await MADE.pop().aclose()


@contextlib.asynccontextmanager
async def make_job(folder: Path) -> AsyncIterator[object]:
    rows = [PlanRow(1, "ev1", AppointmentUpdate(title="x"))]
    async with await BulkJob.create(folder / "made.job", make_client(), rows) as job:
        yield job


@contextlib.asynccontextmanager
async def make(build: Callable[[Path], object], folder: Path) -> AsyncIterator[object]:
    yield build(folder)


@contextlib.asynccontextmanager
async def make_in_memory(build: Callable[[Path], object], folder: Path) -> AsyncIterator[object]:
    """Never in the keyring of whoever runs the tests."""
    with use_keyring():
        yield build(folder)


MAKERS: dict[str, Callable[[Path], contextlib.AbstractAsyncContextManager[object]]] = {
    "LeadConnector": lambda folder: make(lambda folder: make_client(), folder),
    "OAuthApp": lambda folder: make(
        lambda folder: OAuthApp("id", "secret", redirect_uri="https://a.example/"), folder
    ),
    "AppTokens": lambda folder: make(lambda folder: OAuthApp("id", "secret").provider("Loc1"), folder),
    "MemoryTokenStore": lambda folder: make(lambda folder: MemoryTokenStore(), folder),
    "SQLTokenStore": lambda folder: make(lambda folder: SQLTokenStore(f"sqlite:///{folder}/tokens.db"), folder),
    "RedisTokenStore": lambda folder: make(
        lambda folder: RedisTokenStore("redis://127.0.0.1:1", key=make_key()), folder
    ),
    "KeyringTokenStore": lambda folder: make_in_memory(
        lambda folder: KeyringTokenStore("app", lock_folder=folder / "locks"), folder
    ),
    "FileTokenStore": lambda folder: make(lambda folder: FileTokenStore(folder / "tokens.json"), folder),
    "WebhookVerifier": lambda folder: make(lambda folder: make_verifier(), folder),
    "Sandbox": lambda folder: make(lambda folder: Sandbox(appointments=3), folder),
    "BulkJob": make_job,
    "Backend": lambda folder: make(lambda folder: make_backend(), folder),
    "JobService": lambda folder: JobService(folder / "jobs", make_client()),
    "JobRoutes": lambda folder: make(lambda folder: JobRoutes(make_backend(), folder / "jobs"), folder),
    "Clock": lambda folder: make(lambda folder: Clock(), folder),
}
EXEMPT = {
    "BulkJob": "made by BulkJob.create and BulkJob.open",
    "AppTokens": "made by OAuthApp.provider",
    "TokenStore": "a protocol: others write what it does",
    "Backend.find_location": "takes the request that the framework makes",
    "Backend.find_client": "as above",
    "Backend.receive_webhook": "as above",
    "Backend.respond_ready": "as above",
    "Backend.respond_with_quota": "as above",
    "install_error_handlers": "takes the application of the framework",
    "Clock": "needs a running loop",
    "Clock.run": "a helper of tests: what cannot be awaited is a TypeError, as for `await`",
    "Sandbox.appointment": "a helper of tests: KeyError for an unknown id, as documented",
    "Sandbox.contact": "as above",
    "Sandbox.edit_contact": "as above",
    "Sandbox.edit_appointment": "as above",
    "Sandbox.delete_appointment": "as above",
    "Sandbox.expire_token": "as above",
    "Sandbox.find_appointment_ids": "as above",
    "Sandbox.find_series_ids": "as above",
    "Sandbox.set_limits": "as above",
    "Sandbox.start": "opens a port",
    "Sandbox.advance": "a helper of tests, in seconds",
    "Sandbox.issue_token": "a helper of tests",
    "Sandbox.issue_code": "a helper of tests",
    "Sandbox.disconnect": "a helper of tests",
    "Sandbox.make_webhook": "a helper of tests",
    "Sandbox.send_webhook": "a helper of tests: ConnectionError without a receiver, as documented",
    "with_response": "what is not a call of a client is a TypeError, as documented",
}
"""What is not held to the rule, and why."""
WAITS_FOR_A_READING = {"reschedule_appointment", "plan_reschedule"}
"""They read before they can plan: what they refuse, they refuse without a write."""


class Entry:
    """One function, constructor or method that users call."""

    def __init__(self, name: str, owner: str, function: Callable[..., object]) -> None:
        self.name = name
        self.owner = owner
        self.function = function
        self.signature = inspect.signature(function)

    def __repr__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name

    @property
    def parameters(self) -> list[str]:
        many = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        named = [name for name, one in self.signature.parameters.items() if one.kind not in many]
        return [name for name in named if name not in ("self", "cls")]

    def is_required(self, name: str) -> bool:
        return self.signature.parameters[name].default is inspect.Parameter.empty


def list_public_modules() -> Iterator[ModuleType]:
    """The package, and whatever in it has an `__all__` and no underscore; the command line is not for import."""
    yield leadconnector_async
    for found in pkgutil.walk_packages(leadconnector_async.__path__, "leadconnector_async."):
        parts = found.name.split(".")[1:]
        if not any(part.startswith("_") or part == "cli" for part in parts):
            module = importlib.import_module(found.name)
            if hasattr(module, "__all__"):
                yield module


def list_entries() -> Iterator[Entry]:
    for module in list_public_modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                if not issubclass(thing, BaseException) and not getattr(thing, "_is_protocol", False):
                    yield from list_of_class(name, thing)
            elif inspect.isfunction(thing):
                yield Entry(name, "", thing)


def list_of_class(name: str, kind: type) -> Iterator[Entry]:
    if "__init__" in vars(kind) or issubclass(kind, msgspec.Struct):
        yield Entry(name, "", kind)
    seen: set[str] = set()
    for one in kind.__mro__:
        if not one.__module__.startswith("leadconnector_async"):
            continue
        for method, value in vars(one).items():
            plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            is_public = not method.startswith("_") or method == "__call__"
            if is_public and inspect.isfunction(plain) and method not in seen:
                seen.add(method)
                yield Entry(method, name, plain)


ENTRIES = [entry for entry in list_entries() if entry.parameters or "options" in entry.signature.parameters]
HELD = [entry for entry in ENTRIES if entry.path not in EXEMPT]


def is_class_method(entry: Entry) -> bool:
    return isinstance(inspect.getattr_static(find_class(entry.owner), entry.name), classmethod | staticmethod)


def find_class(name: str) -> type:
    for module in list_public_modules():
        if name in module.__all__:
            found: type = getattr(module, name)
            return found
    raise AssertionError(name)


def test_every_class_with_methods_can_be_made_here() -> None:
    """So that a new one cannot be forgotten: it needs a maker, or a reason in `EXEMPT`."""
    missing = {
        entry.owner for entry in HELD if entry.owner and entry.owner not in MAKERS and not is_class_method(entry)
    }
    assert not missing
    known = {entry.path for entry in ENTRIES} | {entry.owner for entry in ENTRIES} | {"TokenStore", "Sandbox.start"}
    assert set(EXEMPT) - known == set()


def test_the_entry_points_are_found() -> None:
    """Those that the page of each reference names among them."""
    found = {entry.path for entry in HELD}
    assert {"LeadConnector", "LeadConnector.request", "LeadConnector.with_options", "BulkJob.create"} <= found
    assert {"update_many", "read_plan", "expand_series", "WebhookVerifier.verify", "JobOptions", "Sandbox"} <= found
    assert {"FileTokenStore.lock", "OAuthApp.authorize_url", "RetryPolicy", "Limits", "parse_shift"} <= found
    assert len(found) > 70


class Wire:
    """What would have been sent. Reads are answered; writes are not allowed to matter."""

    def __init__(self) -> None:
        self.reads = self.writes = 0

    async def send(self, session: object, request: object, *rest: object) -> RawResponse:
        method: str = request.operation.method  # type: ignore[attr-defined]
        self.reads += method == "GET"
        self.writes += method != "GET"
        now = asyncio.get_running_loop().time()
        return RawResponse(200, CIMultiDictProxy(CIMultiDict()), msgspec.json.encode(FOUND), now)


async def call(entry: Entry, wrong: dict[str, Callable[[], object]], folder: Path) -> None:
    """Call it, and use what it gives as far as that goes."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(close_clients)
        required = [name for name in entry.parameters if entry.is_required(name)]
        arguments = {name: make_argument(entry, name, folder) for name in required}
        arguments |= {name: made for name, value in wrong.items() if not raises_itself(name, made := value())}
        function = entry.function
        if entry.owner:
            owner: object = find_class(entry.owner)
            if not is_class_method(entry):
                owner = await stack.enter_async_context(MAKERS[entry.owner](folder))
            function = getattr(owner, entry.name)
        await use(function(**arguments))


def raises_itself(name: str, value: object) -> bool:
    """What a listener of the user's raises, or what rows come from, is the user's own."""
    if name in ("lines", "rows"):
        return isinstance(value, Hostile)
    return name.startswith("on_") and callable(value) and value is not async_function


async def use(given: object) -> None:
    if inspect.isawaitable(given):
        given = await given
        if isinstance(given, BulkJob | LeadConnector):
            await given.aclose()
    elif isinstance(given, AsyncIterator):
        async for _ in given:
            pass
    elif isinstance(given, Iterator):
        for _ in islice(given, 20):
            pass
    elif hasattr(given, "__aenter__") and not isinstance(given, LeadConnector | Sandbox | OAuthApp):
        async with given:
            pass


def make_argument(entry: Entry, name: str, folder: Path) -> object:
    special = SPECIAL.get((entry.name, name))
    if special is not None:
        return special(folder)
    is_record = inspect.isclass(entry.function) and issubclass(entry.function, msgspec.Struct)
    return "x" if is_record and name not in GOOD else GOOD[name]()


@st.composite
def wrong_arguments(draw: st.DrawFn, entry: Entry) -> dict[str, Callable[[], object]]:
    names = list(entry.parameters)
    if entry.name in ("with_options", "from_env"):
        names = ["version", "timeouts", "retry", "priority", "app_info", "on_event"]
    if entry.name in WAITS_FOR_A_READING:
        names += ["title", "address", "appointment_status", "to_notify", "calendar_id"]
    chosen = draw(st.sets(st.sampled_from(names), min_size=1, max_size=3))
    return {name: draw(hostile) for name in sorted(chosen)}


@pytest.mark.parametrize("entry", HELD, ids=repr)
def test_only_our_errors_leave_an_entry_point(
    entry: Entry, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is passed: it works, or it raises a `LeadConnectorError` that can be shown, and nothing was sent."""
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-1")
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))

    loop_factory = (
        asyncio.SelectorEventLoop if entry.owner == "Clock" else None
    )  # it moves asyncio's own loops only

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(wrong_arguments(entry))
    def run(wrong: dict[str, Callable[[], object]]) -> None:
        wire = Wire()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Transport, "send", wire.send)
            try:
                with asyncio.Runner(loop_factory=loop_factory) as runner:
                    runner.run(call(entry, wrong, tmp_path_factory.mktemp("hostile")))
            except LeadConnectorError as error:
                text = str(error)
                text.encode()
                assert len(text) < 4000
                if isinstance(error, InvalidRequestError | ConfigurationError):
                    assert not wire.writes
                    assert not wire.reads or entry.name in WAITS_FOR_A_READING

    run()


async def test_every_value_as_a_location_or_a_token_is_taken_or_refused() -> None:
    """All pairs, as drawing a few at random has missed some."""
    async with LeadConnector("pit-1") as client:
        for location, token in itertools.product(VALUES, VALUES):
            with contextlib.suppress(LeadConnectorError):
                client.for_location(location(), token())  # type: ignore[arg-type]


async def test_a_long_key_is_cut_in_the_error_about_it() -> None:
    """However long an id may be, the text that names it is read by people."""
    app = OAuthApp("client", "secret", base_url="http://127.0.0.1:1")
    with pytest.raises(ReconnectRequiredError) as caught:
        await app.location_token("x" * 200_000, "loc")
    assert len(str(caught.value)) < 1000


def test_the_values_are_what_they_claim_to_be() -> None:
    """Each is made, and the hostile ones fail."""
    assert len([make() for make in VALUES]) == len(VALUES)
    for ask in (repr, str, bool, hash, len, iter):
        with pytest.raises(RuntimeError, match="hostile"):
            ask(Hostile())  # type: ignore[operator]
