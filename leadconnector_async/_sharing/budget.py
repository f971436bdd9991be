"""The budget of a location that several processes share: a `LocalBudget` that needs a lease for each slot.

What this process counts by itself stays in force: its slots, the pause, the day, and how many requests may be in
flight. The leases come from exchanges with the store, and so does what the other processes have learned: limits,
the day, pauses, and the use of others, which this process could not tell from that of the processes it shares with.

Nothing here waits. `now` is a moment of the loop's clock. Leases are counted by a clock that is right even after
the process was frozen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from msgspec import structs

from .._limiter.headers import LocationQuota, read_daily_limit, read_limits, read_quota
from .._limiter.slots import LocalBudget, Ticket
from ..exceptions import ConfigurationError
from ..policy import RateLimit
from .leases import Leases
from .state import Grant, Remaining, Report, Stated

Clock: TypeAlias = Callable[[], float]
Source: TypeAlias = Literal["shared", "shared, unreachable"]

_POLL: Final = 0.1
"""How often to look whether something may be sent while the store is away, as a part of `hold`."""
_CUT: Final = 0.1
"""How much longer than an interval the lease of a request that was cut off counts, as a part of it."""
_ECHO: Final = 0.05
"""A pause that ends only so much later than the one that is known is the same one; as a part of an interval."""
_OLD: Final = 0.5
"""The age, in intervals, from which a grant is renewed when the quota is asked for."""


class LeasedTicket(Ticket, frozen=True, gc=False):
    """A slot that was taken with a lease."""

    lease: int = 0


class Believed(NamedTuple):
    """What remained by a response: of those that were in flight together, the smallest number counts."""

    remaining: int
    newest: int
    """Number of the newest request when it came: a later one may say that more remains."""
    sent_at: float
    answered_at: float


class Exchanges(Protocol):
    """What a shared budget needs of the exchanges with the store."""

    def count_waiting(self) -> tuple[int, int]:
        """How many interactive and how many bulk calls wait."""
        ...

    def wake(self) -> None:
        """An exchange may have become due."""
        ...


class SharedBudget(LocalBudget):
    """The budget of a location that this process shares with others: a `Budget`."""

    __slots__ = (
        "_believed",
        "_clock",
        "_exchanges",
        "_loop_clock",
        "_newest",
        "_own_pause",
        "_pid",
        "_told",
        "_urgent",
        "leases",
    )

    def __init__(
        self, limit: RateLimit, lag: float, leases: Leases, exchanges: Exchanges, clock: Clock, loop_clock: Clock
    ) -> None:
        super().__init__(structs.replace(limit, interactive_reserve=0), lag)  # the store keeps the reserve
        self.leases = leases
        self._exchanges = exchanges
        self._clock, self._loop_clock = clock, loop_clock
        self._pid = os.getpid()
        self._newest: tuple[int, float, Mapping[str, str]] | None = None
        """Number, time and headers of the newest response that was not reported yet."""
        self._told = 0
        """Number of the newest response in the last report."""
        self._believed = Believed(0, 0, 0.0, 0.0)
        self._own_pause = -math.inf
        """Until when a refusal to this process pauses the location."""
        self._urgent = False
        """The others need to know of a pause or limit or get a lease back, or a quota that was asked for is old."""

    def take(self, now: float, *, bulk: bool = False, overtaken: bool = False) -> Ticket | None:
        """Take a slot and a lease, if there are both. Raises `ConfigurationError` after a fork."""
        if os.getpid() != self._pid:
            raise ConfigurationError("the client was used before this process was forked; create a new one here")
        if now < self.pause.until:
            return None
        moment = self._clock()
        if not _has_lease(self.leases, moment, bulk=bulk):
            self._exchanges.wake()
            return None
        ticket = super().take(now, bulk=bulk, overtaken=overtaken)
        if ticket is None:
            return None
        lease = self.leases.take(moment, bulk=bulk)
        if lease is None:
            raise AssertionError("there was a lease")
        end = self.leases.find_end(lease)
        return LeasedTicket(ticket.number, ticket.sent_at, ticket.freed, bulk, end, lease)

    def compute_next(self, now: float, *, bulk: bool = False) -> float | None:
        """When to ask again by time alone; a grant hands out by itself."""
        moment, leases = self._clock(), self.leases
        if now < self.pause.until or _has_lease(leases, moment, bulk=bulk):
            return super().compute_next(now, bulk=bulk)
        return None if leases.contact.failed_since is None else now + _POLL * leases.contact.hold

    def finish(
        self,
        ticket: Ticket,
        answered_at: float,
        headers: Mapping[str, str],
        *,
        success: bool = True,
        refused: bool = False,
    ) -> None:
        """Take over the headers of a response; the next exchange reports them."""
        super().finish(ticket, answered_at, headers, success=success, refused=refused)
        limit, grant = self.limit, self.leases.contact.grant
        if limit.stated:
            self.leases.contact.learn(limit.max_requests)
            if grant is not None and (grant.max_requests != limit.max_requests or grant.interval != limit.interval):
                self._urgent = True
        if self._newest is None or ticket.number > self._newest[0]:
            self._newest = ticket.number, answered_at, headers
        if isinstance(ticket, LeasedTicket):
            age = self._loop_clock() - answered_at
            self.leases.finish(ticket.lease, self._clock() - age + self.slots.lag)
        self._exchanges.wake()

    def begin_pause(self, ticket: Ticket, now: float, seconds: float) -> bool:
        """Stop after a refusal, and let the others know; `False` if it belongs to an earlier pause.

        How many requests the server let through is not known here, so nothing is learned from it about the limit.
        """
        self.pause.refusals.append(now)
        if ticket.number <= self.pause.newest:
            return False
        self.window.shrink(now, proven=self.leases.contact.failed_since is not None and self.limit.stated)
        self.pause.begin(self.slots.sent, now, seconds)
        self._own_pause, self._urgent = self.pause.until, True
        self._exchanges.wake()
        return True

    def free(self, ticket: Ticket, now: float, *, sent: bool) -> None:
        """No response will come. A lease that was not used goes to the next call that waits, else to the store."""
        super().free(ticket, now, sent=sent)
        if isinstance(ticket, LeasedTicket):
            moment = self._clock()
            if sent:
                self.leases.finish(ticket.lease, moment + self.limit.interval * _CUT)
            elif any(self._exchanges.count_waiting()):
                self.leases.give_back(ticket.lease, moment)
            else:
                self.leases.give_back(ticket.lease)
                self._urgent = True
        self._exchanges.wake()

    def describe(self, now: float, waiting: int) -> LocationQuota:
        """The state of the location, as all processes know it; what is in flight and waits is of this process."""
        quota = super().describe(now, waiting)
        contact = self.leases.contact
        source: Source = "shared" if contact.failed_since is None else "shared, unreachable"
        if contact.grant is None or source != "shared":
            return structs.replace(quota, source=source)
        if self._clock() - contact.ended > _OLD * self.limit.interval:
            self._urgent = True
            self._exchanges.wake()
        grant = contact.grant
        return structs.replace(
            quota, source=source, members=grant.members, remaining=grant.remaining, reserve=grant.reserve
        )

    def is_idle(self, now: float) -> bool:
        """Nothing of it would be missed, here or in the store."""
        return super().is_idle(now) and self.leases.find_due(self._clock()) is None

    def find_due(self, moment: float) -> float | None:
        """When the next exchange is due; `None` if there is nothing to report or ask."""
        if self._urgent and self.leases.contact.failed_since is None:
            return moment
        interactive, bulk = self._exchanges.count_waiting()
        return self.leases.find_due(moment, bulk=bulk, interactive=interactive)

    def write_report(self, moment: float, wall: float, *, leaving: bool = False) -> Report:
        """The report for the next exchange. `leaving`: this process closes."""
        self._urgent = False
        interactive, bulk = (0, 0) if leaving else self._exchanges.count_waiting()
        report = self.leases.write_report(moment, wall, bulk=bulk, interactive=interactive, leaving=leaving)
        now = self._loop_clock()
        return structs.replace(report, stated=self._state(now), pause_seconds=max(0.0, self._own_pause - now))

    def accept(self, report: Report, grant: Grant, began: float, ended: float) -> None:
        """An exchange was made: take over what the store knows. `began` and `ended` are of its reading."""
        self.leases.accept(report, grant, began, ended)
        if self._newest is not None and self._newest[0] <= self._told:
            self._newest = None
        now, limit = self._loop_clock(), self.limit
        self.window.forget()
        if (limit.max_requests, limit.interval) != (grant.max_requests, grant.interval):
            limit.max_requests, limit.interval = grant.max_requests, grant.interval
            limit.stated_headers = (None, None)  # what a response said before the others did may be said again
        limit.stated = limit.stated or grant.stated
        self._join_pause(now, grant.pause_seconds)
        if grant.daily_limit:
            moment = self._clock()
            stock = sum(self.leases.count_stock(moment, bulk=bulk) for bulk in (False, True))
            self.daily.adopt(grant.daily_limit, grant.daily_remaining + stock, grant.daily_reset, now)

    def fail(self, began: float, moment: float) -> None:
        """An exchange that began then has failed."""
        contact = self.leases.contact
        if contact.failed_since is None and contact.grant is not None and contact.grant.foreign:
            foreign = math.ceil(contact.grant.foreign / contact.grant.members)  # until now the store left them room
            self.window.record_foreign(foreign, foreign, self._loop_clock(), self.limit.interval)
        contact.fail(began, moment)
        self._urgent = self._own_pause > self._loop_clock()

    def _join_pause(self, now: float, seconds: float) -> None:
        """Pause as the others do. A pause of this process's own returns a little later than it was reported."""
        pause, until = self.pause, now + seconds
        if seconds <= 0 or until <= pause.until:
            return
        if until - pause.until > _ECHO * self.limit.interval:
            self.window.shrink(now, proven=False)
            pause.begin(self.slots.sent, now, seconds)
        pause.until = until

    def _state(self, now: float) -> Stated | None:
        """What the newest response said; of those that were in flight together, the smallest number remains."""
        if self._newest is None:
            return None
        self._told, answered_at, headers = self._newest
        believed = self._believed
        quota, (limit, interval) = read_quota(headers), read_limits(headers)
        daily_limit, daily_reset = read_daily_limit(headers)
        return Stated(
            age=max(0.0, now - answered_at),
            max_requests=limit,
            interval=interval,
            remaining=None
            if quota.remaining is None
            else Remaining(believed.remaining, now - believed.sent_at, now - believed.answered_at),
            daily_limit=daily_limit,
            daily_remaining=quota.daily_remaining,
            daily_reset=daily_reset,
        )

    def _learn_remaining(self, ticket: Ticket, answered_at: float, remaining: int) -> None:
        """What is used beside our own requests may be the use of processes that we share with: the store knows.

        While it is away, all of them see what remains at once, so each takes its part of it.
        """
        contact = self.leases.contact
        grant = contact.grant
        if contact.failed_since is not None:
            self.catch_up(answered_at)
            part = math.ceil(remaining / (1 if grant is None else max(1, grant.members)))
            self.window.learn(ticket.number, self.slots.sent, part, answered_at)
        if ticket.number > self._believed.newest or remaining <= self._believed.remaining:
            self._believed = Believed(remaining, self.slots.sent, ticket.sent_at, answered_at)


def _has_lease(leases: Leases, moment: float, *, bulk: bool) -> bool:
    """Whether `Leases.take` would return one."""
    if any(leases.count_stock(moment, bulk=one) for one in {bulk, True}):
        return True
    contact = leases.contact
    return contact.failed_since is not None and leases.count_used(moment) < contact.count_share(moment, bulk=bulk)
