"""Whether an appointment, as it was read, shows an update that was sent."""

from datetime import UTC, datetime

import pytest

from leadconnector_async import Appointment, AppointmentUpdate
from leadconnector_async._api.readback import compare_update
from leadconnector_async._api.validate import check_update

NINE = datetime(2026, 9, 14, 16, tzinfo=UTC)
SHOWN = {"title": "Intro", "appointment_status": "confirmed", "start_time": NINE}
RULE = "RRULE:FREQ=DAILY;COUNT=5"


@pytest.mark.parametrize(
    ("sent", "shown", "applied"),
    [
        ({"title": "Intro"}, {}, True),
        ({"title": " Intro "}, {}, True),
        ({"title": "Outro"}, {}, False),
        ({"title": "Intro", "address": "x"}, {"address": "y"}, False),
        ({"title": "Intro", "address": "x"}, {"address": "x"}, True),
        ({"start_time": "2026-09-14T09:00:00-07:00"}, {}, True),
        ({"start_time": "2026-09-14T09:00:00-06:00"}, {}, False),
        ({"appointment_status": "confirmed"}, {}, True),
        ({"appointment_status": "noshow"}, {}, False),
        ({"rrule": RULE, "ignore_free_slot_validation": True}, {"rrule": RULE.lower()}, True),
        ({"rrule": RULE, "ignore_free_slot_validation": True, "title": "Intro"}, {}, False),
    ],
)
def test_every_field_that_was_sent_is_compared(
    sent: dict[str, object], shown: dict[str, object], applied: bool
) -> None:
    """Times as instants, texts without the spaces around them, an empty text as a missing one."""
    assert judge(sent, shown) is applied


def test_an_empty_text_can_be_missing() -> None:
    """The server leaves empty fields out: what was emptied is, what was filled is not."""
    assert judge({"title": "Intro", "address": ""}, {}) is True
    assert judge({"title": "Intro", "address": "x"}, {}) is False


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"title": "Intro", "meeting_location_type": "zoom"}, {}),
        ({"title": "Intro", "assigned_user_id": "u"}, {}),
        ({"title": "Intro", "start_time": "2026-09-14T09:00:00-07:00"}, {"start_time": None}),
        ({"to_notify": False}, {}),
        ({"title": None}, {}),
        ({"title": "Intro"}, {"deleted": True}),
        ({"title": "Intro"}, dict.fromkeys(SHOWN)),
    ],
)
def test_what_is_not_shown_is_not_claimed(sent: dict[str, object], shown: dict[str, object]) -> None:
    """Neither that it was applied, though all that is shown is equal, nor that it was not."""
    assert judge(sent, shown) is None


def test_what_cannot_be_read_is_not_claimed_unless_something_else_differs() -> None:
    """A field that was there and could not be decoded proves nothing."""
    sent = {"title": "Intro", "description": "x"}
    assert judge(sent, {}, unread=("description",)) is None
    assert judge(sent, {"title": "Outro"}, unread=("description",)) is False


def test_a_null_proves_nothing() -> None:
    """Whether it empties a field or leaves it as it is, nobody knows."""
    assert judge({"title": "Intro", "address": None}, {"address": "Main St"}) is True


def judge(sent: dict[str, object], shown: dict[str, object], unread: tuple[str, ...] = ()) -> bool | None:
    wire = check_update(AppointmentUpdate(**sent))  # type: ignore[arg-type]
    return compare_update(wire, Appointment(**{**SHOWN, **shown}), unread)  # type: ignore[arg-type]
