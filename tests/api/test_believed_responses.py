"""What is believed of a success: only the API's own, and never more than it says. On real sockets."""

import gzip
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from leadconnector_async import (
    ApiError,
    AppointmentCreate,
    AppointmentUpdate,
    AuthenticationError,
    BlockSlotCreate,
    BlockSlotUpdate,
    DecodeError,
    Event,
    LeadConnector,
    LeadConnectorError,
    OutcomeUnknownError,
    RetryPolicy,
    SlotUnavailableError,
    Timeouts,
    with_response,
)
from leadconnector_async.events import UnexpectedId

from ..conftest import QUICK
from ..raw_server import answer, raw_server

TAKEN = "The slot you have selected is no longer available."
DAY = datetime(2027, 6, 1, tzinfo=UTC)
UPDATE = AppointmentUpdate(title="x")
PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>"
)
RANGE = {"location_id": "l", "calendar_id": "c", "start_time": DAY, "end_time": DAY + timedelta(hours=1)}
BLOCK_UPDATE = BlockSlotUpdate(location_id="l", calendar_id="c", title="x")

Call = Callable[[LeadConnector], Awaitable[object]]
WRITES: dict[str, Call] = {
    "update": lambda client: client.update_appointment("ev1", UPDATE),
    "create": lambda client: client.create_appointment(
        AppointmentCreate(calendar_id="c", location_id="l", contact_id="k", start_time=DAY)
    ),
    "delete": lambda client: client.delete_event("ev1"),
    "block": lambda client: client.create_block_slot(BlockSlotCreate(**RANGE)),  # type: ignore[arg-type]
    "move a block": lambda client: client.update_block_slot("ev1", BLOCK_UPDATE),
    "note": lambda client: client.create_note("ev1", "x"),
    "change a note": lambda client: client.update_note("ev1", "n", "x"),
    "delete a note": lambda client: client.delete_note("ev1", "n"),
    "request": lambda client: client.request("POST", "/x", body={}),
    "request without a body": lambda client: client.request("DELETE", "/x"),
}
READS: dict[str, Call] = {
    "get": lambda client: client.get_appointment("ev1"),
    "list": lambda client: client.list_events(DAY, DAY + timedelta(1), calendar_id="c"),
    "blocked": lambda client: client.list_blocked_slots(DAY, DAY + timedelta(1), calendar_id="c"),
    "free": lambda client: client.get_free_slots("c", DAY, DAY + timedelta(1)),
    "notes": lambda client: anext(client.list_notes("ev1")),
    "calendar": lambda client: client.get_calendar("c"),
    "calendars": lambda client: client.list_calendars(),
    "request": lambda client: client.request("GET", "/x"),
}
PAGES = {
    "html": answer(200, PAGE, "content-type: text/html"),
    "as json": answer(200, PAGE),
    "created": answer(201, PAGE),
    "text": answer(200, b"Service is being updated"),
    "blanks first": answer(200, b" \r\n\t" + PAGE),
    "mark first": answer(200, b"\xef\xbb\xbf" + PAGE),
    "packed": answer(200, gzip.compress(PAGE), "content-encoding: gzip"),
    "packed in secret": answer(200, gzip.compress(PAGE)),
    "xml": answer(200, b"<?xml version='1.0'?><Error/>"),
    "number": answer(200, b"504 Gateway Time-out"),
    "cut off": b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n<html>",
    "cut off at once": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 999\r\n\r\n",
    "text, cut off at once": b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 999\r\n\r\n",
    "xml, cut off at once": b"HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: 9\r\n\r\n",
    "badly packed": answer(200, PAGE, "content-encoding: gzip").replace(b"application/json", b"text/plain"),
}


def connect(url: str, policy: RetryPolicy = QUICK, seconds: float = 10.0) -> LeadConnector:
    bounds = Timeouts(connect=seconds, total=seconds)
    return LeadConnector("pit-aaaaaaaa", base_url=url, retry=policy, timeouts=bounds, location_id="l")


