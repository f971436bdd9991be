"""What an open page is told: first everything, then only what is new. Pure: the page asks as often as it likes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

import msgspec
from msgspec import Struct

from .app import OPERATIONS, SandboxApp
from .day import Booked, DayView, Person, Shown
from .rate_limits import Usage
from .request_log import LoggedRequest
from .store import Store

_MOST_LOGGED: Final = 100
"""Requests in one message: more than that nobody can read in the meantime."""
_MOST_BODY: Final = 2000
_MOST_FAULTS: Final = 20


class Entry(Struct, frozen=True):
    """A request in the page's log."""

    number: int
    at: datetime
    """By the sandbox's clock."""
    operation: str | None
    method: str
    path: str
    query: str
    body: str
    location_id: str | None
    event_id: str | None
    title: str | None
    """Of the event, as it is now."""
    status: int | None
    applied: bool
    fault: str | None


class Planned(Struct, frozen=True):
    """The next faults of an operation."""

    operation: str
    faults: list[str]
    more: int


class Place(Struct, frozen=True):
    """A location to choose."""

    id: str
    name: str


class Everything(Struct, frozen=True, kw_only=True, tag="everything"):
    """The first message, and the one after a reset."""

    locations: list[Place]
    location: str
    day: str
    zone: str
    calendars: list[Booked]
    people: list[Person]
    operations: list[str]
    """That can be given faults."""
    events: list[Shown]
    days: dict[str, int]
    requests: list[Entry]
    total: int
    limits: list[Usage]
    faults: list[Planned]
    clock: datetime
    is_running: bool


class News(Struct, frozen=True, kw_only=True, tag="news", omit_defaults=True):
    """What has changed since the message before."""

    events: list[Shown] = []
    gone: list[str] = []
    """Ids of events that are not on this day, or no more."""
    days: dict[str, int] = {}
    requests: list[Entry] = []
    total: int | None = None
    limits: list[Usage] = []
    faults: list[Planned] | None = None
    clock: datetime | None = None


class Feed:
    """The messages for one page that shows one day of one location. Raises `ValueError` as `DayView` does."""

    def __init__(self, app: SandboxApp, location_id: str | None, day: str | None, zone: str | None) -> None:
        self._app = app
        self._wanted = location_id, day, zone
        self._store: Store | None = None
        self._view = DayView(app.store, *self._wanted)
        self._revision = self._total = 0
        self._limits: list[Usage] = []
        self._faults: list[Planned] = []
        self._ahead: float = 0.0

    def read(self, loop_time: float) -> Everything | News | None:
        """The next message; `None` if nothing has changed."""
        if self._app.store is not self._store:
            return self._read_everything(loop_time)
        now, clock = self._app.clock.peek(loop_time)
        is_set = self._app.clock.ahead != self._ahead or (self._total == 0 < self._app.requests.total)
        events, gone, days = self._read_events()
        total, faults = self._app.requests.total, self._list_faults()
        limits, known = self._app.rate_limits.list_usage(self._app.store.locations, now), set(self._limits)
        news = News(
            events=events,
            gone=gone,
            days=days,
            requests=self._list_requests(total - self._total),
            total=total if total != self._total else None,
            limits=[one for one in limits if one not in known],
            faults=faults if faults != self._faults else None,
            clock=clock if is_set else None,
        )
        self._limits, self._faults, self._total, self._ahead = limits, faults, total, self._app.clock.ahead
        return None if news == _NOTHING else news

    def _read_everything(self, loop_time: float) -> Everything:
        store = self._store = self._app.store
        view = self._view = DayView(store, *self._wanted)
        now, clock = self._app.clock.peek(loop_time)
        self._revision, self._total, self._ahead = (
            store.index.revision,
            self._app.requests.total,
            self._app.clock.ahead,
        )
        self._limits = self._app.rate_limits.list_usage(store.locations, now)
        self._faults = self._list_faults()
        return Everything(
            locations=[Place(one.id, one.name) for one in store.locations.values()],
            location=view.location.id,
            day=view.day.isoformat(),
            zone=view.zone,
            calendars=view.calendars,
            people=view.people,
            operations=list(OPERATIONS),
            events=view.list_shown(),
            days={day.isoformat(): count for day, count in view.counts.items()},
            requests=self._list_requests(_MOST_LOGGED),
            total=self._total,
            limits=self._limits,
            faults=self._faults,
            clock=clock,
            is_running=self._app.clock.is_running,
        )

    def _read_events(self) -> tuple[list[Shown], list[str], dict[str, int]]:
        """What is on the page's day, what is not, and how many there are on each day that has more or fewer."""
        store, view = self._app.store, self._view
        changed = [one for one in store.index.list_changed(self._revision) if one.location_id == view.location.id]
        self._revision = store.index.revision
        days: set[date | None] = set()
        for event in changed:
            before, after = view.follow(event)
            if before != after:
                view.counts.subtract([before] if before else [])
                view.counts.update([after] if after else [])
                days |= {before, after}
        shown = [view.show(event) for event in changed]
        gone = [event.id for event, one in zip(changed, shown, strict=True) if one is None]
        events = [one for one in shown if one is not None]
        if any(event.rrule is not None for event in changed):
            events = view.list_shown()
        return events, gone, {day.isoformat(): view.counts[day] for day in days if day is not None}

    def _list_requests(self, count: int) -> list[Entry]:
        newest = self._app.requests.list_newest(min(count, _MOST_LOGGED))
        first = self._app.requests.total - len(newest)
        return [self._show_request(number, one) for number, one in enumerate(newest, first + 1)]

    def _show_request(self, number: int, request: LoggedRequest) -> Entry:
        event = self._app.store.index.events.get(request.event_id or "")
        return Entry(
            number=number,
            at=self._app.clock.date(request.at),
            operation=request.operation,
            method=request.method,
            path=request.path,
            query=request.query,
            body=request.body[:_MOST_BODY],
            location_id=request.location_id,
            event_id=request.event_id,
            title=event.title if event else None,
            status=request.status,
            applied=request.applied,
            fault=request.fault,
        )

    def _list_faults(self) -> list[Planned]:
        unused = self._app.faults.unused().items()
        return [
            Planned(operation, [str(one) for one in faults[:_MOST_FAULTS]], max(0, len(faults) - _MOST_FAULTS))
            for operation, faults in unused
        ]


_NOTHING: Final = News()


def encode_event(message: Everything | News) -> bytes:
    """A server-sent event. JSON holds no line break, so that it is one line of data."""
    return b"data: " + msgspec.json.encode(message) + b"\n\n"
