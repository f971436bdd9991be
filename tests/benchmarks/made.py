"""A calendar that is computed and not kept: as many appointments as are asked for, answered at once, no sockets."""

import asyncio
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from leadconnector_async import LeadConnector
from leadconnector_async._api.request import Request
from leadconnector_async._call.reply import Progress, RawResponse

from ..simulation.world import Unconnected, join
from .server import HEADERS

LOCATIONS = 200
HEADING = "event_id,location_id,start_time,timezone,appointment_status,assigned_user_id\n"
_LENGTH = timedelta(minutes=15)
_FIRST = datetime(2030, 4, 1, tzinfo=UTC)
_ZONE = "Europe/London"
_DOCTORS = 4


def build_location_id(location: int) -> str:
    return f"location{location:012d}"


def build_event_id(location: int, number: int) -> str:
    """Ids of neighbours have nothing in common where they begin, as the server's have not."""
    return f"{zlib.crc32(b'%d %d' % (location, number)):08x}{location:04d}{number:08d}"


def write_plan(rows: int, locations: int = LOCATIONS, *, weeks: int = 1) -> Iterator[str]:
    """Everybody's appointments some weeks later, written as a clinic would: on the clock of a zone."""
    yield HEADING
    for row in range(rows):
        number, location = divmod(row, locations)
        start = (_find_start(number) + timedelta(weeks=weeks, hours=1)).replace(tzinfo=None).isoformat()
        yield _write_row(location, number, start, _ZONE)


def write_rows(location: int, rows: int) -> Iterator[str]:
    """Those of one location, a week later in UTC, without a heading: any number, over the change of the clocks."""
    for number in range(rows):
        yield _write_row(location, number, (_find_start(number) + timedelta(weeks=1)).isoformat(), "")


def _write_row(location: int, number: int, start: str, zone: str) -> str:
    ids = f"{build_event_id(location, number)},{build_location_id(location)}"
    return f"{ids},{start},{zone},confirmed,{_find_doctor(number)}\n"


def connect(location: int | None = 0, **options: object) -> LeadConnector:
    """A client of this calendar."""
    own = None if location is None else build_location_id(location)
    client = LeadConnector(_Provider(), location_id=own, base_url="http://127.0.0.1", **options)  # type: ignore[arg-type]
    return join(client, transport=Computed())


class Computed(Unconnected):
    """Answers in the real server's shape, out of the request alone."""

    _headers = CIMultiDictProxy(CIMultiDict(HEADERS))

    async def send(
        self,
        session: aiohttp.ClientSession,
        request: Request[object],
        headers: CIMultiDict[str],
        bounds: aiohttp.ClientTimeout,
        progress: Progress,
    ) -> RawResponse:
        progress.sent = True
        progress.answered_at = asyncio.get_running_loop().time()
        return RawResponse(200, self._headers, _answer(request), progress.answered_at)


class _Provider:
    """The same token for every location."""

    async def __call__(self) -> str:
        return "pit-benchmark"

    def for_location(self, location_id: str) -> "_Provider":
        return self


def _answer(request: Request[object]) -> bytes:
    query = request.query
    if query:
        location, calendar = str(query["locationId"]), str(query["calendarId"])
        span = [datetime.fromtimestamp(int(query[name]) / 1000, UTC) for name in ("startTime", "endTime")]
        return msgspec.json.encode({"events": list(_list(location, calendar, *span))})
    event_id = request.path.rpartition("/")[2]
    event = _build(int(event_id[8:12]), int(event_id[12:]))
    if request.body is None:
        return msgspec.json.encode({"event": event})
    return msgspec.json.encode(event | msgspec.json.decode(request.body))


def _list(location: str, calendar: str, begin: datetime, end: datetime) -> Iterator[dict[str, object]]:
    """A calendar for each doctor."""
    first, last = ((moment - _FIRST) // _LENGTH for moment in (begin, end))
    for number in range(max(0, first), last + 1):
        if calendar == f"calendar{number % _DOCTORS:012d}":
            yield _build(int(location[8:]), number)


def _build(location: int, number: int) -> dict[str, object]:
    start = _find_start(number)
    return {
        "id": build_event_id(location, number),
        "calendarId": f"calendar{number % _DOCTORS:012d}",
        "locationId": build_location_id(location),
        "contactId": f"contact{number:013d}",
        "title": "Intro call",
        "startTime": start.isoformat(),
        "endTime": (start + _LENGTH).isoformat(),
        "appointmentStatus": "confirmed",
        "appoinmentStatus": "confirmed",
        "assignedUserId": _find_doctor(number),
        "address": "",
        "isRecurring": False,
    }


def _find_start(number: int) -> datetime:
    return _FIRST + number * _LENGTH


def _find_doctor(number: int) -> str:
    return f"user{number % _DOCTORS:016d}"
