"""Rows of a location that need each other's time: which goes first, and how cycles are resolved.

`ordering` decides which row waits for which, from the appointments as they were read. Of two rows that need the
same time, the later one is refused. Cycles are resolved as the job's `on_conflict` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TypeVar

from msgspec import Struct, structs

from ..._api.free_slots import LONGEST_FREE_SLOTS
from ...client import LeadConnector
from ...exceptions import ApiError, InvalidRequestError, RowFault
from ...models import Appointment
from ...reschedule.plan import plan_change
from ..journal import preparing
from ..journal.preparing import PreparedRow
from ..journal.protocol import Journal
from ..journal.rows import recount
from ..states import OnConflict, describe_stop
from .check import build_busy_time
from .ordering import Cycle, Order, order_moves

T = TypeVar("T")
Run = Callable[[Callable[[Journal], T]], Awaitable[T]]


class Parking(Struct, frozen=True):
    """A cycle, the appointment that is moved out of the way, and the time it is moved to."""

    cycle: Cycle
    event: Appointment
    start: datetime
    end: datetime


async def resolve_conflicts(
    client: LeadConnector, location: str, on_conflict: OnConflict, run: Run[object]
) -> None:
    """Save the order of the rows, and which of them are refused: everything in one transaction.

    `run` works on the location.
    """
    order = await _call(run, partial(_order_rows, on_conflict))
    if order is None:
        return
    parkings: dict[int, Parking] = {}
    for cycle in order.cycles:
        parking = await _find_parking(client, location, cycle, run, list(parkings.values()))
        if parking is not None:
            parkings[cycle.first] = parking
    await _call(run, partial(_save, order, on_conflict, parkings))


async def _call(run: Run[object], work: Callable[[Journal], T]) -> T:
    results: list[T] = []
    await run(lambda journal: results.append(work(journal)))
    return results[0]


def _order_rows(on_conflict: OnConflict, journal: Journal) -> Order | None:
    """Returns the order only if it cannot be saved before free slots are found: it may be large."""
    order = order_moves(preparing.list_moves(journal))
    if order.cycles and on_conflict == "park":
        return order
    _save(order, on_conflict, {}, journal)
    return None


def _refuse_clashes(order: Order, journal: Journal) -> set[int]:
    """Refuse the later of two rows that need the same time, unless one of them ignores the slot check."""
    refused: set[int] = set()
    for clash in order.clashes:
        first, second = (preparing.read_row(number, journal) for number in (clash.first, clash.second))
        if _ignores_slots(first) or _ignores_slots(second) or second.state != "pending":
            continue
        reason = f"it needs the same time of the same person as line {first.line}"
        hint = "change the time of one, or set ignore_free_slot_validation if a slot can be booked more than once"
        preparing.refuse(clash.second, RowFault(second.line, "start_time", reason, hint), journal)
        refused.add(clash.second)
    return refused


def _ignores_slots(row: PreparedRow) -> bool:
    planned = row.planned
    return bool(planned) and planned[-1].ignore_free_slot_validation is True


async def _find_parking(
    client: LeadConnector, location: str, cycle: Cycle, run: Run[object], taken: list[Parking]
) -> Parking | None:
    """A free slot of the same person in the same calendar that no row of the plan needs."""
    event = (await _call(run, partial(preparing.read_row, cycle.first))).before
    busy = build_busy_time(event)
    if busy is None or event.calendar_id is None or event.start_time is None or event.end_time is None:
        return None
    users = () if event.assigned_user_id is None else (event.assigned_user_id,)
    begin = max(datetime.now(UTC) + timedelta(hours=1), event.start_time.astimezone(UTC))
    try:
        days = await client.get_free_slots(event.calendar_id, begin, begin + LONGEST_FREE_SLOTS, user_ids=users)
    except (ApiError, InvalidRequestError) as error:
        stopped = describe_stop(error, location)
        if stopped is not None and stopped.kind != "authentication":
            raise
        return None  # the token may lack the scope for calendars
    slots = sorted(slot for day in days.values() for slot in day)
    length = event.end_time - event.start_time
    for start in _list_long_enough(slots, length):
        begin_end = int(start.timestamp()), int((start + length).timestamp())
        is_taken = any(parking.start < start + length and start < parking.end for parking in taken)
        if not is_taken and not await _call(run, partial(preparing.is_wanted, busy.owner, *begin_end)):
            return Parking(cycle, event, start, start + length)
    return None


def _list_long_enough(slots: list[datetime], length: timedelta) -> Iterator[datetime]:
    step = min((later - earlier for earlier, later in pairwise(slots)), default=length)
    known = set(slots)
    for start in slots:
        if all(start + step * number in known for number in range(1, -(-length // step))):
            yield start


def _save(order: Order, on_conflict: OnConflict, parkings: dict[int, Parking], journal: Journal) -> None:
    with journal.commit():
        order_of_rows = [
            (number, order.ranks.get(number, 1), blockers) for number, blockers in order.waits_for.items()
        ]
        preparing.write_order(order_of_rows, journal)
        unmoved = _refuse_clashes(order, journal)
        for cycle in order.cycles:
            parking = parkings.get(cycle.first)
            if on_conflict == "force":
                _force(cycle, journal)
            elif parking is not None and unmoved.isdisjoint(cycle.numbers):
                _park(parking, journal)
            else:
                _skip(cycle, journal)
                unmoved.update(cycle.numbers)
        recount(journal)


def _force(cycle: Cycle, journal: Journal) -> None:
    """Send the first row before the others, without the slot check."""
    *others, last = preparing.read_row(cycle.first, journal).planned
    updates = (*others, structs.replace(last, ignore_free_slot_validation=True))
    preparing.send_first(cycle.first, updates, journal)


def _park(parking: Parking, journal: Journal) -> None:
    """Add a row that moves the appointment out of the way first; all rows of the cycle wait for it."""
    change = plan_change(
        parking.event,
        event_id=parking.event.id or "",
        start_time=parking.start,
        end_time=parking.end,
        changes={"to_notify": False},
    )
    preparing.add_parking(parking.cycle.first, change.updates, parking.cycle.numbers, journal)


def _skip(cycle: Cycle, journal: Journal) -> None:
    lines = [preparing.read_row(number, journal).line for number in cycle.numbers]
    shown = " -> ".join(f"line {line}" for line in (*lines, lines[0]))
    preparing.skip(cycle.numbers, f"each of these rows needs the time of the next: {shown}", journal)
