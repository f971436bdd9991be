"""Large answers: as much is read of them as of small ones, and the loop goes on meanwhile."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct

from leadconnector_async import Appointment, DecodeError, LeadConnector
from leadconnector_async._api.body import read_success
from leadconnector_async._api.decode import Read
from leadconnector_async._api.events import LIST_EVENTS, build_list_events
from leadconnector_async._api.free_slots import build_get_free_slots
from leadconnector_async._api.notes import build_list_notes

from ..conftest import QUICK
from ..raw_server import answer, raw_server

START = datetime(2027, 6, 1, tzinfo=UTC)
ENDS = START + timedelta(days=1)
LIST = build_list_events(LIST_EVENTS, "l", START, ENDS, user_id="u", calendar_id=None, group_id=None)
SLOTS = next(build_get_free_slots("c", START, ENDS, timezone=None, user_ids=()))
COUNT = 1500
EVENT: dict[str, object] = {
    "id": "Rt5Yu7Io9Pa1Sd3Fg5Hj",
    "title": "Intro call",
    "appointmentStatus": "confirmed",
    "users": ["Lk2Jh4Gf6Ds8Aq0Wz1Xs"],
    "startTime": "2027-06-01T09:00:00-05:00",
    "dateAdded": "2027-05-01T09:00:00.000Z",
    "createdBy": {"userId": "Lk2Jh4Gf6Ds8Aq0Wz1Xs", "source": "booking_widget"},
}


def build_body(change: Callable[[int], object]) -> bytes:
    """A list of many events, each changed by its place."""
    body = json.dumps({"events": [change(place) for place in range(COUNT)]}).encode()
    assert len(body) > 100_000
    return body


def read_events(body: bytes) -> Read[list[Appointment]]:
    read = read_success(LIST, 200, body)
    assert isinstance(read, Read)
    return read


ODD: dict[str, Callable[[int], object]] = {
    "plain": lambda _: EVENT,
    "times of Firestore": lambda place: EVENT | {"dateAdded": {"_seconds": 1_726_300_000 + place}},
    "times in milliseconds": lambda place: EVENT | {"dateAdded": 1_726_300_000_000 + place},
    "some times of both": lambda place: (
        EVENT | ({"dateAdded": {"_seconds": 1}} if place % 7 else {"startTime": 17})
    ),
    "no time": lambda place: EVENT | {"dateAdded": "" if place % 2 else None},
    "titles": lambda place: EVENT | {"title": place},
    "authors": lambda place: EVENT | {"createdBy": {"userId": place, "source": "x"}},
    "authors of two kinds": lambda place: EVENT | {"createdBy": "x" if place == 9 else {"userId": place}},
    "all fields": lambda _: dict.fromkeys(EVENT, 5.5) | {"id": "ev1"},
    "users": lambda place: EVENT | {"users": place},
    "the last alone": lambda place: EVENT | ({"users": 5} if place == COUNT - 1 else {}),
    "envelopes": lambda place: {"event": EVENT} if place % 2 else {"appointment": EVENT},
    "an envelope": lambda place: {"event": EVENT} if place == 700 else EVENT,
    "nothing and texts": lambda place: ("x", None, 5)[place % 3] if place in (3, 400, 1499) else EVENT,
    "misspelt": lambda place: {
        "appoinmentStatus" if name == "appointmentStatus" and place % 2 else name: value
        for name, value in EVENT.items()
    },
}


@pytest.mark.parametrize("kind", ODD)
def test_a_large_list_is_read_as_its_events_are_alone(kind: str) -> None:
    """Value by value, and with the same fields unread, whatever is odd about how many of them."""
    alone: list[Appointment] = []
    unread: list[str] = []
    for place in range(COUNT):
        read = read_events(json.dumps({"events": [ODD[kind](place)]}).encode())
        alone += read.value
        unread += [name.replace("events[0]", f"events[{place}]") for name in read.unread]
    found = read_events(build_body(ODD[kind]))
    assert found.value == alone
    assert sorted(found.unread) == sorted(unread)


@pytest.mark.parametrize(
    ("good", "bad", "shown"),
    [
        (b"Intro", b"In\ntro", "In tro call"),
        (b"Intro", b"\xe9\xff", "\ufffd\ufffd call"),
        (b"Intro", b"\\ud83d", "\ufffd call"),
        (b"Intro", b"\\ude00", "\ufffd call"),
        (b"Intro", b"\\ud83d\\ude00", "\U0001f600 call"),
        (b"Intro", b"\\ud83d\\ude00\\ude00", "\U0001f600\ufffd call"),
        (b'"Intro call"', b"NaN", None),
        (b'"Intro call"', b"-Infinity", None),
    ],
)
def test_texts_that_are_not_json_cost_only_themselves(good: bytes, bad: bytes, shown: str | None) -> None:
    """In every event of a large list, and in one of a small one."""
    body = build_body(lambda _: EVENT)
    assert {event.title for event in read_events(body.replace(good, bad)).value} == {shown}
    last = read_events(body[:-3] + b',"x":1},' + json.dumps(EVENT).encode().replace(good, bad) + b"]}").value[-1]
    assert last.title == shown
    small = b'{"events": [' + json.dumps(EVENT).encode().replace(good, bad) + b"]}"
    assert [event.title for event in read_events(small).value] == [shown]


def test_what_was_made_to_keep_a_reader_busy_is_refused() -> None:
    """By what it holds: far more entries, slots or days than an answer of that size can."""
    time = b'"2027-06-01T09:00:00Z"'
    for request, body in (
        (LIST, b'{"events":[%s{}]}' % (b"{               }," * 20_000)),
        (LIST, b'{"events":[%s5]}' % (b"5," * 200_000)),
        (LIST, b'{"events":[%s5]}' % (b'"%s",' % (b"x" * 120) * 5000)),
        (LIST, b'{"events":[%s{}]}' % (b'{"event":{"a":"%s"}},' % (b"x" * 120) * 5000)),
        (SLOTS, b'{"2027-06-01":[%s]}' % b",".join([time] * 150_000)),
        (SLOTS, b"{%s}" % b",".join(b'"%d":[%s]' % (day, time) for day in range(10_000, 15_000))),
        (
            build_list_notes("ev1", 0),
            b'{"notes":[%s]}' % b",".join([b'{"id":"n","body":"%s"}' % (b"x" * 99)] * 5000),
        ),
    ):
        error = read_success(request, 200, body)  # type: ignore[arg-type] # of any type
        assert isinstance(error, DecodeError)
        assert "it contains more" in str(error) or "cannot be read" in str(error)


class Probe(Struct):
    """Knows where it was read."""

    text: str
    thread: int = 0

    def __post_init__(self) -> None:
        self.thread = threading.get_ident()


async def test_a_large_answer_is_read_beside_the_loop() -> None:
    """In a worker thread; a small one at once."""
    for size, aside in ((100, False), (600_000, True)):
        body = b'{"text": "%s"}' % (b"x" * size)
        async with (
            raw_server(answer(200, body)) as raw,
            LeadConnector("t", base_url=raw.url, retry=QUICK) as client,
        ):
            probe = await client.request("GET", "/x", response_type=Probe)
            assert (probe.thread != threading.get_ident()) is aside
