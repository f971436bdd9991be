"""Whether a calendar shows what one creation has made: the table in `_api/created.py`, without a server."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from leadconnector_async import Appointment, AppointmentCreate, BlockSlotCreate, Note
from leadconnector_async._api.created import (
    Ambiguous,
    Began,
    Candidate,
    Found,
    NotFound,
    choose_wait,
    compare_appointment,
    compare_block_slot,
    compare_note,
    estimate_began,
    identify,
)
from leadconnector_async._api.notes import check_note
from leadconnector_async._api.validate import check_block_slot_create, check_create
from leadconnector_async.models import NoteAuthor

BEGAN = datetime(2026, 9, 14, 16, tzinfo=UTC)
NOW = BEGAN + timedelta(seconds=3)
EXACT, GUESSED = Began(BEGAN, NOW), Began(BEGAN, NOW, exact=False)


def candidate(id_: str | None, added: float | None, matches: bool | None = True) -> Candidate[str]:
    """`added`: seconds after the call began."""
    return Candidate(id_, None if added is None else BEGAN + timedelta(seconds=added), matches, "value")


OURS = candidate("ours", 0.4)
CASES: dict[str, tuple[list[Candidate[str]], Began, object]] = {
    "nothing": ([], EXACT, NotFound()),
    "one that was added since": ([OURS], EXACT, Found(OURS)),
    "one that was added when the call began": ([candidate("a", 0)], EXACT, Found(candidate("a", 0))),
    "one whose time has no fractions": ([candidate("a", -1)], EXACT, Found(candidate("a", -1))),
    "one by a clock that is a little slow": ([candidate("a", -0.09)], EXACT, Found(candidate("a", -0.09))),
    "one that was added just before": ([candidate("a", -0.11)], EXACT, Ambiguous(("a",))),
    "one that was added two seconds before": ([candidate("a", -2)], EXACT, Ambiguous(("a",))),
    "one that was added ten seconds before": ([candidate("a", -10)], EXACT, Ambiguous(("a",))),
    "one that was added earlier": ([candidate("a", -10.1)], EXACT, NotFound()),
    "one that was added an hour before": ([candidate("a", -3600)], EXACT, NotFound()),
    "one from the future": ([candidate("a", 14)], EXACT, Ambiguous(("a",))),
    "one without a time": ([candidate("a", None)], EXACT, Ambiguous(("a",))),
    "one without an id": ([candidate(None, 0.4)], EXACT, Ambiguous(())),
    "one that was changed since": ([candidate("a", 0.4, None)], EXACT, Ambiguous(("a",))),
    "another booking": ([candidate("a", 0.4, False)], EXACT, NotFound()),
    "one that is known": ([candidate("known", 0.4)], EXACT, NotFound()),
    "ours beside one that is known": ([candidate("known", 0.4), OURS], EXACT, Found(OURS)),
    "ours beside an older one": ([candidate("a", -3600), OURS], EXACT, Found(OURS)),
    "ours beside one from just before": ([candidate("a", -5), OURS], EXACT, Found(OURS)),
    "ours beside another booking": ([candidate("a", 0.4, False), OURS], EXACT, Found(OURS)),
    "two that were added since": ([OURS, candidate("b", 2)], EXACT, Ambiguous(("ours", "b"))),
    "one beside one that was changed": ([OURS, candidate("b", 2, None)], EXACT, Ambiguous(("ours", "b"))),
    "one beside one without a time": ([OURS, candidate("b", None)], EXACT, Ambiguous(("ours", "b"))),
    "without the server's time, one from since": ([OURS], GUESSED, Ambiguous(("ours",))),
    "without the server's time, one from an hour ago": ([candidate("a", -3600)], GUESSED, Ambiguous(("a",))),
    "without the server's time, one from yesterday": ([candidate("a", -86_401)], GUESSED, NotFound()),
}


@pytest.mark.parametrize("name", CASES)
def test_only_what_can_be_told_is_claimed(name: str) -> None:
    """Everything that was sent, added since the call began, known to nobody else, and the only one of its kind."""
    candidates, began, verdict = CASES[name]
    assert identify(candidates, began, {"known"}) == verdict
    assert identify(candidates[::-1], began, {"known"}) == (
        Ambiguous(verdict.ids[::-1]) if isinstance(verdict, Ambiguous) else verdict
    )


def test_the_start_of_a_call_is_told_by_the_servers_clock() -> None:
    """Whatever the client's clock says: the seconds since then are taken off the `Date` of a response."""
    wrong = datetime(2001, 1, 1, tzinfo=UTC)
    began = estimate_began("Mon, 14 Sep 2026 16:00:03 GMT", wrong, 3.0)
    assert (began.at, began.now, began.exact) == (BEGAN, NOW, True)
    assert estimate_began("Mon, 14 Sep 2026 16:00:03 -0000", wrong, 3.0) == began


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [
        (timedelta(seconds=20), Ambiguous(("ours",))),
        (timedelta(minutes=5), Ambiguous(("ours",))),
        (timedelta(hours=24), Ambiguous(("ours",))),
        (timedelta(hours=25), NotFound()),
        (timedelta(0), Found(OURS)),
    ],
    ids=str,
)
def test_a_date_that_is_ahead_makes_nothing_missing(ahead: timedelta, verdict: object) -> None:
    """What is ours by the client's clock cannot be called missing, or it would be created twice."""
    date = format_datetime(NOW + ahead, usegmt=True)
    assert identify([OURS], estimate_began(date, NOW, 3.0)) == verdict


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(days=30)], ids=str)
def test_a_client_that_is_ahead_changes_nothing(ahead: timedelta) -> None:
    """Only a clock that is behind the server's is a reason for doubt."""
    began = estimate_began(format_datetime(NOW, usegmt=True), NOW + ahead, 3.0)
    assert identify([OURS], began) == Found(OURS)
    assert identify([candidate("a", -60)], began) == NotFound()


