"""Run by CI with `leadconnector-async[testing]` alone; see the page `test-your-program`."""

from leadconnector_async import AppointmentUpdate


async def test_five_lines(leadconnector_sandbox, leadconnector_client):
    event_id = leadconnector_sandbox.appointment_ids[0]
    await leadconnector_client.update_appointment(event_id, AppointmentUpdate(title="Moved"))
    assert leadconnector_sandbox.appointment(event_id).title == "Moved"
