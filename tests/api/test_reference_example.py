"""The reference page's own example, byte for byte, on a real socket."""

from datetime import datetime, timedelta, timezone

from leadconnector_async import Appointment, AppointmentUpdate, LeadConnector, __version__, with_response

from ..raw_server import answer, raw_server

UPDATE = AppointmentUpdate(
    title="Test Event",
    meeting_location_type="custom",
    meeting_location_id="custom_0",
    override_location_config=True,
    appointment_status="confirmed",
    assigned_user_id="0007BWpSzSwfiuSl0tR2",
    description="Booking a call to discuss the project",
    address="Zoom",
    ignore_date_range=False,
    to_notify=False,
    ignore_free_slot_validation=True,
    rrule="RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5",
    calendar_id="CVokAlI8fgw4WYWoCtQz",
    start_time="2021-06-23T03:30:00+05:30",
    end_time="2021-06-23T04:30:00+05:30",
)
REQUEST_BODY = (
    b'{"title":"Test Event","meetingLocationType":"custom","meetingLocationId":"custom_0",'
    b'"overrideLocationConfig":true,"appointmentStatus":"confirmed","assignedUserId":"0007BWpSzSwfiuSl0tR2",'
    b'"description":"Booking a call to discuss the project","address":"Zoom","ignoreDateRange":false,'
    b'"toNotify":false,"ignoreFreeSlotValidation":true,"rrule":"RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5",'
    b'"calendarId":"CVokAlI8fgw4WYWoCtQz","startTime":"2021-06-23T03:30:00+05:30",'
    b'"endTime":"2021-06-23T04:30:00+05:30"}'
)
ANSWER_BODY = (
    b'{"calendarId":"CVokAlI8fgw4WYWoCtQz","locationId":"C2QujeCh8ZnC7al2InWR","contactId":"0007BWpSzSwfiuSl0tR2",'
    b'"id":"0TkCdp9PfvLeWKYRRvIz","startTime":"2021-06-23T03:30:00+05:30","endTime":"2021-06-23T04:30:00+05:30",'
    b'"title":"Test Event","meetingLocationType":"custom","appointmentStatus":"confirmed",'
    b'"assignedUserId":"0007BWpSzSwfiuSl0tR2","address":"Zoom","isRecurring":"true",'
    b'"rrule":"RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5"}'
)
IST = timezone(timedelta(hours=5, minutes=30))


async def test_the_reference_example_goes_out_and_comes_back_byte_for_byte() -> None:
    """Request line, headers and body are the reference's; the answer is read into every field that it has."""
    async with raw_server(answer(200, ANSWER_BODY)) as server:
        async with LeadConnector("pit-example", base_url=server.url) as client:
            whole = await with_response(client.update_appointment("0TkCdp9PfvLeWKYRRvIz", UPDATE))
    host = server.url.removeprefix("http://")
    assert server.requests == [
        b"PUT /calendars/events/appointments/0TkCdp9PfvLeWKYRRvIz HTTP/1.1\r\n"
        + f"Host: {host}\r\n".encode()
        + b"Authorization: Bearer pit-example\r\n"
        + b"Version: 2021-04-15\r\n"
        + b"Content-Type: application/json\r\n"
        + b"Accept: application/json\r\n"
        + f"User-Agent: leadconnector_async/{__version__}\r\n".encode()
        + b"Accept-Encoding: gzip, deflate\r\n"
        + f"Content-Length: {len(REQUEST_BODY)}\r\n\r\n".encode()
        + REQUEST_BODY
    ]
    assert whole.body == ANSWER_BODY
    assert whole.value == Appointment(
        id="0TkCdp9PfvLeWKYRRvIz",
        calendar_id="CVokAlI8fgw4WYWoCtQz",
        location_id="C2QujeCh8ZnC7al2InWR",
        contact_id="0007BWpSzSwfiuSl0tR2",
        start_time=datetime(2021, 6, 23, 3, 30, tzinfo=IST),
        end_time=datetime(2021, 6, 23, 4, 30, tzinfo=IST),
        title="Test Event",
        meeting_location_type="custom",
        appointment_status="confirmed",
        assigned_user_id="0007BWpSzSwfiuSl0tR2",
        address="Zoom",
        is_recurring=True,
        rrule="RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5",
    )
