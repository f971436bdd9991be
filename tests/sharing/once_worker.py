"""Processes that book under a key, and are killed: `python -m tests.sharing.once_worker`.

Each line of its input is an order. For each it forks a process that books, kills that process if it was told to,
and prints what came of it, as JSON. A fork takes milliseconds, so hundreds of processes can be killed in a minute.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path

import msgspec
from msgspec import Struct

from leadconnector_async import (
    AppointmentCreate,
    LeadConnector,
    LeadConnectorError,
    PendingWrite,
    RateLimit,
    RetryPolicy,
    Shared,
    with_response,
)


class Booking(Struct, frozen=True):
    """What to book, where, and under which key; `tasks` times at once."""

    store: str
    base_url: str
    token: str
    location_id: str
    calendar_id: str
    contact_id: str
    user_id: str
    start: datetime
    once: str
    title: str = "Check-up"
    tasks: int = 1
    apply_timeout: float = 0.5
    deadline: float = 60.0
    hold: float = 0.0
    """Seconds between the intent and the request, at most: somebody approves the booking."""
    approving: str = ""
    """A file that is made when somebody is asked to approve it, which takes that long then; empty: none."""


class Order(Struct, frozen=True):
    """A process to start, and when to kill it, in seconds after it has begun; `None`: never."""

    booking: Booking
    kill_after: float | None = None
    kill_when: str = ""
    """Instead, when this file exists."""
    freeze_when: str = ""
    """Stop it when this file exists, and let it continue when `continue_when` does."""
    continue_when: str = ""


class Outcome(Struct):
    """What a process returned; nothing if it was killed."""

    ids: list[str | None] = []
    reconciled: int = 0
    errors: list[str] = []
    seconds: float = 0.0


def make_appointment(booking: Booking) -> AppointmentCreate:
    """The request of every process."""
    return AppointmentCreate(
        calendar_id=booking.calendar_id,
        contact_id=booking.contact_id,
        assigned_user_id=booking.user_id,
        title=booking.title,
        start_time=booking.start,
        ignore_free_slot_validation=True,
    )


async def book(booking: Booking, begin: Callable[[], object]) -> Outcome:
    """Book it as often as wanted, at once; call `begin` before that."""

    async def approve(pending: PendingWrite) -> bool:
        if booking.approving:
            Path(booking.approving).touch()
        await asyncio.sleep(booking.hold if booking.approving else random.uniform(0, booking.hold))
        return True

    outcome, began = Outcome(), time.monotonic()
    async with (
        Shared(booking.store) as shared,
        LeadConnector(
            booking.token,
            base_url=booking.base_url,
            location_id=booking.location_id,
            shared=shared,
            rate_limit=RateLimit(interval=1.0),
            retry=RetryPolicy(apply_timeout=booking.apply_timeout, deadline=booking.deadline),
            approve=approve if booking.hold else None,
        ) as client,
    ):
        begin()
        appointment = make_appointment(booking)
        calls = [client.create_appointment(appointment, once=booking.once) for _ in range(booking.tasks)]
        for found in await asyncio.gather(*map(with_response, calls), return_exceptions=True):
            if isinstance(found, BaseException):
                if not isinstance(found, LeadConnectorError):
                    raise found
                outcome.errors.append(f"{type(found).__name__}: {found}")
            else:
                outcome.ids.append(found.value.id)
                outcome.reconciled += found.reconciled
    outcome.seconds = time.monotonic() - began
    return outcome


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.005)


def carry_out(order: Order) -> Outcome:
    """In a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        outcome = asyncio.run(book(order.booking, lambda: os.write(writing, b"\n")))
        with os.fdopen(writing, "wb") as result:
            result.write(msgspec.json.encode(outcome))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as result:
        result.readline()  # it has begun
        if order.kill_after is not None:
            time.sleep(order.kill_after)
            os.kill(child, signal.SIGKILL)
        elif order.kill_when:
            wait_for(order.kill_when)
            os.kill(child, signal.SIGKILL)
        elif order.freeze_when:
            wait_for(order.freeze_when)
            os.kill(child, signal.SIGSTOP)
            wait_for(order.continue_when)
            os.kill(child, signal.SIGCONT)
        content = result.read()
    os.waitpid(child, 0)
    return msgspec.json.decode(content, type=Outcome) if content else Outcome()


if __name__ == "__main__":
    for driver in ("postgres_keys", "redis_keys"):  # before the forks: importing takes longer than booking
        import_module(f"leadconnector_async.integrations.{driver}")
    for line in sys.stdin:
        print(msgspec.json.encode(carry_out(msgspec.json.decode(line, type=Order))).decode(), flush=True)  # noqa: T201
