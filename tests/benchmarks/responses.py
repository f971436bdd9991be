"""What reading responses costs the event loop, by size: milliseconds for each megabyte.

At most 10 ms for each MB plus 5 ms are promised, up to 32 MB, hostile texts included.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from leadconnector_async._api.appointments import build_get_appointment
from leadconnector_async._api.body import read_success
from leadconnector_async._api.errors import read_error
from leadconnector_async._api.events import LIST_EVENTS, build_list_events
from leadconnector_async._api.free_slots import build_get_free_slots
from leadconnector_async._api.notes import build_list_notes

SIZES = (1, 4, 16, 32)
MEGABYTE = 2**20
ROUNDS = 3
START = datetime(2027, 6, 1, tzinfo=UTC)
LIST = build_list_events(
    LIST_EVENTS, "l", START, START + timedelta(days=1), user_id="u", calendar_id=None, group_id=None
)
GET = build_get_appointment("ev1")
SLOTS = next(build_get_free_slots("c", START, START + timedelta(days=1), timezone=None, user_ids=()))
NOTES = build_list_notes("ev1", 0)
NOTE = b'{"id":"n1","body":"%s","userId":"u","contactId":"c","dateAdded":"2027-05-01T09:00:00.000Z"}' % (b"x" * 99)

Read = Callable[[bytes], object]


def build_event(**more: object) -> bytes:
    event = {
        "id": "Rt5Yu7Io9Pa1Sd3Fg5Hj",
        "title": "Intro call",
        "calendarId": "aB3dE5fG7hJ9kL1mN2pQ",
        "locationId": "C2QujeCh8ZnC7al2InWR",
        "contactId": "Kx8Tq2Wm5Rz7Yb4Nc1Vd",
        "appointmentStatus": "confirmed",
        "assignedUserId": "Lk2Jh4Gf6Ds8Aq0Wz1Xs",
        "users": ["Lk2Jh4Gf6Ds8Aq0Wz1Xs"],
        "address": "Main Street 1",
        "startTime": "2027-06-01T09:00:00-05:00",
        "endTime": "2027-06-01T09:30:00-05:00",
        "dateAdded": "2027-05-01T09:00:00.000Z",
        "createdBy": {"userId": "Lk2Jh4Gf6Ds8Aq0Wz1Xs", "source": "booking_widget"},
    }
    return json.dumps(event | more).encode()


def fill(start: bytes, part: bytes, end: bytes, megabytes: int) -> bytes:
    """A body of that size, made of one part after the other."""
    return start + part * ((megabytes * MEGABYTE - len(start) - len(end)) // len(part)) + end


def build_list(event: bytes, megabytes: int) -> bytes:
    return fill(b'{"events":[', event + b",", event + b"]}", megabytes)


ANSWERS: dict[str, tuple[Read, Callable[[int], bytes]]] = {}
"""By name: what reads it, and what builds it at a size in MB."""


def add(name: str, build: Callable[[int], bytes], read: Read) -> None:
    """Add a row to the table."""
    ANSWERS[name] = (read, build)


def read_list(body: bytes) -> object:
    return read_success(LIST, 200, body)


def read_event(body: bytes) -> object:
    return read_success(GET, 200, body)


def read_slots(body: bytes) -> object:
    return read_success(SLOTS, 200, body)


def read_note_page(body: bytes) -> object:
    return read_success(NOTES, 200, body)


def read_failure(body: bytes) -> object:
    return read_error(500, body, secrets=("pit-0123456789abcdef",))


def build_days(slots: bytes, megabytes: int) -> bytes:
    """As many days as fill that size, each with the same slots."""
    days = megabytes * MEGABYTE // (len(slots) + 15)
    parts = (b'"%s":%s' % (str(date(1000, 1, 1) + timedelta(one)).encode(), slots) for one in range(days))
    return b"{" + b",".join(parts) + b"}"


PLAIN = build_event()
ODD_TIME = build_event(dateAdded={"_seconds": 1_726_300_000})
ODD_TITLES = PLAIN.replace(b'"Intro call"', b"5")
TIME = b'"2027-06-01T09:00:00-05:00"'
DAY = b'{"slots":[%s]}' % b",".join(b'"2027-06-01T09:%02d:00-05:00"' % minute for minute in range(60))
add("list", lambda size: build_list(PLAIN, size), read_list)
add("list, raw line ends", lambda size: build_list(PLAIN.replace(b"Intro", b"In\ntro"), size), read_list)
add("list, one odd time", lambda size: build_list(PLAIN, size)[:-2] + b"," + ODD_TIME + b"]}", read_list)
add("list, only odd times", lambda size: build_list(ODD_TIME, size), read_list)
add("list, empty times", lambda size: build_list(build_event(dateAdded=""), size), read_list)
add("list, odd titles", lambda size: build_list(ODD_TITLES, size), read_list)
add("list, odd authors", lambda size: build_list(build_event(createdBy={"userId": 5}), size), read_list)
add("list, misspelt", lambda size: build_list(PLAIN.replace(b"appointmentS", b"appoinmentS"), size), read_list)
add("list, in envelopes", lambda size: build_list(b'{"event":%s}' % PLAIN, size), read_list)
add("list, not UTF-8", lambda size: build_list(PLAIN.replace(b"Intro", b"\xe9\xff"), size), read_list)
add("list, halves of pairs", lambda size: build_list(PLAIN.replace(b"Intro", b"\\ud800"), size), read_list)
add("list, NaN", lambda size: build_list(PLAIN, size)[:-1] + b',"x":NaN}', read_list)
add("list of numbers", lambda size: fill(b'{"events":[', b"5,", b"5]}", size), read_list)
add("list of objects", lambda size: fill(b'{"events":[', b"{},", b"{}]}", size), read_list)
add("list of blank objects", lambda size: fill(b'{"events":[', b"{           },", b"{}]}", size), read_list)
add(
    "list of no events",
    lambda size: fill(b'{"events":[', b'{"event":{"a":"%s"}},' % (b"x" * 90), b"{}]}", size),
    read_list,
)
add("list of texts", lambda size: fill(b'{"events":[', b'"%s",' % (b"x" * 60), b'""]}', size), read_list)
add("one long title", lambda size: fill(b'{"event":{"id":"ev1","title":"', b"x", b'"}}', size), read_event)
add("one odd long title", lambda size: fill(b'{"event":{"id":"ev1","title":"', b"\n", b'"}}', size), read_event)
add("many keys", lambda size: fill(b'{"event":{"id":"ev1"', b',"a":1', b"}}", size), read_event)
add("nested arrays", lambda size: fill(b'{"event":', b"[", b"", size), read_event)
add("blanks", lambda size: fill(b"", b" ", b"{}", size), read_event)
add("page", lambda size: fill(b"<html>", b"<p>", b"</html>", size), read_event)
add("page after blanks", lambda size: fill(b"", b" \n", b"<html>", size), read_event)
add("backslashes", lambda size: fill(b'{"event":{"title":"', b"\\ud8", b'"}}', size), read_event)
add("not a number", lambda size: fill(b'{"events":[', b"NaN,", b"NaN]}", size), read_list)
add("an error in it", lambda size: fill(b'{"error":[', b'"xxxxxxxxx",', b'"x"]}', size), read_event)
add("slots, twice each", lambda size: build_days(DAY.replace(b"09:0", b"09:1"), size), read_slots)
add("slots", lambda size: build_days(DAY, size), read_slots)
add(
    "slots of one day", lambda size: fill(b'{"2027-06-01":{"slots":[', TIME + b",", TIME + b"]}}", size), read_slots
)
add("slots, all odd", lambda size: fill(b'{"2027-06-01":[', b'{"startTime":5},', b"0]}", size), read_slots)
add("notes", lambda size: fill(b'{"notes":[', NOTE + b",", NOTE + b"]}", size), read_note_page)
add("error, a page", lambda size: fill(b"<html>", b"<p>x", b"</html>", size), read_failure)
add("error, open tags", lambda size: fill(b"", b"<", b"", size), read_failure)
add("error, messages", lambda size: fill(b'{"message":[', b'"x",', b'"x"]}', size), read_failure)
add("error, cut off", lambda size: fill(b'{"message":"', b"x", b"", size), read_failure)
add("error, nested", lambda size: fill(b'{"error":', b"[", b"", size), read_failure)
add("error, the token", lambda size: fill(b"", b"pit-0123456789abcde", b"", size), read_failure)


def measure(read: Read, body: bytes) -> float:
    """The fewest milliseconds of this process in some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        read(body)
        best = min(best, time.process_time() - began)
    return best * 1000


def run() -> None:
    """Print the table: for each size the milliseconds, then what was read of the largest, and the verdict."""
    bounds = {size: 10 * size + 5 for size in SIZES}
    print(f"{'milliseconds to read':24}" + "".join(f"{f'{size} MB':>9}" for size in SIZES) + "  within the bound")
    print(f"{'the bound':24}" + "".join(f"{bound:9.1f}" for bound in bounds.values()))
    over = 0
    for name, (read, build) in ANSWERS.items():
        took = {size: measure(read, build(size)) for size in SIZES}
        beyond = [f"{size} MB" for size in SIZES if took[size] > bounds[size]]
        over += bool(beyond)
        verdict = f"NO: {', '.join(beyond)}" if beyond else "yes"
        print(f"{name:24}" + "".join(f"{one:9.1f}" for one in took.values()) + f"  {verdict}", flush=True)
    print(f"{len(ANSWERS) - over} of {len(ANSWERS)} within the bound")
