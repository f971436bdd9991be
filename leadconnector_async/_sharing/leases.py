"""What one process holds of the shared budget of a location, what it reports, and when it asks next.

A lease may be sent for four fifths of `hold`, counted from *before* its exchange began, and that is checked again
right before the socket write (`find_end`). So a request is on its way before the store gives up the slot, whatever
the network and a frozen process do in between; the last fifth is for the way to the server.

While the store is away, the process sends its *share* instead: what the store keeps free for it, or has kept free,
beginning `hold` and an interval after its last exchange. By then every slot that was leased before is free again.

Nothing here waits or reads a clock: `now` is a moment of one monotonic clock of this process.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Final

import msgspec
from msgspec import Struct

from .state import HOLD, PROMISE_SECONDS, Grant, Limits, Report, Sighting, Use
from .store import STORE_SECONDS

_FENCE: Final = 0.8
"""The part of `hold` in which a lease may be sent."""
_RENEW: Final = PROMISE_SECONDS / 3
"""A member with a share renews it by an exchange after so many seconds, or gives it up."""
_UNPROMISED: Final = 0.25
"""The part of the limit that a process assumes if it has no share when the store is away; of its even part, if it
knows of other members."""
_REPORT_AFTER: Final = 0.25
"""A use is reported after this part of an interval, or half of `hold`."""
_REPORT_SOON: Final = 0.01
"""The same if what remains decides how many more may be sent."""
_REPORT_LATE: Final = 0.5
"""The same if the server weighs its last window: until then, the next exchange that asks reports as well."""
_FIRST_RETRY: Final = 0.05
_GATHER: Final = 0.01
"""The part of `hold` for which waiting calls are gathered before the next exchange."""


class Contact:
    """When this process has reached the store, and what it may do when it does not."""

    __slots__ = ("_dice", "_told", "began", "ended", "failed_since", "failures", "grant", "limits", "retry_at")

    def __init__(self, limits: Limits, dice: random.Random) -> None:
        self.limits, self._dice = limits, dice
        self.grant: Grant | None = None
        """The newest one."""
        self.began = self.ended = 0.0
        """When its reading began and ended."""
        self.failed_since: float | None = None
        """Since when every exchange has failed; `None` if the last one did not."""
        self.failures = 0
        self.retry_at = 0.0
        self._told: int | None = None
        """The limit that a response stated after that grant."""

    def succeed(self, grant: Grant, began: float, ended: float) -> None:
        """An exchange was made."""
        self.grant, self.began, self.ended = grant, began, ended
        self.failed_since, self.failures, self._told = None, 0, None

    def learn(self, max_requests: int) -> None:
        """A response stated the limit: nobody else tells of a lower one while the store is away."""
        self._told = max_requests

    @property
    def interval(self) -> float:
        """The interval of the limit, as far as it is known."""
        return self.limits.interval if self.grant is None else self.grant.interval

    @property
    def hold(self) -> float:
        """For how long a lease is kept."""
        return self.limits.hold if self.grant is None else min(self.limits.hold, self.grant.hold)

    def fail(self, began: float, now: float) -> None:
        """An exchange that began then has failed. If the process was stopped since, that says nothing about now."""
        if self.failed_since is None:
            self.failed_since = now
        self.failures += 1
        wait = min(1.0, _FIRST_RETRY * 2.0**self.failures)
        self.retry_at = min(now, began + self.hold) + wait * self._dice.uniform(0.5, 1.0)

    def lower_share(self, need: int) -> int:
        """Give up the share beyond this, before it is reported: the response may be lost."""
        grant = self.grant
        if grant is None:
            return 0
        if grant.share > need:
            self.grant = grant = msgspec.structs.replace(grant, share=need)
        return grant.share

    def sight(self, began: float, ended: float) -> Sighting | None:
        """What the last grant lets us know of a reading between these moments."""
        grant = self.grant
        if grant is None:
            return None
        at_least, at_most = max(0.0, began - self.ended), ended - self.began
        return Sighting(grant.epoch, grant.server, grant.clock, at_least, at_most)

    def count_share(self, now: float, *, bulk: bool) -> int:
        """How many requests may be sent per interval without the store; 0 while it is there, and at first."""
        if self.failed_since is None:
            return 0
        grant, limits = self.grant, self.limits
        if grant is None or not self._is_promised(grant):
            most = limits.max_requests if grant is None else grant.max_requests / grant.members
            share, since = max(1, int(most * _UNPROMISED)), self.failed_since
        else:
            share, since = self._scale(grant), self.began
        if now < since + max(limits.hold, self.hold) + self.interval or now > self.retry_at + 2 * STORE_SECONDS:
            return 0  # after a long stop of this process the store may be there again: try first
        if not bulk or grant is None or share < 2:
            return share
        return max(1, share - math.ceil(share * grant.reserve / grant.max_requests))

    def _scale(self, grant: Grant) -> int:
        """The share, as a part of the limit that was stated since, if that is lower. Who is alone keeps one."""
        if self._told is None or self._told >= grant.max_requests:
            return grant.share
        least = 1 if grant.promised <= grant.share else 0
        return max(least, grant.share * self._told // grant.max_requests)

    def _is_promised(self, grant: Grant) -> bool:
        """Whether the store kept the share free when it was last there, as far as can be known."""
        since = self.began if self.failed_since is None else self.failed_since
        return grant.share > 0 and since - self.began < PROMISE_SECONDS - grant.hold - grant.interval


class InFlight(Struct):
    """A request that has taken a lease, or was allowed by the share."""

    bulk: bool
    until: float
    """It must be sent before."""
    reported_at: float
    """When the store last knew of it: when it was granted, or reported in flight."""


class BulkRate:
    """How many bulk requests were sent within the time in which a lease may be sent."""

    __slots__ = ("_before", "_count", "_since")

    def __init__(self) -> None:
        self._since = -math.inf
        self._count = self._before = 0

    def add(self, now: float, span: float) -> None:
        """One more was sent; spans follow each other, and pauses between them do not count."""
        if now >= self._since + span:
            self._since, self._before, self._count = now, max(self._count, self._before // 2), 0
        self._count += 1

    def measure(self) -> int:
        """In this span, or the last ones."""
        return max(self._count, self._before)


class Leases:
    """The leases of one process for one location."""

    __slots__ = (
        "_asked",
        "_bulk_rate",
        "_dice",
        "_flights",
        "_recent",
        "_stock",
        "_unreported",
        "_unsaid",
        "contact",
        "member",
    )

    def __init__(self, member: str, limits: Limits, dice: random.Random) -> None:
        self.member = member
        self.contact = Contact(limits, dice)
        self._dice = dice
        self._bulk_rate = BulkRate()
        self._stock: dict[bool, deque[tuple[int, float]]] = {False: deque(), True: deque()}
        """Leases that are not taken yet, by class (bulk or not), and until when each may be sent."""
        self._flights: dict[int, InFlight] = {}
        self._unreported: dict[int, tuple[float, bool]] = {}
        """Requests that are not in flight any more, and since when."""
        self._recent: deque[tuple[float, bool]] = deque()
        """When requests ended within the last interval, and of which class they were."""
        self._unsaid = 0
        """Requests of the share that were taken after the last report was written."""
        self._asked: dict[bool, int] = {False: 0, True: 0}
        """What was asked for in the last exchange and not granted."""

    def take(self, now: float, *, bulk: bool) -> int | None:
        """Take a lease for one request, if there is one; else one of the share, if the store is away."""
        for stock in (self._stock[bulk],) if bulk else (self._stock[False], self._stock[True]):
            while stock:
                number, until = stock.popleft()
                if now < until:
                    self._flights[number] = InFlight(bulk, until, self.contact.began)
                    if bulk:
                        self._bulk_rate.add(now, self.contact.hold * _FENCE)
                    return number
        if self.contact.failed_since is None or self.count_used(now) >= self.contact.count_share(now, bulk=bulk):
            return None
        self._unsaid += 1
        number = self._dice.getrandbits(62)
        self._flights[number] = InFlight(bulk, now + self.contact.hold * _FENCE, now)
        return number

    def find_end(self, number: int) -> float:
        """By when the request must be written to the socket; if it is later, `give_back` and take another."""
        flight = self._flights.get(number)
        return -math.inf if flight is None else flight.until

    def give_back(self, number: int, now: float = math.inf) -> None:
        """The request was never sent. `now`: another call here can use its lease, for as long as that lasts."""
        flight = self._flights.pop(number, None)
        if flight is not None and now < flight.until:
            self._stock[flight.bulk].appendleft((number, flight.until))

    def finish(self, number: int, at: float) -> None:
        """The response came at `at`, or the request was cut off and counts as if it had."""
        flight = self._flights.pop(number, None)
        if flight is not None:
            self._unreported[number] = at, flight.bulk
            self._recent.append((at, flight.bulk))

    def count_used(self, now: float) -> int:
        """Requests of this process that the server may still count."""
        self._forget(now)
        return len(self._flights) + len(self._recent)

    def count_stock(self, now: float, *, bulk: bool) -> int:
        """Leases that may still be taken."""
        return sum(now < until for _, until in self._stock[bulk])

    def write_report(
        self, now: float, wall: float, *, bulk: int = 0, interactive: int = 0, leaving: bool = False
    ) -> Report:
        """The report for an exchange, made before its reading; `bulk` and `interactive` calls wait for a lease.

        The caller adds the sighting after the reading, and what it knows of pauses, responses and dead members.
        """
        for of_bulk, stock in self._stock.items():
            if leaving or (of_bulk and not self._needs_bulk(bulk)):
                stock.clear()
        held = [number for stock in self._stock.values() for number, until in stock if now < until]
        used = [Use(number, now - at, of_bulk) for number, (at, of_bulk) in self._unreported.items()]
        self._forget(now)
        self._unsaid = 0
        leaving = leaving or self._is_idle(now, bulk + interactive)
        wanted = self._count_wanted(now, bulk)
        recent = sum(not of_bulk for _, of_bulk in self._recent)
        need = 0 if leaving else wanted + interactive + len(held) + len(self._flights) + recent
        share = self.contact.lower_share(need)
        grant = self.contact.grant
        return Report(
            member=self.member,
            limits=self.contact.limits,
            wall=wall,
            held=held,
            in_flight=list(self._flights),
            used=used,
            bulk=wanted,
            interactive=max(0, interactive - self.count_stock(now, bulk=False)),
            need=need,
            share=share,
            promised=0 if grant is None else grant.promised,
            away=0.0 if self.contact.failed_since is None else now - self.contact.failed_since,
            leaving=leaving,
        )

    def accept(self, report: Report, grant: Grant, began: float, ended: float) -> None:
        """An exchange was made: its reading began and ended then."""
        for use in report.used:
            self._unreported.pop(use.number, None)
        for number in report.in_flight:
            if (flight := self._flights.get(number)) is not None:
                flight.reported_at = began
        until = began + min(grant.hold, self.contact.limits.hold) * _FENCE
        for bulk, numbers in ((True, grant.bulk), (False, grant.interactive)):
            sent_instead = min(self._unsaid, len(numbers))
            self._unsaid -= sent_instead
            self._stock[bulk].extend((number, until) for number in numbers[sent_instead:])
            self._asked[bulk] = (report.bulk if bulk else report.interactive) - len(numbers)
        self.contact.succeed(grant, began, ended)

    def find_due(self, now: float, *, bulk: int = 0, interactive: int = 0) -> float | None:
        """When the next exchange is due with so many calls waiting; `None` if there is nothing to report or ask."""
        contact, grant = self.contact, self.contact.grant
        due: list[float] = []
        if grant is not None and grant.share:
            due.append(contact.began + min(_RENEW, max(HOLD, 2 * self.contact.interval)))
        if self._unreported:
            oldest = min(at for at, _ in self._unreported.values())
            due.append(oldest + self.contact.interval * _find_report_part(grant))
        if self._flights:
            oldest = min(flight.reported_at for flight in self._flights.values())
            due.append(oldest + (self.contact.hold + self.contact.interval) / 2)
        if bulk or interactive:
            due.append(self._find_ask_due(now, bulk, interactive))
        if (
            not bulk
            and self.count_stock(now, bulk=True)
            and not any(flight.bulk for flight in self._flights.values())
        ):
            due.append(contact.ended + self.contact.hold * _GATHER)
        if not due:
            return None
        return contact.retry_at if contact.failed_since is not None else min(due)

    def _find_ask_due(self, now: float, bulk: int, interactive: int) -> float:
        """New calls are reported soon; calls that the store knows of are repeated when it said so."""
        grant, contact = self.contact.grant, self.contact
        if grant is None:
            return now
        known = interactive <= self._asked[False] and (not bulk or self._asked[True] > 0)
        if known and grant.next_in is not None:
            return contact.ended + grant.next_in
        return contact.ended + self.contact.hold * _GATHER

    def _count_wanted(self, now: float, waiting: int) -> int:
        """Bulk calls that wait, and as many more as were sent before within the time of a lease."""
        if not waiting:
            return 0
        wanted = min(waiting + self._bulk_rate.measure(), self.contact.limits.max_requests)
        return max(0, wanted - self.count_stock(now, bulk=True))

    def _needs_bulk(self, waiting: int) -> bool:
        """Whether bulk leases are of use: calls wait for them, or may follow those in flight."""
        return waiting > 0 or any(flight.bulk for flight in self._flights.values())

    def _is_idle(self, now: float, waiting: int) -> bool:
        """Nothing is held, wanted or in flight, and nothing was for a while."""
        return not (waiting or self._flights or self._recent or self._unreported)

    def _forget(self, now: float) -> None:
        recent = self._recent
        while recent and recent[0][0] + self.contact.interval <= now:
            recent.popleft()


def _find_report_part(grant: Grant | None) -> float:
    if grant is None:
        return _REPORT_AFTER
    return _REPORT_SOON if grant.probing else _REPORT_LATE if grant.weighed else _REPORT_AFTER
