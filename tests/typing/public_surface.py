"""What users write, as both type checkers must see it. Checked, never run."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import date, datetime, timedelta
from typing import TypedDict, assert_type

import msgspec
from pydantic import BaseModel

from leadconnector_async import (
    ApiError,
    Appointment,
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlot,
    BlockSlotCreate,
    BlockSlotUpdate,
    Booking,
    BookingConflict,
    Calendar,
    Change,
    Contact,
    Event,
    FileTokenStore,
    JsonValue,
    KeyringTokenStore,
    LeadConnector,
    MemoryTokenStore,
    Note,
    OAuthApp,
    Payload,
    PendingWrite,
    Quota,
    RateLimit,
    RedisTokenStore,
    Response,
    RetryPolicy,
    SlotOffer,
    SQLTokenStore,
    StoredToken,
    Timeouts,
    TokenStore,
    with_response,
)
from leadconnector_async.integrations.fastapi import Backend, JobRoutes
from leadconnector_async.jobs import (
    BulkJob,
    JobEntry,
    JobOptions,
    JobProgress,
    JobResult,
    JobService,
    JobSummary,
    RowFault,
    RowOutcome,
    Stopped,
    update_many,
)
from leadconnector_async.models import NoteAuthor
from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.webhooks import WebhookEvent, WebhookVerifier


class Group(msgspec.Struct):
    id: str


async def provide() -> str:
    return "token"


def handle(event: Event) -> None:
    assert_type(event.operation, str)


async def use(client: LeadConnector, update: AppointmentUpdate) -> None:
    assert_type(await client.update_appointment("id", update), Appointment)
    appointment = await client.get_appointment("id")
    assert_type(appointment.start_time, datetime | None)
    assert_type(appointment.appointment_status, str | None)
    answer = await with_response(client.get_appointment("id"))
    assert_type(answer, Response[Appointment])
    assert_type(answer.value, Appointment)
    assert_type(answer.headers, Mapping[str, str])
    assert_type(answer.quota, Quota)
    assert_type(answer.trace_id, str | None)
    assert_type(await client.request("GET", "/x"), JsonValue)
    assert_type(await client.request("GET", "/x", response_type=Group), Group)
    assert_type(await client.request("GET", "/x", response_type=list[Group]), list[Group])
    assert_type(await with_response(client.request("GET", "/x", response_type=Group)), Response[Group])
    assert_type(client.with_options(retry=RetryPolicy(deadline=5)), LeadConnector)


class Move(BaseModel):  # type: ignore[explicit-any] # without the plugin of pydantic
    title: str | None = None
    start_time: datetime | None = None


class MoveDict(TypedDict, total=False):
    title: str
    startTime: datetime


async def pass_payloads(client: LeadConnector, move: Move, fields: MoveDict) -> None:
    """A model, a dict of one type of value, of several, and a `TypedDict`."""
    texts = {"title": "x"}
    mixed = {"title": "x", "to_notify": False}
    assert_type(await client.update_appointment("id", move), Appointment)
    assert_type(await client.update_appointment("id", fields), Appointment)
    assert_type(await client.update_appointment("id", texts), Appointment)
    assert_type(await client.update_appointment("id", mixed), Appointment)
    assert_type(await client.reschedule_appointment("id", move, verify=True), Appointment)
    assert_type(await client.reschedule_appointment("id", AppointmentUpdate(title="x")), Appointment)
    assert_type(await client.plan_reschedule("id", fields, scope="series"), Change)
    assert_type(await client.create_appointment(texts, once="order-1"), Appointment)
    assert_type(await client.create_block_slot(texts), BlockSlot)
    assert_type(await client.update_block_slot("id", move), BlockSlot)
    assert_type(await client.book(datetime.now(), "contact", move), Booking | BookingConflict)
    pairs: list[tuple[str, Move]] = [("id", move)]
    rows: list[Move] = [move]
    assert_type(update_many(client, pairs), AsyncGenerator[RowOutcome])
    assert_type(update_many(client, rows), AsyncGenerator[RowOutcome])
    assert_type(update_many(client, [texts, fields]), AsyncGenerator[RowOutcome])
    assert_type(await BulkJob.create("job", client, rows), BulkJob)


def find_client(location: str) -> LeadConnector:
    return LeadConnector("t", location_id=location)


async def open_client(location: str) -> LeadConnector:
    return find_client(location)


async def stream() -> AsyncIterator[Move]:
    yield Move()


async def serve_jobs(client: LeadConnector, move: Move, fields: MoveDict) -> None:
    """Clients, and functions that return one; rows as a list and as a stream."""
    JobService("jobs/", find_client, options=JobOptions(rate=5), take_over_every=1)
    JobService("postgresql://db/leads", open_client, allow_plaintext=True)
    async with JobService("jobs/", client) as service:
        assert_type(service, JobService)
        assert_type(await service.submit("day", [move], location_id="l", timezone="UTC"), JobProgress)
        assert_type(await service.submit("day", stream(), options=JobOptions(verify=True)), JobProgress)
        await service.submit("day", [fields])
        await service.submit("day", [("id", move)])
        progress = await service.read_progress("day")
        assert_type(progress.stopped, tuple[Stopped, ...])
        assert_type(progress.faults, tuple[RowFault, ...])
        assert_type(service.watch("day"), AsyncGenerator[JobProgress])
        result = await service.read_result("day", states=["failed", "unknown"], after=0, most=10)
        assert_type(result, JobResult)
        assert_type(result.summary, JobSummary)
        assert_type(result.rows, tuple[RowOutcome, ...])
        assert_type(result.next_page, int | None)
        assert_type(await service.list_jobs(), list[JobEntry])
        assert_type(await service.pause("day"), bool)
        assert_type(await service.resume("day", skip_refused=True), bool)
        assert_type(await service.cancel("day"), bool)
        await service.set_rate("day", None)
        await service.submit("day", "rows.csv")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        await service.read_result("day", states=["lost"])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
    JobService("jobs/", "token")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    JobService("jobs/", client, JobOptions())  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    routes = JobRoutes(Backend(authorize=lambda request, location: True), "jobs/", options=JobOptions())
    assert_type(routes.service, JobService)


async def wrap(client: LeadConnector, update: Payload[AppointmentUpdate]) -> Appointment:
    return await client.update_appointment("id", update)


def take(update: Callable[[str, AppointmentUpdate], Awaitable[Appointment]]) -> None:
    assert_type(update("id", AppointmentUpdate()), Awaitable[Appointment])


def make() -> LeadConnector:
    client = LeadConnector(
        provide,
        location_id=None,
        timeouts=Timeouts(connect=5, total=10),
        retry=RetryPolicy(max_attempts=3, on_ambiguous="raise"),
        rate_limit=RateLimit(max_requests=20),
        on_event=handle,
    )
    assert_type(LeadConnector.from_env(), LeadConnector)
    take(client.update_appointment)
    return client


class OwnStore:
    async def load(self, key: str) -> StoredToken | None:
        return None

    async def save(self, key: str, token: StoredToken) -> None:
        pass

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()


async def connect() -> None:
    stores: list[TokenStore] = [FileTokenStore("tokens.json"), MemoryTokenStore(), OwnStore()]
    stores += [KeyringTokenStore("my-app", lock_folder="locks", lock_seconds=5.0)]
    stores += [SQLTokenStore("sqlite:///tokens.db"), RedisTokenStore("redis://localhost", key="k")]
    app = OAuthApp("id", "secret", store=stores[0], redirect_uri="https://example.com")
    assert_type(app.authorize_url(["scope"], state="x"), str)
    assert_type(await app.exchange_code("code", user_type="Company"), StoredToken)
    assert_type(await app.location_token("company", "location"), StoredToken)
    client = LeadConnector(app.provider("location"), location_id="location")
    assert_type(client.for_location("other"), LeadConnector)
    assert_type(client.for_location("other", provide), LeadConnector)


def read(error: ApiError) -> None:
    assert_type(error.messages, list[str])
    assert_type(error.retry_after, float | None)


async def wrong(client: LeadConnector) -> None:
    AppointmentUpdate(appointment_status="no_show")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    AppointmentUpdate(title=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await client.update_appointment("id", "title")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def try_out() -> None:
    async with Sandbox(limits=Limits(max_requests=5), faults={"update_appointment": ["503"]}) as sandbox:
        assert_type(sandbox.url, str)
        assert_type(sandbox.appointment_ids, tuple[str, ...])


def receive(verifier: WebhookVerifier, body: bytes, headers: Mapping[str, str]) -> None:
    event = verifier.verify(body, headers)
    assert_type(event, WebhookEvent)
    assert_type(event.type, str)
    assert_type(event.timestamp, datetime | None)
    assert_type(event.appointment, Appointment | None)


WebhookVerifier(b"key", "key", max_age_seconds=3600, require_timestamp=False, clock=lambda: 0.0)
WebhookVerifier("key", None, 300.0)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue] - settings are named


async def use_the_siblings(client: LeadConnector, booking: AppointmentCreate, when: datetime) -> None:
    assert_type(await client.create_appointment(booking), Appointment)
    assert_type(await client.delete_event("id"), bool)
    assert_type(await client.list_events(when, when, user_id="u"), list[Appointment])
    assert_type(await client.get_free_slots("id", when, when), dict[date, tuple[datetime, ...]])
    await client.get_free_slots("id", when, when, user_ids=["u"], user_ids_form="brackets", enable_look_busy=True)
    await client.get_free_slots("id", when, when, user_ids_form="pipes")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    assert_type(
        await client.get_free_slots(["a", "b"], when, when, slot_length=timedelta(hours=1)), list[SlotOffer]
    )
    booked = await client.book(SlotOffer(when, ()), "k", user_ids=["u"], once="turn 5", title="Intro call")
    assert_type(booked, Booking | BookingConflict)
    if isinstance(booked, Booking):
        assert_type(booked.appointment, Appointment)
    else:
        assert_type(booked.offers, tuple[SlotOffer, ...])
    await client.book(when, "k", calendar_ids=["a"], ignore_free_slot_validation=True)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    assert_type(await client.find_contacts(phone="+12125550123"), list[Contact])
    assert_type((await client.list_contact_appointments("k"))[0].start_time, str | None)
    assert_type(await client.find_appointments(when, when, email="ada@example.com"), list[Appointment])
    assert_type(await client.list_location_events(when, when), list[Appointment])
    assert_type(await client.list_calendars(group_id="g", show_drafted=False), list[Calendar])
    assert_type(await client.request("GET", "/x", query={"ids": ["a", "b"], "limit": 5}), JsonValue)
    block = BlockSlotCreate(calendar_id="c", start_time=when, end_time=when)
    assert_type(await client.create_block_slot(block), BlockSlot)
    assert_type(await client.update_block_slot("id", BlockSlotUpdate(calendar_id="c")), BlockSlot)
    BlockSlotCreate(location_id=None, start_time=when, end_time=when)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    booking = AppointmentCreate(calendar_id="c", contact_id="c", start_time=when)
    async for note in client.list_notes("id"):
        assert_type(note, Note)
        assert_type(note.created_by, NoteAuthor | None)
    calendar = await client.get_calendar("id")
    assert_type(calendar, Calendar)
    assert_type(calendar.allow_booking_after, float | None)
    assert_type(calendar.allow_reschedule, bool | None)
    for week in calendar.open_hours or ():
        assert_type(week.days_of_the_week, tuple[int, ...] | None)
    assert_type(await client.plan_reschedule("id", shift=timedelta(days=1)), Change)
    moved = await client.reschedule_appointment("id", start_time=when, title="x", verify=True)
    assert_type(moved, Appointment)
    assert_type(await with_response(client.delete_event("id")), Response[bool])


async def approve(write: PendingWrite) -> bool:
    assert_type(write.before, Appointment | None)
    return write.operation == "update_appointment"


def restrict() -> None:
    LeadConnector("t", access="read", approve=approve)
    LeadConnector("t", access="none")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    LeadConnector("t", approve=lambda write: True)  # type: ignore[arg-type,return-value] # pyright: ignore[reportArgumentType]
    LeadConnector.from_env(approve=approve, access="read").with_options(access="read")
