"""Whether an appointment, as it was read, shows an update that was sent."""

from datetime import UTC, datetime

import pytest

from leadconnector_async import Appointment, AppointmentUpdate
from leadconnector_async._checks import check_update
from leadconnector_async._compare import compare_update

NINE = datetime(2026, 9, 14, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "shown", "equal"),
    [
        (AppointmentUpdate(title="Intro"), Appointment(title="Intro"), True),
        (AppointmentUpdate(title=" Intro "), Appointment(title="Intro"), True),
        (AppointmentUpdate(title="Intro"), Appointment(title="Outro"), False),
        (AppointmentUpdate(title="Intro", address="x"), Appointment(title="Intro", address="y"), False),
        (AppointmentUpdate(title="Intro", address="x"), Appointment(title="Intro"), True),
        (AppointmentUpdate(title="Intro"), Appointment(), None),
        (AppointmentUpdate(to_notify=False), Appointment(title="Intro"), None),
        (AppointmentUpdate(title="Intro"), Appointment(title="Intro", deleted=True), False),
        (AppointmentUpdate(start_time="2026-09-14T09:00:00-07:00"), Appointment(start_time=NINE), True),
        (AppointmentUpdate(start_time="2026-09-14T09:00:00-06:00"), Appointment(start_time=NINE), False),
        (AppointmentUpdate(appointment_status="noshow"), Appointment(appointment_status="noshow"), True),
        (AppointmentUpdate(appointment_status="noshow"), Appointment(appointment_status="confirmed"), False),
    ],
)
def test_every_field_that_was_sent_is_compared(
    sent: AppointmentUpdate, shown: Appointment, equal: bool | None
) -> None:
    """Times as instants, texts without the spaces around them."""
    assert compare_update(check_update(sent), shown) is equal