async def fail(call: Call, *answers: bytes, policy: RetryPolicy = QUICK) -> tuple[LeadConnectorError, int]:
    """The error of a call to a server that goes on with the last of these answers, and how often it was asked.

    What a write reads afterwards is not counted.
    """
    async with raw_server(*answers, *answers[-1:] * 20) as server:
        async with connect(server.url, policy, 0.3) as client:  # what is cut off is waited for
            with pytest.raises(LeadConnectorError) as caught:
                await call(client)
        first = server.requests[0][:4]
        return caught.value, sum(request[:4] == first for request in server.requests)


@pytest.mark.parametrize("page", ["html", "cut off"])
@pytest.mark.parametrize("name", WRITES)
async def test_a_page_says_nothing_of_a_write(name: str, page: str) -> None:
    """Whatever writes: the outcome is unknown, and what must not be sent twice is not."""
    error, requests = await fail(WRITES[name], PAGES[page])
    assert error.outcome == "unknown"
    assert isinstance(error, OutcomeUnknownError)
    if name in ("create", "block", "note", "request"):
        assert requests == 1


@pytest.mark.parametrize("page", PAGES)
async def test_any_page_leaves_an_update_open(page: str) -> None:
    """The first byte decides, whatever the answer calls itself; the error says what came."""
    error, _ = await fail(WRITES["update"], PAGES[page])
    assert (type(error), error.outcome) == (OutcomeUnknownError, "unknown")
    assert "not come from the API" in str(error) or "is incomplete" in str(error)
    assert "was applied: do not" not in str(error)


