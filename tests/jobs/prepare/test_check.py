"""A row against its appointment: what it would send, or why it must not be carried out."""

from datetime import UTC, datetime, timedelta

from leadconnector_async import Appointment, AppointmentUpdate
from leadconnector_async.jobs.plan.wanted_change import WantedChange
from leadconnector_async.jobs.prepare.check import Rules, check_row

NOW = datetime(2027, 3, 1, tzinfo=UTC)
FOUND = Appointment(
    id="e",
    start_time=NOW + timedelta(days=1),
    end_time=NOW + timedelta(days=1, hours=1),
    appointment_status="confirmed",
)
RULES = Rules(NOW, allow_past=False, version="2021-07-28")


def check(found: Appointment, **changes: object) -> tuple[str, str, str]:
    wanted = WantedChange(AppointmentUpdate(**changes), None, None, None)  # type: ignore[arg-type]
    result = check_row("e", wanted, found, RULES)
    return result.state, result.column, result.reason


def test_a_reason_names_the_value() -> None:
    """What the server shows and nobody can send."""
    found = Appointment(start_time=FOUND.start_time, end_time=FOUND.end_time, appointment_status="odd")
    reason = "'odd': it is not a status that can be sent"
    assert check(found, title="x") == ("refused", "appointment_status", reason)


def test_a_reason_leaves_personal_values_out() -> None:
    """An address that is sent along and cannot be sent stays out of the journal's reasons, and so of the report."""
    found = Appointment(
        start_time=FOUND.start_time,
        end_time=FOUND.end_time,
        appointment_status="confirmed",
        address="12 High Street\x00",
    )
    reason = "it contains a control character (U+0000 at character 15)"
    assert check(found, meeting_location_type="zoom") == ("refused", "address", reason)
