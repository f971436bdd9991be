"""No write reaches the server unless it is allowed and approved: of every public method, found by introspection."""

import inspect
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import pytest

from leadconnector_async import (
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlotCreate,
    BlockSlotUpdate,
    LeadConnector,
    LeadConnectorError,
    NotApprovedError,
    PendingWrite,
    ReadOnlyError,
    SlotOffer,
)
from leadconnector_async._call.gate import GatedPipeline
from leadconnector_async._call.pipeline import Pipeline
from leadconnector_async.jobs import BulkJob, update_many
from leadconnector_async.sandbox import Sandbox

from .conftest import QUICK, WIDE

ROUNDS = 4
"""Calls of each method, with arguments drawn anew."""
START = datetime(2027, 3, 9, 14, tzinfo=UTC)
WRITING = {
    "update_appointment",
    "reschedule_appointment",
    "create_appointment",
    "delete_event",
    "create_block_slot",
    "update_block_slot",
    "create_note",
    "update_note",
    "delete_note",
    "request",
    "book",
    "update_many",
    "BulkJob",
}
"""Those that were known when this was written: each is seen to write, so that its arguments are good ones."""

CHECKED_EARLY = {"reschedule_appointment", "book", "update_many", "BulkJob"}
"""Those that read first: a client that may only read is refused before that."""


class Draw:
    """Draws arguments: ids and texts by the name of the parameter, anything else by its type."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        self.dice = random.Random(seed)
        event = sandbox.appointment(self.dice.choice(sandbox.appointment_ids))
        moment = START + timedelta(minutes=30 * self.dice.randrange(10_000))
        self.by_name: dict[str, list[object]] = {
            "event_id": [event.id],
            "calendar_id": [event.calendar_id],
            "calendar_ids": [(event.calendar_id,)],
            "contact_id": [event.contact_id],
            "location_id": [sandbox.location_id],
            "user_id": [event.assigned_user_id],
            "assigned_user_id": [event.assigned_user_id],
            "user_ids": [(), (event.assigned_user_id,)],
            "group_id": ["group1"],
            "note_id": ["note1"],
            "phone": ["+442071234567"],
            "email": ["a@example.com"],
            "body": ["Called back"],
            "title": ["Intro call"],
            "details": [{"title": "Intro call", "toNotify": False}],
            "timezone": ["Europe/London"],
            "method": ["POST", "PUT", "PATCH", "DELETE"],
            "path": [f"/calendars/events/appointments/{event.id}", "/anything/else"],
            "response_type": [object],
            "query": [{"a": "b"}],
            "when": [moment],
            "start": [moment],
            "start_time": [moment],
            "end": [moment + timedelta(days=1)],
            "end_time": [moment + timedelta(hours=1)],
            "shift": [timedelta(days=1)],
        }
        self.plain: dict[object, object] = {str: "x1", int: 1, timedelta: timedelta(minutes=30), datetime: moment}
        self.by_type: dict[object, Callable[[], object]] = {
            bool: lambda: self.dice.random() < 0.5,
            AppointmentUpdate: lambda: AppointmentUpdate(title="Intro call", appointment_status="confirmed"),
            AppointmentCreate: lambda: AppointmentCreate(**self.draw_fields("calendar_id contact_id start_time")),
            BlockSlotCreate: lambda: BlockSlotCreate(**self.draw_fields("calendar_id start_time end_time title")),
            BlockSlotUpdate: lambda: BlockSlotUpdate(**self.draw_fields("calendar_id title")),
        }

    def draw_fields(self, names: str) -> dict[str, Any]:
        return {name: self.draw(name, None) for name in names.split()}

    def draw(self, name: str, kind: object) -> object:
        """By type, then by name, then by a plain type. Raises `LookupError` for a type that must be added above."""
        kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        known = [self.by_type[one]() for one in kinds if one in self.by_type]
        known += [choice for one in kinds if get_origin(one) is Literal for choice in get_args(one)]
        known = known or self.by_name.get(name, []) or [self.plain[one] for one in kinds if one in self.plain]
        if not known:
            raise LookupError(f"{name}: {kind}")
        return self.dice.choice(known)

    def fill(self, method: Callable[..., object]) -> dict[str, object]:
        """All required arguments, and some of the others: those that can be drawn."""
        hints = get_type_hints(method)
        filled: dict[str, object] = {}
        for name, parameter in inspect.signature(method).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD or name == "self":
                continue
            if parameter.default is parameter.empty or self.dice.random() < 0.3:
                filled[name] = self.draw(name, hints[name])
        return filled


REPAIRS: dict[str, Callable[[dict[str, Any]], None]] = {
    # One owner or contact only, and one way to say when: what the signature does not tell.
    "find_contacts": lambda filled: keep_one(filled, "phone", "email"),
    "find_appointments": lambda filled: keep_one(filled, "contact_id", "phone", "email"),
    "list_events": lambda filled: keep_one(filled, "calendar_id", "user_id", "group_id"),
    "list_blocked_slots": lambda filled: keep_one(filled, "calendar_id", "user_id", "group_id"),
    "reschedule_appointment": lambda filled: keep_one(filled, "shift", "start_time", "end_time"),
    "plan_reschedule": lambda filled: keep_one(filled, "shift", "start_time", "end_time"),
}


def keep_one(filled: dict[str, Any], *names: str) -> None:
    for name in names[1:]:
        filled.pop(name, None)
    filled.pop("scope", None)
    plain = {"shift": timedelta(days=1), "phone": "+442071234567"}
    filled.setdefault(names[0], plain.get(names[0], "id1"))


def list_methods() -> list[str]:
    """Whatever is async, and can be called."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return [
        name
        for name, one in inspect.getmembers(LeadConnector, inspect.isfunction)
        if not name.startswith("_") and name != "aclose" and any(kind(one) for kind in kinds)
    ]