async def test_an_update_behind_a_page_is_read_back() -> None:
    """As after a lost answer: applied only if the event shows it, sent again if it shows otherwise."""
    shown, other = (answer(200, b'{"event":{"id":"ev1","title":"%s"}}' % title) for title in (b"x", b"y"))
    async with raw_server(PAGES["html"], shown) as server, connect(server.url) as client:
        read = await with_response(client.update_appointment("ev1", UPDATE))
        assert (read.reconciled, read.attempts) == (True, 2)
    async with (
        raw_server(PAGES["html"], other, answer(200, b'{"id":"ev1"}')) as server,
        connect(server.url) as client,
    ):
        read = await with_response(client.update_appointment("ev1", UPDATE))
        assert (read.reconciled, read.attempts) == (False, 3)
        assert [request[:3] for request in server.requests] == [b"PUT", b"GET", b"PUT"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", READS)
async def test_a_page_is_never_data(name: str, page: str) -> None:
    """A read is repeated, and in the end an error; it is never an empty list."""
    error, requests = await fail(READS[name], PAGES[page])
    assert (error.outcome, requests) == ("not_applied", QUICK.max_attempts)


NOTHING = {
    "no byte": answer(200, b""),
    "blanks": answer(200, b" \r\n"),
    "mark": answer(200, b"\xef\xbb\xbf"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("empty", NOTHING)
@pytest.mark.parametrize("name", [name for name in READS if name != "request"])
async def test_nothing_is_no_empty_calendar(name: str, empty: str) -> None:
    """The API has a body for every read. Only of what is not known of it, nothing may be all that there is."""
    error, requests = await fail(READS[name], NOTHING[empty])
    assert (type(error), error.outcome, requests) == (DecodeError, "not_applied", QUICK.max_attempts)
    assert "is empty" in str(error)
    async with raw_server(NOTHING[empty]) as server, connect(server.url) as client:
        await READS["request"](client)


@pytest.mark.parametrize("empty", [*NOTHING.values(), answer(200, b"{}"), answer(200, b'{"traceId": "t"}')])
@pytest.mark.parametrize("name", ["create", "block", "note"])
async def test_a_list_that_is_missing_does_not_prove_that_nothing_was_created(name: str, empty: bytes) -> None:
    """It was sent again, and two were booked."""
    async with raw_server(PAGES["html"], *[empty] * 20) as server:
        async with connect(server.url, structs.replace(QUICK, apply_timeout=0.05)) as client:
            with pytest.raises(OutcomeUnknownError):
                await WRITES[name](client)
    assert [request[:4] for request in server.requests].count(b"POST") == 1


async def test_a_list_that_is_missing_is_not_shown_as_an_empty_one() -> None:
    """Where a result would look complete: whoever finds no appointment books one."""
    names = answer(200, b'{"calendars": [{"id": "c"}]}')
    async with raw_server(names, answer(200, b"{}")) as server, connect(server.url) as client:
        with pytest.raises(DecodeError, match="events of the response cannot be read"):
            await client.list_location_events(DAY, DAY + timedelta(1))


async def test_a_page_that_passes_costs_a_read_nothing_but_time() -> None:
    """The repetition finds the API again."""
    async with raw_server(PAGES["html"], answer(200, b'{"event":{"id":"ev1"}}')) as server:
        async with connect(server.url) as client:
            assert (await client.get_appointment("ev1")).id == "ev1"


REFUSALS: dict[str, tuple[dict[str, object], type[ApiError]]] = {
    "status code": (
        {"statusCode": 401, "message": "The token is not authorized for this scope."},
        AuthenticationError,
    ),
    "as text": ({"statusCode": "401", "message": "no"}, AuthenticationError),
    "other shape": (
        {"status": 400, "message": "The slot you have selected is no longer available.", "name": "x"},
        SlotUnavailableError,
    ),
    "error": ({"error": "Unauthorized"}, ApiError),
    "inside": ({"error": {"code": 400, "message": TAKEN}}, ApiError),
    "msg": ({"msg": "Unauthorized"}, ApiError),
    "message": ({"message": "Something went wrong", "traceId": "t"}, ApiError),
    "list": ({"errors": ["no"], "traceId": "t"}, ApiError),
    "list of objects": ({"errors": [{"message": "no"}]}, ApiError),
    "verdict": ({"success": False, "message": "no"}, ApiError),
    "beside an id": ({"id": "ev1", "statusCode": 500, "message": "half done"}, ApiError),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("name", ["update", "create", "block", "note", "change a note"])
async def test_an_error_with_a_status_of_success_is_that_error(name: str, refusal: str) -> None:
    """Its type and its messages; what became of the write is unknown."""
    body, error_type = REFUSALS[refusal]
    error, _ = await fail(WRITES[name], answer(200, json.dumps(body).encode()))
    assert isinstance(error, error_type)
    assert error.outcome == "unknown"


@pytest.mark.parametrize("refusal", sorted(REFUSALS.keys() - {"beside an id"}))
@pytest.mark.parametrize("name", sorted(READS.keys() - {"request"}))
async def test_an_error_with_a_status_of_success_is_never_data(name: str, refusal: str) -> None:
    """Neither an appointment without fields nor an empty list or day."""
    error, _ = await fail(READS[name], answer(200, json.dumps(REFUSALS[refusal][0]).encode()))
    assert isinstance(error, ApiError)
    assert error.outcome == "not_applied"


async def test_a_refusal_in_disguise_is_believed_when_the_event_shows_it() -> None:
    """Read back, the write is not there: it is what it says, and nothing is sent twice."""
    slot = json.dumps(REFUSALS["other shape"][0]).encode()
    async with raw_server(answer(200, slot), answer(200, b'{"event":{"id":"ev1","title":"y"}}')) as server:
        async with connect(server.url) as client:
            with pytest.raises(SlotUnavailableError) as caught:
                await client.update_appointment("ev1", UPDATE)
    assert (caught.value.outcome, caught.value.attempts) == ("not_applied", 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"  ",
        b"\xef\xbb\xbf{}",
        b'{"error":null,"id":"ev1"}',
        b'{"statusCode":200}',
        b'{"status":"booked"}',
    ],
)
async def test_an_empty_success_stays_one(body: bytes) -> None:
    """Nothing, an empty object, and what only looks like an error."""
    async with raw_server(answer(200, body)) as server, connect(server.url) as client:
        assert (await client.update_appointment("ev1", UPDATE)).id == "ev1"
    async with raw_server(b"HTTP/1.1 204 No Content\r\n\r\n") as server, connect(server.url) as client:
        assert (await client.update_appointment("ev1", UPDATE)).id == "ev1"


@pytest.mark.parametrize("body", [b'{"id":"ev1","title":"x', b"[", b"null", b'"ok"', b"true", b"17", b"[1]"])
async def test_json_that_cannot_be_read_was_sent_by_the_api(body: bytes) -> None:
    """A write was applied then, and is never sent again."""
    error, requests = await fail(WRITES["update"], answer(200, body))
    assert (type(error), error.outcome, requests) == (DecodeError, "applied", 1)


@pytest.mark.parametrize("status", [101, 300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize("name", ["update", "create", "delete", "note"])
async def test_a_redirect_or_a_switch_says_nothing_of_a_write(name: str, status: int) -> None:
    """Nothing is followed, and nothing is claimed."""
    head = f"HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:9/\r\n"
    head += "upgrade: websocket\r\nconnection: upgrade\r\n\r\n" if status == 101 else "content-length: 0\r\n\r\n"
    error, _ = await fail(WRITES[name], head.encode())
    assert isinstance(error, ApiError)
    assert (error.outcome, error.status) == ("unknown", status)


async def test_one_raw_line_end_hides_no_event() -> None:
    """Both events come back; in the odd title there is a blank instead."""
    body = (Path(__file__).parents[1] / "samples/raw_line_end_in_an_event.body").read_bytes()
    async with raw_server(answer(200, body)) as server, connect(server.url) as client:
        events = await client.list_events(DAY, DAY + timedelta(1), calendar_id="c")
    assert [event.title for event in events] == ["two lines", "one line"]


ODD = {
    "line end": b"two\r\nlines",
    "tab": b"a\tb",
    "nul": b"a\x00b",
    "latin-1": b"caf\xe9",
    "half a pair": b"\\ud83d",
    "other half": b"x\\ude00",
    "halves in the wrong order": b"\\ude00\\ud83d",
}


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_text_hides_no_other_event_and_no_applied_write(odd: str) -> None:
    """In a list, in an update, and in what is created."""
    event = b'{"id":"a","title":"%s","locationId":"l"}' % ODD[odd]
    listed = b'{"events":[%s,{"id":"b","title":"\\ud83d\\ude00"}]}' % event
    async with raw_server(answer(200, listed), *[answer(200, event)] * 4) as server, connect(server.url) as client:
        events = await client.list_events(DAY, DAY + timedelta(1), calendar_id="c")
        assert [one.id for one in events] == ["a", "b"]
        assert events[1].title == "\N{GRINNING FACE}"
        assert (await client.update_appointment("a", UPDATE)).location_id == "l"
        for name in ("create", "block", "note"):
            assert getattr(await WRITES[name](client), "id", None) == "a"


@pytest.mark.parametrize("odd", [b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'1,"slotDuration":2', b"[]"])
async def test_an_odd_number_costs_that_field_at_most(odd: bytes) -> None:
    """The calendar is there."""
    body = b'{"calendar":{"id":"c","slotDuration":%s,"name":"n"}}' % odd
    async with raw_server(answer(200, body)) as server, connect(server.url) as client:
        assert (await client.get_calendar("c")).name == "n"


MOMENTS = [b'{"_seconds":1726300000}', b"1726300000000", b'"1726300000000"', b"1726300000"]
TIMES = [*MOMENTS, b'""', b'"2027-01-01 09:00:00"', b"[]", b"true", b"{}", b"1e400", b'"\xff"']


@pytest.mark.parametrize("odd", TIMES)
async def test_an_odd_time_is_no_failure_of_a_write(odd: bytes) -> None:
    """Whichever Struct it is in; where it names a moment, that is read."""
    body = b'{"id":"a","title":"t","dateAdded":%s,"startTime":%s,"surprise":%s}' % (odd, odd, odd)
    async with raw_server(*[answer(200, body)] * 6) as server, connect(server.url) as client:
        for name in ("update", "create", "block", "move a block", "note", "change a note"):
            value = await WRITES[name](client)
            assert getattr(value, "id", None) == "a"
            for field in ("date_added", "start_time"):
                if odd in MOMENTS and hasattr(value, field):
                    assert getattr(value, field) == datetime(2024, 9, 14, 7, 46, 40, tzinfo=UTC)


async def test_every_field_of_every_struct_may_have_any_type() -> None:
    """What is odd is `None` and named; the rest is there, nested Structs included."""
    team = (
        b'[{"userId":5,"priority":0.5},7,{"userId":"u","locationConfigurations":[{"kind":[],"location":"here"}]}]'
    )
    body = b'{"id":"c","name":[],"isActive":{},"slotDuration":"soon","teamMembers":%s}' % team
    async with raw_server(answer(200, body)) as server, connect(server.url) as client:
        read = await with_response(client.get_calendar("c"))
    assert set(read.unread) == {
        "name",
        "is_active",
        "slot_duration",
        "team_members[0].user_id",
        "team_members[1]",
        "team_members[2].location_configurations[0].kind",
    }
    members = read.value.team_members or ()
    assert [member.user_id for member in members] == [None, "u"]
    assert (members[1].location_configurations or ())[0].location == "here"


FREE = {
    "under dates": b'{"_dates_":{"2027-06-01":{"slots":["2027-06-01T09:00:00Z"]}},"traceId":"t"}',
    "bare list": b'{"2027-06-01":["2027-06-01T09:00:00Z"]}',
    "objects": b'{"2027-06-01":{"slots":[{"startTime":"2027-06-01T09:00:00Z","endTime":"x"}]}}',
    "bare objects": b'{"2027-06-01":[{"startTime":"2027-06-01T09:00:00Z"}]}',
    "twice": b'{"2027-06-01":{"slots":["2027-06-01T09:00:00Z","2027-06-01T09:00:00Z"]}}',
    "one odd entry": b'{"2027-06-01":{"slots":[5,null,"soon",["x"],"2027-06-01T09:00:00Z"]}}',
    "line end": b'{"2027-06-01":{"slots":["2027-06-01T09:00:00Z"]},"note":"a\nb"}',
    "day with a time": b'{"2027-06-01T00:00:00Z":{"slots":["2027-06-01T09:00:00Z"]}}',
}


@pytest.mark.parametrize("shape", FREE)
async def test_free_slots_are_read_in_every_shape(shape: str) -> None:
    """Days in the object or under `_dates_`, lists or objects, texts or objects; each slot once."""
    async with raw_server(answer(200, FREE[shape])) as server, connect(server.url) as client:
        slots = await client.get_free_slots("c", DAY, DAY + timedelta(1))
    assert slots == {DAY.date(): (DAY.replace(hour=9),)}


@pytest.mark.parametrize(
    "body",
    [
        b'{"2027-06-01":{"slots":["soon"]}}',
        b'{"2027-06-01":{"slots":5}}',
        b'{"2027-06-01":{"times":["2027-06-01T09:00:00Z"]}}',
        b'{"2027-06-01":"full"}',
        b'{"2027-06-01":{"slots":["2027-06-01T09:00:00Z"]},"2027-06-02":{"slots":["2027-06-02 09:00"]}}',
        b'{"2027-13-45":{"slots":["2027-06-01T09:00:00Z"]}}',
        b'{"_dates_":["2027-06-01"]}',
        b'{"days":{"2027-06-01":{"slots":["2027-06-01T09:00:00Z"]}}}',
        b'["2027-06-01T09:00:00Z"]',
        b'{"2027-06-01":{"slots":["2027-0',
    ],
)
async def test_a_day_that_cannot_be_read_is_no_full_day(body: bytes) -> None:
    """It is an error that names it, and no day without free slots."""
    error, _ = await fail(READS["free"], answer(200, body))
    assert (type(error), error.outcome, error.operation) == (DecodeError, "not_applied", "get_free_slots")


async def test_another_id_than_the_one_asked_for_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """In the log and to `on_event`; never an error, and nothing is said of the right one."""
    events: list[Event] = []
    others = [answer(200, b'{"id":"other"}')] * 5
    async with raw_server(*others, answer(200, b'{"id":"ev1"}')) as server:
        async with connect(server.url) as owner:
            client = owner.with_options(on_event=events.append)
            for call in ("update", "move a block", "change a note"):
                assert getattr(await WRITES[call](client), "id", None) == "other"
            for call in ("get", "calendar"):
                assert getattr(await READS[call](client), "id", None) == "other"
            await WRITES["update"](client)
    found = [event for event in events if isinstance(event, UnexpectedId)]
    assert [(event.requested, event.received) for event in found] == [
        (asked, "other") for asked in ("ev1", "ev1", "n", "ev1", "c")
    ]
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.name for record in warnings] == ["leadconnector_async"] * 5
