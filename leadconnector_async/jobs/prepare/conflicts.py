"""Rows of a location that want each other's time: who goes first, and what becomes of cycles.

Who waits for whom is decided by `ordering`, from the appointments as they were read. Two rows that want the
same time are refused. A cycle is named, and then handled as the job's `on_conflict` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Final, TypeVar

from msgspec import Struct, structs

from ...client import LeadConnector
from ...exceptions import ApiError, InvalidRequestError, RowFault
from ...models import Appointment
from ...reschedule.plan import plan_change
from ..journal import preparing
from ..journal.preparing import PreparedRow
from ..journal.protocol import Journal
from ..states import OnConflict, describe_stop
from .check import build_stay
from .ordering import Cycle, Order, order_moves

T = TypeVar("T")
Run = Callable[[Callable[[Journal], T]], Awaitable[T]]

_LONGEST_LOOK: Final = timedelta(days=31)


class Parking(Struct, frozen=True):
    """A cycle, the appointment that gets out of the way, and where it goes."""

    cycle: Cycle
    event: Appointment
    start: datetime
    end: datetime


async def resolve_conflicts(
    client: LeadConnector, location: str, on_conflict: OnConflict, run: Run[object]
) -> None:
    """Write into the journal in which order the rows go, and which of them are refused for it: all, or nothing."""
    order = await _call(run, partial(_settle, location, on_conflict))
    if order is None:
        return
    places: dict[int, Parking] = {}
    for cycle in order.cycles:
        place = await _find_parking(client, location, cycle, run, list(places.values()))
        if place is not None:
            places[cycle.first] = place
    await _call(run, partial(_keep, location, order, on_conflict, places))


async def _call(run: Run[object], work: Callable[[Journal], T]) -> T:
    results: list[T] = []
    await run(lambda journal: results.append(work(journal)))
    return results[0]


def _settle(location: str, on_conflict: OnConflict, journal: Journal) -> Order | None:
    """Returns the order only if places must be found before it can be written: it is large, and there are many."""
    order = order_moves(preparing.list_moves(location, journal))
    if order.cycles and on_conflict == "park":
        return order
    _keep(location, order, on_conflict, {}, journal)
    return None


def _refuse_clashes(order: Order, journal: Journal) -> set[int]:
    """The later of two rows that want the same time is refused, unless one goes without the slot check."""
    refused: set[int] = set()
    for clash in order.clashes:
        first, second = (preparing.read_row(number, journal) for number in (clash.first, clash.second))
        if _ignores_slots(first) or _ignores_slots(second) or second.state != "pending":
            continue
        reason = f"it wants the same time of the same person as line {first.line}"
        hint = "give one another time, or set ignore_free_slot_validation where a slot has several places"
        preparing.refuse(clash.second, RowFault(second.line, "start_time", reason, hint), journal)
        refused.add(clash.second)
    return refused


def _ignores_slots(row: PreparedRow) -> bool:
    planned = row.planned
    return bool(planned) and planned[-1].ignore_free_slot_validation is True


async def _find_parking(
    client: LeadConnector, location: str, cycle: Cycle, run: Run[object], taken: list[Parking]
) -> Parking | None:
    """A free slot of the same person in the same calendar that no row of the plan wants."""
    event = (await _call(run, partial(preparing.read_row, cycle.first))).before
    stay = build_stay(event)
    if stay is None or event.calendar_id is None or event.start_time is None or event.end_time is None:
        return None
    users = () if event.assigned_user_id is None else (event.assigned_user_id,)
    begin = max(datetime.now(UTC) + timedelta(hours=1), event.start_time.astimezone(UTC))
    try:
        days = await client.get_free_slots(event.calendar_id, begin, begin + _LONGEST_LOOK, user_ids=users)
    except (ApiError, InvalidRequestError) as error:
        stopped = describe_stop(error, location)
        if stopped is not None and stopped.kind != "authentication":
            raise
        return None  # it may lack the scope of the calendars
    slots = sorted(slot for day in days.values() for slot in day)
    length = event.end_time - event.start_time
    for start in _list_long_enough(slots, length):
        begin_end = int(start.timestamp()), int((start + length).timestamp())
        is_taken = any(place.start < start + length and start < place.end for place in taken)
        if not is_taken and not await _call(run, partial(preparing.is_wanted, location, stay.owner, *begin_end)):
            return Parking(cycle, event, start, start + length)
    return None


def _list_long_enough(slots: list[datetime], length: timedelta) -> Iterator[datetime]:
    step = min((later - earlier for earlier, later in pairwise(slots)), default=length)
    known = set(slots)
    for start in slots:
        if all(start + step * number in known for number in range(1, -(-length // step))):
            yield start


def _keep(
    location: str, order: Order, on_conflict: OnConflict, places: dict[int, Parking], journal: Journal
) -> None:
    with journal.commit():
        order_of_rows = [
            (number, order.ranks.get(number, 1), blockers) for number, blockers in order.waits_for.items()
        ]
        preparing.write_order(location, order_of_rows, journal)
        stay = _refuse_clashes(order, journal)
        for cycle in order.cycles:
            place = places.get(cycle.first)
            if on_conflict == "force":
                _force(cycle, journal)
            elif place is not None and stay.isdisjoint(cycle.numbers):
                _park(place, journal)
            else:
                _skip(cycle, journal)
                stay.update(cycle.numbers)


def _force(cycle: Cycle, journal: Journal) -> None:
    """It goes first and without the slot check."""
    *others, last = preparing.read_row(cycle.first, journal).planned
    updates = (*others, structs.replace(last, ignore_free_slot_validation=True))
    preparing.send_first(cycle.first, updates, journal)


def _park(place: Parking, journal: Journal) -> None:
    """A row of its own moves the appointment aside, before all others; all of the cycle wait for it."""
    change = plan_change(
        place.event,
        event_id=place.event.id or "",
        start_time=place.start,
        end_time=place.end,
        changes={"to_notify": False},
    )
    preparing.add_parking(place.cycle.first, change.updates, place.cycle.numbers, journal)


def _skip(cycle: Cycle, journal: Journal) -> None:
    lines = [preparing.read_row(number, journal).line for number in cycle.numbers]
    shown = " -> ".join(f"line {line}" for line in (*lines, lines[0]))
    preparing.skip(cycle.numbers, f"each of these rows wants the time of the next: {shown}", journal)
