"""The slots of one location: never more than N requests in any T seconds, at the server.

Why slots, and why they are stamped when the answer came. Let the server allow N requests in any window of
T seconds. Keep N slots. A slot is taken before a request leaves and stays taken until T after the headers of
its answer came. The server counts the request at some moment inside that stay, so two uses of one slot are at
least T apart *at the server*; hence no window of length T there holds more than N, whatever the latency, and
with no clock in common. A fixed window of any phase and a token bucket of size N are satisfied by the same
stream. A request that was cut off may still be on its way: its slot stays a margin longer. A request that
never left gives its slot back at once. A clock that is read late, or in coarse steps, would stamp an answer
earlier than it came: `lag` is added to every stamp.

That is safe as long as nobody else uses the location; what is known of others is kept in `_pace`, what N and T
are in `_limit`. A request that is under way for longer than half an interval keeps its slot, but nobody waits
for its answer any more.

Nothing here waits and nothing here reads a clock; time comes in as an argument.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from .congestion import CongestionWindow
from .headers import INTERVAL, MAX, REMAINING, parse_count
from .learned_limit import LearnedLimit

_MARGIN: Final = 0.1
"""How much longer than T, as a part of T, the slot of a request that was cut off stays taken."""
_STALLED: Final = 0.5
"""After which part of T nobody waits for an answer any more."""


class Ticket(Struct, frozen=True, gc=False):
    """A slot that was taken."""

    number: int
    """The how-manyeth request of the location it is for."""
    sent_at: float
    freed: int
    """How many slots had come free by then."""


class Slots:
    """The slots of one location. All times are seconds of one monotonic clock, which is behind by `lag` at most."""

    __slots__ = (
        "_cooling",
        "_freed",
        "_fresh",
        "_lag",
        "_last_paused",
        "_rejected",
        "_stall_at",
        "_stalled",
        "in_flight",
        "limit",
        "pace",
        "paused_at",
        "paused_until",
        "sent",
    )

    def __init__(self, max_requests: int, interval: float, lag: float = 0.0) -> None:
        self.limit = LearnedLimit(max_requests, interval)
        self._lag = lag
        self.pace = CongestionWindow()
        self.in_flight = 0
        """Requests under way: `_fresh` ones by their number, and `_stalled` ones."""
        self._fresh: dict[int, float] = {}
        self._stalled: dict[int, float] = {}
        self._stall_at = math.inf
        self.paused_at = self.paused_until = -math.inf
        self._last_paused = 0
        self.sent = self._freed = 0
        self._cooling: deque[tuple[float, float]] = deque()
        self._rejected: deque[float] = deque()

    @property
    def in_use(self) -> int:
        """Slots that are taken: under way, or still cooling."""
        return self.in_flight + len(self._cooling)

    def count_free(self, now: float) -> int:
        """How many more may be sent now, by our own count and by the server's."""
        self._cool(now)
        free = self.limit.max_requests - self.in_use
        return max(0, min(free, self.pace.count_left(now, self.limit.interval, self.in_flight)))

    def take(self, now: float) -> Ticket | None:
        """Take a slot if one is free and the pace allows it."""
        if now < self.paused_until:
            return None
        self._cool(now)
        in_use = self.in_flight + len(self._cooling)
        limit, fresh, pace = self.limit, self._fresh, self.pace
        if in_use >= limit.max_requests and not (limit.grow(now) and in_use < limit.max_requests):
            return None
        under_way = len(fresh)
        if under_way >= pace.at_once and not pace.allows(now, limit.interval, under_way, in_use):
            return None
        self.in_flight += 1
        self.sent = number = self.sent + 1
        if not under_way:
            self._stall_at = now + limit.interval * _STALLED
        fresh[number] = now
        return Ticket(number, now, self._freed)

    def compute_next(self, now: float) -> float | None:
        """When one more may go by time alone; `None` if only an answer can let it go."""
        if now < self.paused_until:
            return self.paused_until
        self._cool(now)
        interval = self.limit.interval
        free_at = self._cooling[0][0] + interval if self._cooling else math.inf
        if self.in_use >= self.limit.max_requests:
            return free_at if self._cooling else None
        for sent_at in self._fresh.values():
            return sent_at + interval * _STALLED
        return min(free_at, self.pace.compute_next(now, interval))

    def compute_wait(self, now: float, ahead: int) -> float:
        """The least time that one with so many ahead of it waits, if nobody gives up and nothing changes."""
        self._cool(now)
        most, interval = max(self.limit.max_requests, self.in_flight), self.limit.interval
        rounds, place = divmod(ahead, most)
        place -= max(0, most - self.in_use)
        if place < 0:
            free_at = now
        elif place < len(self._cooling):
            free_at = self._cooling[place][0] + interval
        else:
            free_at = max(now, self._find_oldest(now) + interval)
        return max(free_at + rounds * interval, self.paused_until) - now

    def finish(
        self,
        ticket: Ticket,
        answered_at: float,
        headers: Mapping[str, str],
        *,
        success: bool = True,
        refused: bool = False,
    ) -> None:
        """The answer's headers came: the slot is free an interval later, and the limit is what they say.

        `refused`: for the rate; `pause` follows.
        """
        limit, number = self.limit, ticket.number
        self.in_flight -= 1
        if self._fresh.pop(number, None) is None:
            self._stalled.pop(number, None)
        self._cooling.append((answered_at + self._lag, ticket.sent_at))
        if (headers.get(MAX), headers.get(INTERVAL)) != limit.said:
            limit.learn(number, headers)
        elif 0 < limit.stated_by < number:
            limit.stated_by = number
        remaining = parse_count(headers.get(REMAINING))
        if remaining is not None:
            self._learn_remaining(ticket, answered_at, remaining)
        elif success:
            self.pace.miss(number, answered_at, limit.interval)
        if not refused and (success or limit.stated) and number > self._last_paused:
            self.pace.open(answered_at, limit.interval)

    def cut(self, ticket: Ticket, now: float) -> None:
        """The request was cut off and may still be on its way: free a margin later than after an answer."""
        self.give_back(ticket)
        self._cooling.append((now + self.limit.interval * _MARGIN, ticket.sent_at))

    def give_back(self, ticket: Ticket) -> None:
        """The request never left: the slot is free at once."""
        self.in_flight -= 1
        if self._fresh.pop(ticket.number, None) is None:
            self._stalled.pop(ticket.number, None)

    def pause(self, ticket: Ticket, now: float, seconds: float) -> bool:
        """Stop after a refusal, for `seconds`; `False` if it belongs to an earlier pause.

        A request that was sent before the last pause began says nothing new. A pause is never shortened.
        """
        self._rejected.append(now)
        if ticket.number <= self._last_paused:
            self.limit.lower_by_one()
            return False
        self._cool(now)
        self.limit.lower(self.in_use - len(self._rejected), now, seconds)
        self.pace.close(now, proven=self.limit.stated)
        self._last_paused = self.sent
        self.paused_at = now
        self.paused_until = max(self.paused_until, now + seconds)
        return True

    def is_idle(self, now: float) -> bool:
        """No request is under way, none still counts, and nothing is known that a header would not tell again."""
        self._cool(now)
        return not self.in_use and now >= self.paused_until and self.limit.forget_at == math.inf

    def _cool(self, now: float) -> None:
        interval, cooling, pace = self.limit.interval, self._cooling, self.pace
        while cooling and cooling[0][0] + interval <= now:
            _, sent_at = cooling.popleft()
            self._freed += 1
            if sent_at + interval > pace.seen_at:  # until then at least the server counts it
                pace.freed += 1
        while self._rejected and self._rejected[0] + interval <= now:
            self._rejected.popleft()
        if now >= self._stall_at:
            self._set_aside(now)
        if now >= self.limit.forget_at:
            self.limit.forget()

    def _set_aside(self, now: float) -> None:
        """Those that are under way for too long; their slots stay taken."""
        patience = self.limit.interval * _STALLED
        self._stall_at = math.inf
        for number, sent_at in list(self._fresh.items()):
            if sent_at + patience > now:
                self._stall_at = sent_at + patience
                break
            self._stalled[number] = self._fresh.pop(number)

    def _find_oldest(self, now: float) -> float:
        """When the first of those under way was sent."""
        for under_way in (self._stalled, self._fresh):
            for sent_at in under_way.values():
                return sent_at
        return now

    def _learn_remaining(self, ticket: Ticket, answered_at: float, remaining: int) -> None:
        """What is used, less what we can have used, is the use of others."""
        self._cool(answered_at)
        if not self.pace.learn(ticket.number, self.sent, remaining, answered_at):
            return
        foreign = self.limit.max_requests - remaining - self.in_flight - len(self._cooling)
        if foreign > 0 or self.pace.others:
            surely = foreign - (self._freed - ticket.freed)
            self.pace.note_others(surely, foreign, answered_at, self.limit.interval)
