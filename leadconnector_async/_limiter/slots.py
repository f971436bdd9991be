"""The slots of one location: never more than N requests in any T seconds, at the server.

Keep N slots. A slot is taken before a request is sent and stays taken until T after the headers of its response
came. The server counts the request at some moment in between, so two uses of one slot are at least T apart *at the
server*. Hence no window of length T there holds more than N, whatever the latency, and with no clock in common. The
same stream satisfies a fixed window of any phase and a token bucket of size N.

A worked example, with N = 1 and T = 10 s, in seconds of our clock:

    sent   counted by the server   response   slot free   next one sent   counted        apart
    0.0    at 3.0, at the latest   3.0        13.0        13.0            13.0 or later  at least 10.0

Had the slot been stamped when the request was sent, it would have been free at 10.0. A request that was counted at
2.9 and the next one, counted at 10.1, would be 7.2 s apart: two in one window, and a 429. Had it been one of a
bucket that refills every T/N seconds, almost 2N requests could pass in one window.

Three refinements:

- A request that was cut off may still be on its way. Its slot stays taken for T/10 longer, counted from the cut:
  cut at 1.0, free at 12.0. A request that was never sent returns its slot at once.
- A clock that is read late, or in coarse steps, would stamp a response earlier than it came. `lag` is added to
  every stamp: with 2 ms, the slot above is free at 13.002.
- A request that is in flight for longer than T/2 is *stalled*. It keeps its slot, but nobody waits for its response
  any more: with one request in flight since 0.0, before the first response, the next one may be sent at 5.0.

That is safe as long as nobody else uses the location. What is known of others is in the congestion window, what N
and T are in the learned limit.

Nothing here waits or reads a clock; times come in as arguments.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from msgspec import Struct

from ..policy import RateLimit
from .congestion import CongestionWindow
from .daily import DailyBudget
from .headers import INTERVAL, MAX, REMAINING, LocationQuota, parse_count
from .learned_limit import LearnedLimit
from .pause import REASON, Pause
from .reserve import Reserve

MARGIN: Final = 0.1
"""How much longer than T, as a part of T, the slot of a request that was cut off stays taken."""
_STALLED: Final = 0.5
"""After which part of T nobody waits for a response any more."""
_JITTER: Final = 0.05
"""A pause is lengthened at random by up to this part of it, so that clients do not retry in lockstep."""
_SHORTEST_PAUSE: Final = 0.1
"""As a part of T. A `Retry-After` of zero would have the location hammered."""


class Ticket(Struct, frozen=True, gc=False):
    """A slot that was taken."""

    number: int
    """Sequence number of the request within its location."""
    sent_at: float
    freed: int
    """How many slots had become free by then."""
    bulk: bool = False
    send_by: float = math.inf
    """The moment at which its lease expires, by the clock of `_call.fence`; infinite without a lease."""


class Refused(Struct, frozen=True):
    """A wait that is not worth beginning, or continuing."""

    reason: Literal["daily", "daily_unknown", "deadline"]
    """`daily_unknown`: the daily budget is spent, and the server did not say until when."""
    seconds: float
    """Until the daily budget is back or may be probed, or until a slot would have been free."""


class Slots:
    """Which slots are taken, and until when. All times are seconds of one monotonic clock."""

    __slots__ = ("cooling", "freed", "in_flight", "lag", "sent", "stall_at", "stalled", "waited_for")

    def __init__(self, lag: float = 0.0) -> None:
        self.lag = lag
        """By how much the clock may be behind."""
        self.in_flight = 0
        """Requests in flight: those that are waited for, and those that are stalled."""
        self.waited_for: dict[int, float] = {}
        """When each was sent, by its number."""
        self.stalled: dict[int, float] = {}
        self.stall_at = math.inf
        """When the oldest that is waited for will be stalled, or earlier."""
        self.cooling: deque[tuple[float, float]] = deque()
        """Requests with a response that the server may still count: since when T runs, and when they were sent."""
        self.sent = self.freed = 0

    @property
    def in_use(self) -> int:
        """Slots that are taken."""
        return self.in_flight + len(self.cooling)

    def cut(self, ticket: Ticket, now: float, interval: float) -> None:
        """The request was cut off and may still be on its way: free a margin later than after a response."""
        self.give_back(ticket)
        self.cooling.append((now + interval * MARGIN, ticket.sent_at))

    def give_back(self, ticket: Ticket) -> None:
        """The request is not in flight any more, or was never sent: the slot is free at once."""
        self.in_flight -= 1
        if self.waited_for.pop(ticket.number, None) is None:
            self.stalled.pop(ticket.number, None)

    def set_stalled_aside(self, now: float, interval: float) -> None:
        """Stop waiting for those that are in flight for too long. Their slots stay taken."""
        self.stall_at = math.inf
        for number, sent_at in list(self.waited_for.items()):
            if sent_at + interval * _STALLED > now:
                self.stall_at = sent_at + interval * _STALLED
                break
            self.stalled[number] = self.waited_for.pop(number)

    def find_stall(self, interval: float) -> float | None:
        """When the oldest that is waited for will be stalled; `None` if none is waited for."""
        for sent_at in self.waited_for.values():
            return sent_at + interval * _STALLED
        return None

    def compute_free_at(self, ahead: int, now: float, most: int, interval: float) -> float:
        """The earliest moment at which one with so many ahead of it can have a slot, if nothing changes."""
        rounds, position = divmod(ahead, most)
        position -= max(0, most - self.in_use)
        if position < 0:
            free_at = now
        elif position < len(self.cooling):
            free_at = self.cooling[position][0] + interval
        else:
            oldest = next(self._list_in_flight(), now)
            free_at = max(now, oldest + interval)
        return free_at + rounds * interval

    def _list_in_flight(self) -> Iterator[float]:
        """When each was sent, the oldest first."""
        yield from self.stalled.values()
        yield from self.waited_for.values()


class LocalBudget:
    """The budget of a location that this process counts by itself: a `Budget`.

    One more may be sent if a slot is free, the congestion window and the day allow it, and there is no pause; if it
    is a bulk call, the reserve must allow it too.
    """

    __slots__ = ("daily", "limit", "pause", "reserve", "slots", "window")

    def __init__(self, limit: RateLimit, lag: float = 0.0) -> None:
        self.slots = Slots(lag)
        self.limit = LearnedLimit(limit.max_requests, limit.interval)
        self.window = CongestionWindow()
        self.pause = Pause()
        self.daily = DailyBudget(limit.daily, limit.daily_reserve)
        self.reserve = Reserve(limit)

    def take(self, now: float, *, bulk: bool = False, overtaken: bool = False) -> Ticket | None:
        """Take a slot, if one more may be sent now. `overtaken`: a bulk call before interactive ones that wait."""
        slots, limit, window, daily = self.slots, self.limit, self.window, self.daily
        if now < self.pause.until:
            return None
        if daily.remaining <= (daily.reserve if bulk else 0) and daily.compute_wait(now, bulk=bulk) is not None:
            return None
        self.catch_up(now)
        in_use = slots.in_flight + len(slots.cooling)
        if in_use >= limit.max_requests and not (limit.grow(now) and in_use < limit.max_requests):
            return None
        in_flight = len(slots.waited_for)
        if (
            in_flight >= window.unchecked
            and not window.allows(now, limit.interval, in_flight, in_use, self._count_kept(now) if bulk else 0)
        ) or (
            bulk
            and in_use >= limit.max_requests * self.reserve.at_once
            and not self._allows_bulk(now, in_use, overtaken)  # the last: it takes the turn
        ):
            return None
        if bulk:
            self.reserve.in_flight += 1
        if daily.only_counts:
            daily.remaining -= 1
        else:
            daily.take(now)
        slots.in_flight += 1
        slots.sent = number = slots.sent + 1
        if not in_flight:
            slots.stall_at = now + limit.interval * _STALLED
        slots.waited_for[number] = now
        return Ticket(number, now, slots.freed, bulk)

    def compute_next(self, now: float, *, bulk: bool = False) -> float | None:
        """When to ask again by time alone; `None` if only a response can let one more go."""
        if now < self.pause.until:
            return self.pause.until
        self.catch_up(now)
        slots, interval = self.slots, self.limit.interval
        if bulk:
            allowed_at = self.reserve.compute_next(now, self.limit, slots.in_use)
            if allowed_at > now:
                return None if allowed_at == math.inf else allowed_at
        free_at = slots.cooling[0][0] + interval if slots.cooling else math.inf
        if slots.in_use >= self.limit.max_requests:
            return free_at if slots.cooling else None
        stall_at = slots.find_stall(interval)
        if stall_at is not None:
            return stall_at
        return min(free_at, self.window.compute_next(now, interval, self._count_kept(now) if bulk else 0))

    def check_day(self, now: float, *, bulk: bool) -> Refused | None:
        """Why nothing more may be sent today; `None` if something may."""
        seconds = self.daily.compute_wait(now, bulk=bulk)
        if seconds is None:
            return None
        return Refused("daily" if self.daily.knows_reset else "daily_unknown", seconds)

    def compute_wait(self, now: float, ahead: int, bulk_ahead: int | None = None) -> float:
        """The shortest wait in seconds with so many ahead, if nobody gives up and nothing changes.

        `bulk_ahead`: for a bulk call, how many of them are bulk calls.
        """
        self.catch_up(now)
        limit, slots = self.limit, self.slots
        free_at = slots.compute_free_at(ahead, now, max(limit.max_requests, slots.in_flight), limit.interval)
        if bulk_ahead is not None:
            free_at = max(free_at, self.reserve.compute_free_at(bulk_ahead, now, limit, slots.in_use))
        return max(free_at, self.pause.until) - now

    def finish(
        self,
        ticket: Ticket,
        answered_at: float,
        headers: Mapping[str, str],
        *,
        success: bool = True,
        refused: bool = False,
    ) -> None:
        """The headers of a response came: the slot is free an interval later, and the limits are what they say.

        `refused` because of the rate limit: a pause follows.
        """
        slots, limit, number = self.slots, self.limit, ticket.number
        slots.in_flight -= 1  # as `give_back` does, for the speed of the successful call
        if slots.waited_for.pop(number, None) is None:
            slots.stalled.pop(number, None)
        slots.cooling.append((answered_at + slots.lag, ticket.sent_at))
        if ticket.bulk:
            self.reserve.finish(answered_at + slots.lag, answered_at, limit.interval)
        if (headers.get(MAX), headers.get(INTERVAL)) != limit.stated_headers:
            limit.learn(number, headers)
        elif 0 < limit.stated_by < number:
            limit.stated_by = number
        remaining = parse_count(headers.get(REMAINING))
        if remaining is not None:
            self._learn_remaining(ticket, answered_at, remaining)
        elif success:
            self.window.expire(number, answered_at, limit.interval)
        if not refused and (success or limit.stated) and number > self.pause.newest:
            self.window.grow(answered_at, limit.interval)
        self.daily.learn(number, slots.sent, headers, answered_at, success=success)

    def refuse(
        self, ticket: Ticket, answered_at: float, headers: Mapping[str, str], now: float, retry_after: float | None
    ) -> float | None:
        """A 429 came: pause. Returns for how many seconds; `None` if it belongs to an earlier pause."""
        self.finish(ticket, answered_at, headers, success=False, refused=True)
        interval = self.limit.interval
        seconds = interval if retry_after is None else max(retry_after, interval * _SHORTEST_PAUSE)
        seconds *= 1 + random.uniform(0, _JITTER)  # noqa: S311 - spreads load, guards nothing
        return seconds if self.begin_pause(ticket, now, seconds) else None

    def begin_pause(self, ticket: Ticket, now: float, seconds: float) -> bool:
        """Stop after a refusal; `False` if it belongs to an earlier pause.

        The refusal of a request that was sent before the last pause began says nothing new.
        """
        pause, limit, slots = self.pause, self.limit, self.slots
        pause.refusals.append(now)
        if ticket.number <= pause.newest:
            limit.lower_by_one()
            return False
        self.catch_up(now)
        limit.lower(slots.in_use - len(pause.refusals), now, seconds)
        self.window.shrink(now, proven=limit.stated)
        pause.begin(slots.sent, now, seconds)
        return True

    def free(self, ticket: Ticket, now: float, *, sent: bool) -> None:
        """No response will come: the slot is free at once if the request was never sent, else after a while."""
        if sent:
            self.slots.cut(ticket, now, self.limit.interval)
            if ticket.bulk:
                self.reserve.finish(now + self.limit.interval * MARGIN, now, self.limit.interval)
        else:
            self.reserve.in_flight -= ticket.bulk
            self.slots.give_back(ticket)
            self.daily.give_back(ticket.number)

    def describe(self, now: float, waiting: int) -> LocationQuota:
        """The state of the location, for users."""
        self.catch_up(now)
        slots, limit, daily = self.slots, self.limit, self.daily
        paused_seconds = self.pause.measure(now)
        stated = self.window.count_remaining(now, limit.interval, slots.in_flight)
        return LocationQuota(
            limit=limit.max_requests,
            interval=limit.interval,
            remaining=max(0, min(limit.max_requests - slots.in_use, stated)),
            in_flight=slots.in_flight,
            waiting=waiting,
            mode=self.window.decide_mode(now, limit.interval),
            paused_seconds=paused_seconds,
            pause_reason=REASON if paused_seconds else None,
            reserve=self.reserve.measure(now, limit, slots.in_use),
            daily_limit=daily.limit,
            daily_remaining=max(0, daily.remaining),
            daily_reset=daily.measure_reset(now),
        )

    def is_idle(self, now: float) -> bool:
        """No request is in flight, none still counts, and nothing is known that a response would not tell again."""
        self.catch_up(now)
        calm = not self.slots.in_use and now >= self.pause.until and self.limit.forget_at == math.inf
        return calm and self.daily.is_idle(now)

    def catch_up(self, now: float) -> None:
        """Free the slots whose time has come, and forget what is too old."""
        slots, interval, refusals = self.slots, self.limit.interval, self.pause.refusals
        cooling = slots.cooling
        while cooling and cooling[0][0] + interval <= now:
            _, sent_at = cooling.popleft()
            slots.freed += 1
            if sent_at + interval > self.window.stated_at:  # until then at least the server counted it
                self.window.freed += 1
        while refusals and refusals[0] + interval <= now:
            refusals.popleft()
        if now >= slots.stall_at:
            slots.set_stalled_aside(now, interval)
        if now >= self.limit.forget_at:
            self.limit.forget()

    def _allows_bulk(self, now: float, in_use: int, overtaken: bool) -> bool:
        """Whether the reserve lets one more bulk call go. If it is used up, a limit that was learned may grow."""
        limit, reserve = self.limit, self.reserve
        reserve.contended = self.window.is_contended(now, limit.interval)
        room = reserve.measure_room(now, limit, in_use)
        if room <= 0 and limit.grow(now):
            room = reserve.measure_room(now, limit, in_use)
        return room > 0 and (overtaken or reserve.take_turn(now, limit, in_use, room))

    def _count_kept(self, now: float) -> int:
        """What bulk calls leave of what remains."""
        return self.reserve.count_kept(now, self.limit, self.slots.in_use, self.window.foreign)

    def _learn_remaining(self, ticket: Ticket, answered_at: float, remaining: int) -> None:
        """What is used, less what we can have used, is the use of others."""
        self.catch_up(answered_at)
        slots, window = self.slots, self.window
        if not window.learn(ticket.number, slots.sent, remaining, answered_at):
            return
        foreign = self.limit.max_requests - remaining - slots.in_flight - len(slots.cooling)
        if foreign > 0 or window.foreign:
            surely = foreign - (slots.freed - ticket.freed)
            window.record_foreign(surely, foreign, answered_at, self.limit.interval)