@pytest.mark.parametrize("date", [None, "", "tomorrow", "Mon, 32 Sep 2026 16:00:03 GMT"])
def test_without_a_date_the_clock_of_the_client_is_a_guess(date: str | None) -> None:
    """It may be off by minutes, so nothing is claimed by it."""
    assert estimate_began(date, NOW, 3.0) == GUESSED


SENT = {"calendar_id": "cal", "contact_id": "con", "start_time": "2026-09-14T09:00:00-07:00", "location_id": "l"}
SHOWN = {"calendar_id": "cal", "contact_id": "con", "start_time": BEGAN, "title": "Intro", "address": ""}
RULE = {"rrule": "RRULE:FREQ=DAILY;COUNT=5", "ignore_free_slot_validation": True}


@pytest.mark.parametrize(
    ("sent", "shown", "matches"),
    [
        ({}, {}, True),
        ({"title": " Intro "}, {}, True),
        ({"start_time": "2026-09-14T16:00:00Z"}, {}, True),
        ({"end_time": "2026-09-14T09:30:00-07:00"}, {"end_time": BEGAN + timedelta(minutes=30)}, True),
        ({"appointment_status": "completed"}, {"appointment_status": "showed"}, True),
        ({"to_notify": False, "meeting_location_type": "zoom", "description": "x"}, {}, True),
        ({}, {"contact_id": "other"}, False),
        ({}, {"calendar_id": "other"}, False),
        ({"start_time": "2026-09-14T09:00:00-06:00"}, {}, False),
        ({"title": "Outro"}, {"contact_id": "other"}, False),
        ({"title": "Outro"}, {}, None),
        ({"address": "Main St"}, {}, None),
        ({"assigned_user_id": "u"}, {"assigned_user_id": "v"}, None),
        ({"end_time": "2026-09-14T09:30:00-07:00"}, {"end_time": BEGAN + timedelta(minutes=45)}, None),
        ({}, {"contact_id": None}, None),
        ({}, {"start_time": None}, None),
        ({}, {"deleted": True}, None),
        (RULE, {}, None),
        (RULE, {"rrule": RULE["rrule"]}, True),
    ],
)
def test_an_appointment_is_compared_with_what_was_sent(
    sent: dict[str, Any], shown: dict[str, Any], matches: bool | None
) -> None:
    """Another contact, calendar or start is another one; any other difference may have been made since."""
    wire = check_create(AppointmentCreate(**{**SENT, **sent}))
    assert compare_appointment(wire, Appointment(**{**SHOWN, **shown})) is matches


BLOCKED = {"calendar_id": "cal", "start_time": BEGAN, "end_time": NOW, "location_id": "l"}


@pytest.mark.parametrize(
    ("sent", "shown", "matches"),
    [
        ({}, {}, True),
        ({"title": "Lunch"}, {"title": "Lunch"}, True),
        ({}, {"start_time": NOW}, False),
        ({}, {"start_time": None}, None),
        ({}, {"end_time": NOW + timedelta(hours=1)}, None),
        ({"title": "Lunch"}, {"title": "Busy"}, None),
        ({}, {"calendar_id": "other"}, None),
    ],
)
def test_a_block_slot_is_compared_with_what_was_sent(
    sent: dict[str, Any], shown: dict[str, Any], matches: bool | None
) -> None:
    """Another start is another one."""
    wire = check_block_slot_create(BlockSlotCreate(**{**BLOCKED, **sent}))
    assert compare_block_slot(wire, Appointment(**{**BLOCKED, **shown})) is matches


@pytest.mark.parametrize(
    ("user_id", "shown", "matches"),
    [
        (None, Note(body="Called back. "), True),
        ("u", Note(body="Called back.", user_id="u"), True),
        ("u", Note(body="Called back."), True),
        (None, Note(body="Called back.", user_id="u"), True),
        ("u", Note(body="Called back.", user_id="v"), None),
        ("u", Note(body="Called back.", created_by=NoteAuthor(id="v")), None),
        ("u", Note(body="No reply.", user_id="u"), False),
        (None, Note(), None),
    ],
)
def test_a_note_is_compared_with_what_was_sent(user_id: str | None, shown: Note, matches: bool | None) -> None:
    """Another text is another note; another author may be the owner of the token."""
    assert compare_note(check_note("Called back.", user_id), shown) is matches


@pytest.mark.parametrize(
    ("searched", "within", "wait"),
    [(0.0, 30.0, 1.0), (1.0, 30.0, 2.0), (4.0, 30.0, 8.0), (29.0, 30.0, 1.0), (30.0, 30.0, None), (0.0, 0.5, 0.5)],
)
def test_the_calendar_is_listed_again_until_the_server_is_done(
    searched: float, within: float, wait: float | None
) -> None:
    """Soon at first, then after longer waits, and a last time when the server cannot apply it any more."""
    assert choose_wait(searched, within) == wait
