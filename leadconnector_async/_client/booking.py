"""`book`: from a free slot to an appointment that was read back, or to the slots that are free instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Final, TypedDict, Unpack

from msgspec import UNSET, Struct

from .. import _api
from .._api.convert import Item, is_convertible, list_items, list_spellings, name_fields
from .._api.validate import check_create
from .._calendar import SlotOffer, SlotOwner
from .._validation.arguments import check_ids, check_instant, check_long_range, check_once, refuse
from ..access import check_may_write
from ..exceptions import KeyReusedError, LeadConnectorError, SlotUnavailableError, VerificationError
from ..inputs import ModelLike
from ..models import Appointment, AppointmentCreate, AppointmentStatus, MeetingLocationType
from .finding import FindingMethods

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GONE: Final = frozenset({"cancelled", "invalid"})
_WEEK: Final = timedelta(days=7)
_MOST_OFFERS: Final = 1000
_ROUNDS: Final = 3
_DECIDED: Final = ("calendar_id", "contact_id", "start_time", "assigned_user_id")
"""Fields of an appointment that follow from the other arguments of `book`."""


class BookingDetails(TypedDict, total=False):
    """Fields of `AppointmentCreate` that `book` passes on."""

    title: str
    """As in `AppointmentUpdate`."""
    description: str
    """As in `AppointmentUpdate`."""
    address: str
    """As in `AppointmentUpdate`."""
    meeting_location_type: MeetingLocationType
    """As in `AppointmentUpdate`."""
    meeting_location_id: str
    """As in `AppointmentUpdate`."""
    appointment_status: AppointmentStatus
    """As in `AppointmentUpdate`."""
    end_time: datetime
    """As in `AppointmentUpdate`."""
    to_notify: bool
    """As in `AppointmentUpdate`."""


class Booking(Struct, frozen=True):
    """The slot was booked."""

    appointment: Appointment
    """As it was read back, or as it was created if that failed."""
    verified: bool
    """Reading it back has shown what was booked. `False` if it could not be read, or does not show every field."""


class BookingConflict(Struct, frozen=True):
    """The slot is not free, and nothing was booked."""

    offers: tuple[SlotOffer, ...]
    """The next free slots, earliest first; empty if there are none in the range that was searched."""


class BookingMethods(FindingMethods):
    """The operations of `FindingMethods`, and `book`."""

    async def book(
        self,
        when: SlotOffer | SlotOwner | datetime,
        contact_id: str,
        details: Mapping[str, object] | ModelLike | None = None,
        *,
        calendar_ids: Sequence[str] = (),
        user_ids: Sequence[str] = (),
        once: str | None = None,
        most_offers: int = 3,
        within: timedelta = _WEEK,
        timezone: str | None = None,
        **others: Unpack[BookingDetails],
    ) -> Booking | BookingConflict:
        """Book a slot for a contact, and read the appointment back; or return the next free slots if it is taken.

        `contact_id` is the contact, and `when` is an offer of `get_free_slots`, one of its owners, or a time as it
        was offered. If several calendars or users offer it, the first that is still free gets the booking. For a
        time, `calendar_ids` says whose slot it is; for an offer, where else to look for free slots. `user_ids`
        restricts both to these users, so that the appointment is assigned to one of them. Fields of
        `AppointmentCreate` are passed by name (`others`), or together as `details`: a mapping or a pydantic model,
        as in `Payload`.

        If the slot is not free when it is checked, or when it is booked, returns a `BookingConflict` with at most
        `most_offers` slots that begin later, less than `within` after it. `timezone` is the zone of their offsets.

        `once` is a key, as in `create_appointment`: the same call with the same key returns the same appointment,
        even if another calendar or user would get it by now. After a conflict the key is free again.

        Raises what `create_appointment` and `get_free_slots` raise, and `VerificationError` if reading the
        appointment shows something else.
        """
        check_may_write(self._access, "book")
        calendar_ids, user_ids = check_ids("calendar_ids", calendar_ids), check_ids("user_ids", user_ids)
        owners = _list_owners(when, calendar_ids, user_ids)
        _check_search(most_offers, owners[0].start_time, within)
        if once is not None:
            check_once(once)
        bookings = self._build_all(owners, contact_id, _merge_details(details, others))
        search = _Search(
            calendar_ids=[*dict.fromkeys([*(owner.calendar_id for owner in owners), *calendar_ids])],
            user_ids=[*dict.fromkeys([*(owner.user_id for owner in owners if owner.user_id), *user_ids])],
            start=owners[0].start_time,
            within=within,
            timezone=timezone,
        )
        offers = await self._search(search)
        tried = _order(owners, offers, keyed=once is not None)
        created = await self._book_first([bookings[owner] for owner in tried], once)
        if created is not None:
            return await self._verify(*created)
        if tried:
            offers = await self._search(search)
        later = [offer for offer in offers if offer.start_time - _EPOCH != search.start - _EPOCH]
        return BookingConflict(tuple(later[:most_offers]))

    def _build_all(
        self, owners: Iterable[SlotOwner], contact_id: str, fields: dict[str, object]
    ) -> dict[SlotOwner, AppointmentCreate]:
        """The booking of each owner, checked."""
        bookings = {owner: _build(owner, contact_id, fields) for owner in owners}
        for booking in bookings.values():
            check_create(booking, self._version, location_id=self._location_id)
        return bookings

    async def _search(self, search: _Search) -> list[SlotOffer]:
        return await self.get_free_slots(
            search.calendar_ids,
            search.start,
            search.start + search.within,
            timezone=search.timezone,
            user_ids=search.user_ids,
        )

    async def _book_first(
        self, bookings: Sequence[AppointmentCreate], once: str | None
    ) -> tuple[Appointment, AppointmentCreate] | None:
        """Book the first that is not taken; returns it as created and as sent, or `None` if all are taken.

        A key belongs to one of them at a time. One that is refused gives it back; while another call with the same
        key tries a different one, it is in use, so all are tried again.
        """
        reused: KeyReusedError | None = None
        try:
            for _ in range(_ROUNDS):
                reused, refused = None, False
                for booking in bookings:
                    try:
                        return await self.create_appointment(booking, once=once), booking
                    except SlotUnavailableError as error:
                        if error.outcome != "not_applied":
                            raise
                        refused = True
                    except KeyReusedError as error:
                        reused = error
                if reused is None or not refused:
                    break
            if reused is not None:
                raise reused
            return None
        finally:
            del reused  # or it and its traceback would hold each other

    async def _verify(self, created: Appointment, booking: AppointmentCreate) -> Booking:
        if created.id is None:
            return Booking(created, verified=False)
        try:
            shown = await self.get_appointment(created.id)
        except LeadConnectorError:  # it was booked, and its id must not be lost
            return Booking(created, verified=False)
        verdict = _api.created.compare_appointment(
            check_create(booking, self._version, location_id=self._location_id), shown
        )
        if verdict is False or shown.deleted or shown.appointment_status in _GONE:
            raise VerificationError(
                f"The appointment {created.id} was booked, but reading it shows something else: it has been moved, "
                "cancelled or deleted since.",
                operation="book",
                outcome="applied",
            )
        return Booking(shown, verified=verdict is True)


class _Search(Struct, frozen=True, kw_only=True):
    """Where free slots are looked for."""

    calendar_ids: list[str]
    user_ids: list[str]
    start: datetime
    within: timedelta
    timezone: str | None


def _order(owners: Sequence[SlotOwner], offers: Sequence[SlotOffer], *, keyed: bool) -> list[SlotOwner]:
    """Who is tried: those who still offer the slot. With a key also the others, whom it may have booked before."""
    free = [owner for owner in owners if _is_offered(owner, offers)]
    return [*free, *(owner for owner in owners if owner not in free)] if keyed else free


def _is_offered(owner: SlotOwner, offers: Iterable[SlotOffer]) -> bool:
    """Whether this calendar, for this user, still offers the slot."""
    return any(
        (one.calendar_id, one.user_id) == (owner.calendar_id, owner.user_id)
        for offer in offers
        if offer.start_time - _EPOCH == owner.start_time - _EPOCH
        for one in offer.owners
    )


def _list_owners(
    when: SlotOffer | SlotOwner | datetime, calendar_ids: Sequence[str], user_ids: Sequence[str]
) -> tuple[SlotOwner, ...]:
    """Whose slot it may be, the first choice first. Raises `InvalidRequestError`."""
    if isinstance(when, SlotOffer | SlotOwner):
        owners = when.owners if isinstance(when, SlotOffer) else (when,)
        if not isinstance(owners, tuple) or not owners or not all(isinstance(one, SlotOwner) for one in owners):
            raise refuse("when", when, "it has no owners", "pass an offer as get_free_slots returns it")
        for owner in owners:
            check_ids("when", [owner.calendar_id] if owner.user_id is None else [owner.calendar_id, owner.user_id])
            check_instant("when", owner.start_time)
        if user_ids and any(owner.user_id is None for owner in owners):
            hint = "pass them to get_free_slots, so that its offers name users"
            raise refuse("user_ids", user_ids, "the offer names no users", hint)
        return owners
    start = check_instant("when", when)
    return tuple(
        SlotOwner(one.calendar_id, one.user_id, start)
        for one in _api.slot_offers.list_sources(calendar_ids, user_ids)
    )


def _merge_details(details: Mapping[str, object] | ModelLike | None, others: BookingDetails) -> dict[str, object]:
    """By their fields. Raises `InvalidRequestError` for what is given twice, or follows from other arguments."""
    items: list[Item] = list(others.items())
    if is_convertible(details):
        items += list_items(details, list_spellings(AppointmentCreate))
    elif details is not None:
        raise refuse("details", details, "it is not a mapping", "pass a dict or a pydantic model")
    fields = name_fields(items, AppointmentCreate)
    for name in _DECIDED:
        if name in fields:
            hint = "leave it out; restrict calendar_ids or user_ids to choose who is booked"
            raise refuse(name, fields[name], "the slot and the contact are arguments of their own", hint)
    return fields


def _build(owner: SlotOwner, contact_id: str, fields: dict[str, object]) -> AppointmentCreate:
    decided = {
        "calendar_id": owner.calendar_id,
        "contact_id": contact_id,
        "start_time": owner.start_time,
        "assigned_user_id": UNSET if owner.user_id is None else owner.user_id,
    }
    return AppointmentCreate(**decided | fields)  # type: ignore[arg-type] # `check_create` follows


def _check_search(most_offers: int, start: datetime, within: timedelta) -> None:
    if not isinstance(most_offers, int) or not 0 <= most_offers <= _MOST_OFFERS:
        raise refuse("most_offers", most_offers, "it is not a number of offers", f"pass 0 to {_MOST_OFFERS}")
    if not isinstance(within, timedelta) or within <= timedelta(0):
        raise refuse("within", within, "it is not a positive timedelta", "pass one, such as timedelta(days=7)")
    try:
        check_long_range(start, start + within)
    except OverflowError:
        raise refuse("within", within, f"it ends after the year {MAXYEAR}", "pass a shorter one") from None
