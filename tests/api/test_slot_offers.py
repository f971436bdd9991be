"""Free slots of several calendars and users, merged: the pure function, and the requests around it."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import (
    DecodeError,
    InvalidRequestError,
    LeadConnector,
    LeadConnectorError,
    PermissionDeniedError,
    SlotOffer,
)
from leadconnector_async._api.free_slots import FreeSlots, build_get_free_slots
from leadconnector_async._api.slot_offers import SlotSource, list_sources, merge_free_slots
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from ..raw_server import answer, raw_server

START = datetime(2027, 3, 14, 5, tzinfo=UTC)
OFFSETS = [timezone(timedelta(minutes=15 * quarter)) for quarter in (-20, -16, 0, 4, 22)]
DAY = datetime(2027, 6, 1, tzinfo=ZoneInfo("America/New_York"))


@st.composite
def slots(draw: st.DrawFn) -> FreeSlots:
    """Slots of a calendar by day, in any order, some of them twice, each in an offset of its own."""
    days: FreeSlots = {}
    for minutes in draw(st.lists(st.integers(0, 40).map(lambda number: 15 * number), max_size=12)):
        moment = (START + timedelta(minutes=minutes)).astimezone(draw(st.sampled_from(OFFSETS)))
        days[moment.date()] = (*days.get(moment.date(), ()), moment)
    return days


SOURCES = st.builds(SlotSource, st.sampled_from("abc"), st.sampled_from([None, "u", "v"]))
FOUND = st.lists(st.tuples(SOURCES, slots()), max_size=6)
LENGTHS = st.integers(1, 90).map(lambda minutes: timedelta(minutes=minutes))
Found = list[tuple[SlotSource, FreeSlots]]


def list_pairs(found: Found) -> set[tuple[datetime, SlotSource]]:
    return {(slot, source) for source, days in found for day in days.values() for slot in day}


@given(found=FOUND)
def test_every_slot_is_offered_once_and_says_whose_it_is(found: Found) -> None:
    """No instant twice, in order; exactly the calendars and users that have it, each as it was offered."""
    offers = merge_free_slots(found)
    starts = [offer.start_time for offer in offers]
    assert starts == sorted(set(starts))
    owners = [(offer, owner) for offer in offers for owner in offer.owners]
    told = [(owner.start_time, SlotSource(owner.calendar_id, owner.user_id)) for _, owner in owners]
    assert set(told) == list_pairs(found)
    assert max(Counter(told).values(), default=1) == 1
    assert all(owner.start_time == offer.start_time for offer, owner in owners)
    for offer, owner in owners:
        as_offered = {slot.isoformat() for _, days in found for day in days.values() for slot in day}
        assert owner.start_time.isoformat() in as_offered
        assert offer.start_time.isoformat() == offer.owners[0].start_time.isoformat()


@given(found=FOUND, order=st.randoms(use_true_random=False))
def test_the_order_of_responses_changes_nothing_but_who_is_named_first(found: Found, order: object) -> None:
    """The same offers, with the same owners."""
    shuffled = found.copy()
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = merge_free_slots(found), merge_free_slots(shuffled)
    assert [offer.start_time for offer in first] == [offer.start_time for offer in second]
    for one, other in zip(first, second, strict=True):
        assert {(owner.calendar_id, owner.user_id) for owner in one.owners} == {
            (owner.calendar_id, owner.user_id) for owner in other.owners
        }


@given(found=FOUND, length=LENGTHS)
def test_with_a_length_no_two_offers_overlap_and_none_is_missing(found: Found, length: timedelta) -> None:
    """What is left out overlaps an offer that is in, which begins earlier."""
    offers = merge_free_slots(found, length)
    everything = merge_free_slots(found)
    starts = [offer.start_time for offer in offers]
    assert all(later - earlier >= length for earlier, later in pairwise(starts))
    assert [one for one in everything if one in offers] == offers
    for left_out in everything:
        if left_out not in offers:
            assert any(start < left_out.start_time < start + length for start in starts)


def test_both_hours_of_a_clock_that_is_set_back_are_offered() -> None:
    """01:30 twice on one day, an hour apart; and one instant that two zones show on different days is one offer."""
    day = date(2027, 11, 7)
    summer, winter = (datetime.fromisoformat(f"2027-11-07T01:30:00-0{hours}:00") for hours in (4, 5))
    london = winter.astimezone(ZoneInfo("Europe/London"))
    zone = ZoneInfo("America/New_York")
    ny = tuple(datetime(2027, 11, 7, 1, 30, tzinfo=zone, fold=fold) for fold in (0, 1))
    offers = merge_free_slots(
        [
            (SlotSource("ny", None), {day: (winter, summer)}),
            (SlotSource("ldn", None), {day: (london,)}),
            (SlotSource("zone", None), {day: ny}),
        ]
    )
    assert [offer.start_time.isoformat() for offer in offers] == [summer.isoformat(), winter.isoformat()]
    assert [offer.calendar_ids for offer in offers] == [("ny", "zone"), ("ny", "ldn", "zone")]


def test_each_calendar_and_user_is_asked_about_once() -> None:
    """In the order in which they are passed; without users, each calendar."""
    assert list_sources(["a", "b", "a"], ["v", "u", "v"]) == [
        SlotSource("a", "v"),
        SlotSource("a", "u"),
        SlotSource("b", "v"),
        SlotSource("b", "u"),
    ]
    assert list_sources(("a", "a"), ()) == [SlotSource("a", None)]


async def test_calendars_are_merged_as_if_each_was_listed_by_itself(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    """Four calendars in four zones, over the day on which New York sets its clocks forward."""
    calendars = list(sandbox.store.calendars)
    start, end = datetime(2027, 3, 13, tzinfo=UTC), datetime(2027, 3, 16, tzinfo=UTC)
    offers = await client.get_free_slots(calendars, start, end)
    wanted = {
        (slot, calendar)
        for calendar in calendars
        for day in (await client.get_free_slots(calendar, start, end)).values()
        for slot in day
    }
    assert {(owner.start_time, owner.calendar_id) for offer in offers for owner in offer.owners} == wanted
    assert [offer.start_time for offer in offers] == sorted({slot for slot, _ in wanted})
    assert max(len(offer.calendar_ids) for offer in offers) > 1
    assert {offer.user_ids for offer in offers} == {()}


def test_a_range_at_the_end_of_all_time_is_split_too() -> None:
    """Without counting beyond the year 9999."""
    last = datetime(9999, 12, 31, tzinfo=UTC)
    (request,) = build_get_free_slots("c", last - timedelta(days=5), last, timezone=None, user_ids=[])
    assert request.query is not None


async def test_offers_name_the_users_who_are_free(client: LeadConnector, sandbox: Sandbox) -> None:
    """Found by a request for each user; one who is booked is not named."""
    first = sandbox.appointment(sandbox.appointment_ids[0])
    busy, free = first.assigned_user_id, sandbox.store.calendars[first.calendar_id].team[4]
    start, end = first.start_time, first.start_time + timedelta(hours=2)
    offers = await client.get_free_slots([first.calendar_id], start, end, user_ids=[busy, free])
    assert offers[0].user_ids == (free,)
    assert offers[0].start_time == start
    assert offers[-1].user_ids == (busy, free)
    assert [one.query.count("userId=") for one in sandbox.requests.of("get_free_slots")] == [1, 1]


async def test_a_list_of_one_calendar_is_a_list_of_offers(client: LeadConnector, sandbox: Sandbox) -> None:
    """Over more than 31 days, each slot once; a single id still gives days."""
    calendar = next(iter(sandbox.store.calendars))
    days = await client.get_free_slots(calendar, DAY, DAY + timedelta(days=40))
    offers = await client.get_free_slots((calendar,), DAY, DAY + timedelta(days=40))
    assert [offer.start_time for offer in offers] == [slot for day in days.values() for slot in day]
    assert all(isinstance(offer, SlotOffer) for offer in offers)
    hourly = await client.get_free_slots([calendar], DAY, DAY + timedelta(days=1), slot_length=timedelta(hours=1))
    assert [offer.start_time.minute for offer in hourly] == [0] * 10


def test_a_slot_length_may_be_as_long_as_a_timedelta_can_be() -> None:
    """Then the first slot is the only one."""
    days: FreeSlots = {START.date(): (START, START + timedelta(hours=1))}
    (offer,) = merge_free_slots([(SlotSource("a", None), days)], timedelta.max)
    assert offer.start_time == START


@pytest.mark.parametrize(
    ("calendars", "options", "field"),
    [
        ([], {}, "calendar_id"),
        (["a", ""], {}, "calendar_id"),
        (["a", 5], {}, "calendar_id"),
        (["a"], {"user_ids": "u"}, "user_ids"),
        (["a"], {"user_ids_form": "pipes"}, "user_ids_form"),
        (["a"], {"slot_length": timedelta(0)}, "slot_length"),
        (["a"], {"slot_length": 30}, "slot_length"),
        ("a", {"slot_length": timedelta(minutes=30)}, "slot_length"),
        (["a"], {"timezone": "EST"}, "timezone"),
        ({"a"}, {}, "calendar_id"),
    ],
)
async def test_what_cannot_be_merged_is_refused(
    client: LeadConnector, sandbox: Sandbox, calendars: object, options: dict[str, object], field: str
) -> None:
    """Before anything is sent, by the name of the argument."""
    with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
        await client.get_free_slots(calendars, DAY, DAY + timedelta(days=1), **options)  # type: ignore[call-overload]
    assert caught.value.field == field
    assert len(sandbox.requests) == 0


async def test_an_error_names_its_calendar(client: LeadConnector, sandbox: Sandbox) -> None:
    """Half a result is none: it would look as if the other calendar had no free slot."""
    calendar, user = next(iter(sandbox.store.calendars)), "u"
    with pytest.raises(LeadConnectorError, match=r"\(calendar nowhere, user u\)"):
        await client.get_free_slots([calendar, "nowhere"], DAY, DAY + timedelta(days=1), user_ids=[user])
    sandbox.faults.plan("get_free_slots", ["ok", "403"])
    with pytest.raises(PermissionDeniedError, match=r"\(calendar "):
        await client.get_free_slots(list(sandbox.store.calendars), DAY, DAY + timedelta(days=1))


async def test_a_day_that_cannot_be_read_is_no_day_without_slots() -> None:
    """In merged slots as in those of one calendar."""
    odd = answer(200, b'{"2027-06-01": {"slots": 5}, "2027-06-02": {"slots": ["2027-06-02T09:00:00-04:00"]}}')
    async with raw_server(odd) as server, LeadConnector("t", base_url=server.url) as client:
        with pytest.raises(DecodeError, match=r"2027-06-01 cannot be read.*calendar c"):
            await client.get_free_slots(["c"], DAY, DAY + timedelta(days=2))


async def test_only_a_few_requests_are_on_their_way_at_once(make_client: MakeClient, sandbox: Sandbox) -> None:
    """However many calendars there are; and none follows once one has failed."""
    active = most = 0

    def count(event: object) -> None:
        nonlocal active, most
        kind = type(event).__name__
        active += (kind == "RequestSent") - (kind in ("ResponseReceived", "RequestFailed"))
        most = max(most, active)

    client = make_client(on_event=count)
    sandbox.faults.plan("get_free_slots", ["stall 0.02"] * 30)
    users = [f"user{number}" for number in range(30)]
    await client.get_free_slots([*sandbox.store.calendars][:1], DAY, DAY + timedelta(days=1), user_ids=users)
    assert (most, active, len(sandbox.requests)) == (8, 0, 30)
    sandbox.faults.plan("get_free_slots", ["403", *["stall 0.05"] * 7])
    with pytest.raises(PermissionDeniedError):
        await client.get_free_slots([*sandbox.store.calendars][:1], DAY, DAY + timedelta(days=1), user_ids=users)
    tasks = [task for task in asyncio.all_tasks() if "_finding" in repr(task)]
    assert (tasks, len(sandbox.requests) <= 30 + 9) == ([], True)