async def call(client: LeadConnector, name: str, draw: Draw, folder: Path) -> object:
    """Make one call, and read all that it returns."""
    if name == "update_many":
        rows = [{"event_id": draw.draw("event_id", None), "title": "New"}]
        outcomes = [one async for one in update_many(client, rows, keep=draw.dice.random() < 0.5)]
        if outcomes[0].state != "applied":
            raise NotApprovedError(outcomes[0].reason)
        return outcomes
    if name == "BulkJob":
        rows = [{"event_id": draw.draw("event_id", None), "title": "New"}]
        async with await BulkJob.create(folder, client, rows) as job:
            summary = await job.run()
        if not summary.counts.get("applied"):
            raise NotApprovedError(str(summary))
        return summary
    method = getattr(client, name)
    filled = draw.fill(getattr(LeadConnector, name))
    if name == "book":
        filled |= {"when": await find_offer(client, draw), "user_ids": (), "calendar_ids": ()}
    REPAIRS.get(name, lambda filled: None)(filled)
    result = method(**filled)
    return [one async for one in result] if hasattr(result, "__aiter__") else await result


async def find_offer(client: LeadConnector, draw: Draw) -> SlotOffer:
    """A slot that is free."""
    calendar_id = str(draw.draw("calendar_id", None))
    offers = await client.get_free_slots([calendar_id], START, START + timedelta(days=7))
    return draw.dice.choice(offers)


async def refuse(pending: PendingWrite) -> bool:
    return False


class Tried(NamedTuple):
    """What the calls of a method have led to."""

    sent: bool
    wrote: bool
    errors: list[type[BaseException]]
    """Of each call; `NoneType` if it succeeded."""


async def try_all(name: str, folder: Path, **options: Any) -> Tried:
    errors: list[type[BaseException]] = []
    async with Sandbox(appointments=20, limits=WIDE) as sandbox:
        for seed in range(ROUNDS):
            async with LeadConnector(
                sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, retry=QUICK, **options
            ) as client:
                error = None
                try:
                    await call(client, name, Draw(sandbox, seed), folder / f"{seed}.job")
                except LeadConnectorError as caught:
                    error = caught
                errors.append(type(error))
        methods = [request.method for request in sandbox.requests]
    return Tried(bool(methods), any(method != "GET" for method in methods), errors)


NAMES = [*list_methods(), "update_many", "BulkJob"]


@pytest.mark.parametrize("name", NAMES)
async def test_no_write_reaches_the_server_unapproved(name: str, tmp_path: Path) -> None:
    """A method that writes when it may raises the error of its refusal; one that reads works as ever."""
    allowed = await try_all(name, tmp_path / "write")
    assert allowed.sent, "the arguments are not valid: see `Draw` and `REPAIRS`"
    assert allowed.wrote or name not in WRITING
    for options, error in (
        ({"access": "read"}, ReadOnlyError),
        ({"approve": refuse}, NotApprovedError),
        ({"access": "read", "approve": refuse}, ReadOnlyError),
    ):
        tried = await try_all(name, tmp_path / error.__name__ / str(len(options)), **options)
        assert not tried.wrote
        assert tried.errors == ([error] * ROUNDS if allowed.wrote else allowed.errors)


async def approve_all(pending: PendingWrite) -> bool:
    return True


@pytest.mark.parametrize("name", sorted(WRITING))
async def test_what_is_approved_reaches_the_server(name: str, tmp_path: Path) -> None:
    """The same calls succeed, or fail, as without approval."""
    allowed = await try_all(name, tmp_path / "write")
    tried = await try_all(name, tmp_path / "approve", approve=approve_all)
    assert tried.wrote
    assert tried.errors == allowed.errors


@pytest.mark.parametrize("name", sorted(WRITING - CHECKED_EARLY))
async def test_without_the_gate_every_write_is_seen(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls above would reach the server: these tests can fail."""
    monkeypatch.setattr(GatedPipeline, "call", Pipeline.call)
    monkeypatch.setattr(GatedPipeline, "create", Pipeline.create)
    for options in ({"access": "read"}, {"approve": refuse}):
        assert (await try_all(name, tmp_path / next(iter(options)), **options)).wrote
