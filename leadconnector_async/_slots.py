"""The slots of one location: never more than N requests in any T seconds, at the server.

Why slots, and why they are stamped when the answer came. Let the server allow N requests in any window of
T seconds. Keep N slots. A slot is taken before a request leaves and stays taken until T after the headers of
its answer came. The server counts the request at some moment inside that stay, so two uses of one slot are at
least T apart *at the server*; hence no window of length T there holds more than N, whatever the latency, and
with no clock in common. A fixed window of any phase and a token bucket of size N are satisfied by the same
stream. A request that was cut off may still be on its way: its slot stays a margin longer. A request that
never left gives its slot back at once.

That is safe as long as nobody else uses the location; what is known of others is kept in `_pace`.

Rule: nothing here waits and nothing here reads a clock; time comes in as an argument.

Pure. Knows the headers (`_quota`) and the pace.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ._pace import Pace
from ._quota import INTERVAL, MAX, read_limits, read_remaining

_MARGIN: Final = 0.1
"""How much longer than T, as a part of T, the slot of a request that was cut off stays taken."""
_FORGET: Final = 3600.0
"""For how many seconds a limit is kept that refusals have taught and no header states."""


class Ticket(Struct, frozen=True, gc=False):
    """A slot that was taken."""

    number: int
    """The how-manyeth request of the location it is for."""
    sent_at: float
    freed: int
    """How many slots had come free by then."""


class Slots:
    """The slots of one location. All times are seconds of one monotonic clock."""

    __slots__ = (
        "_configured",
        "_cooling",
        "_forget_at",
        "_freed",
        "_last_paused",
        "_rejected",
        "_stated",
        "in_flight",
        "interval",
        "max_requests",
        "pace",
        "paused_at",
        "paused_until",
        "sent",
    )

    def __init__(self, max_requests: int, interval: float) -> None:
        self.max_requests = self._configured = max_requests
        self.interval = interval
        self.pace = Pace()
        self.in_flight = 0
        self.paused_at = self.paused_until = -math.inf
        self._last_paused = 0
        self.sent = self._freed = 0
        self._cooling: deque[tuple[float, float]] = deque()
        self._rejected: deque[float] = deque()
        self._stated: tuple[str | None, str | None] = (None, None)
        self._forget_at = math.inf

    @property
    def in_use(self) -> int:
        """Slots that are taken: under way, or still cooling."""
        return self.in_flight + len(self._cooling)

    def count_free(self, now: float) -> int:
        """How many more may be sent now, by our own count and by the server's."""
        self._cool(now)
        free = self.max_requests - self.in_use
        return max(0, min(free, self.pace.count_left(now, self.interval, self.in_flight)))

    def take(self, now: float) -> Ticket | None:
        """Take a slot if one is free and the pace allows it."""
        if now < self.paused_until:
            return None
        self._cool(now)
        in_use = self.in_flight + len(self._cooling)
        if in_use >= self.max_requests:
            return None
        if not self.pace.allows(now, self.interval, self.in_flight, in_use):
            return None
        self.in_flight += 1
        self.sent += 1
        self.pace.ask(now)
        return Ticket(self.sent, now, self._freed)

    def compute_next(self, now: float) -> float | None:
        """When one more may go by time alone; `None` if only an answer can let it go."""
        if now < self.paused_until:
            return self.paused_until
        self._cool(now)
        free_at = self._cooling[0][0] + self.interval if self._cooling else math.inf
        if self.in_use >= self.max_requests:
            return free_at if self._cooling else None
        pace_at = self.pace.compute_next(now, self.interval, self.in_flight)
        return pace_at if self.in_flight else min(free_at, pace_at)

    def compute_wait(self, now: float, ahead: int) -> float:
        """The least time that one with so many ahead of it waits, if nobody gives up and nothing changes."""
        self._cool(now)
        rounds, place = divmod(ahead, self.max_requests)
        place -= max(0, self.max_requests - self.in_use)
        if place < 0:
            free_at = now
        elif place < len(self._cooling):
            free_at = self._cooling[place][0] + self.interval
        else:
            free_at = now + self.interval
        return max(free_at + rounds * self.interval, self.paused_until) - now

    def finish(
        self, ticket: Ticket, answered_at: float, headers: Mapping[str, str], *, success: bool = True
    ) -> None:
        """The answer's headers came: the slot is free `interval` later, and the limits are what they say."""
        self.in_flight -= 1
        self._cooling.append((answered_at, ticket.sent_at))
        self._learn_limits(headers)
        remaining = read_remaining(headers)
        if remaining is not None:
            self._learn_remaining(ticket, answered_at, remaining)
        if ticket.number <= self._last_paused:
            self._regain(success)
        elif success or headers.get(MAX) is not None:
            self.pace.open(answered_at, self.interval)

    def cut(self, ticket: Ticket, now: float) -> None:
        """The request was cut off and may still be on its way: free a margin later than after an answer."""
        self.in_flight -= 1
        self._cooling.append((now + self.interval * _MARGIN, ticket.sent_at))

    def give_back(self) -> None:
        """The request never left: the slot is free at once."""
        self.in_flight -= 1

    def pause(self, ticket: Ticket, now: float, seconds: float) -> bool:
        """Stop after a refusal, for `seconds`; `False` if it belongs to an earlier pause.

        A request that was sent before the last pause began says nothing new. A pause is never shortened.
        """
        self._rejected.append(now)
        if ticket.number <= self._last_paused:
            return False
        known = self._stated[0] is not None
        if not known:
            self._lower_limit(now)
        self.pace.close(now, proven=known)
        self._last_paused = self.sent
        self.paused_at = now
        self.paused_until = max(self.paused_until, now + seconds)
        return True

    def is_idle(self, now: float) -> bool:
        """No request is under way, none still counts, and nothing is known that a header would not tell again."""
        self._cool(now)
        return not self.in_use and now >= self.paused_until and self._forget_at == math.inf

    def _cool(self, now: float) -> None:
        cooling = self._cooling
        while cooling and cooling[0][0] + self.interval <= now:
            _, sent_at = cooling.popleft()
            self._freed += 1
            self.pace.free(sent_at + self.interval)
        while self._rejected and self._rejected[0] + self.interval <= now:
            self._rejected.popleft()
        if now >= self._forget_at:
            self.max_requests, self._forget_at = self._configured, math.inf

    def _learn_limits(self, headers: Mapping[str, str]) -> None:
        stated = (headers.get(MAX), headers.get(INTERVAL))
        if stated in (self._stated, (None, None)):
            return
        self._stated = stated
        limit, interval = read_limits(headers)
        self.max_requests = limit or self.max_requests
        self.interval = interval or self.interval
        if limit:
            self._forget_at = math.inf

    def _learn_remaining(self, ticket: Ticket, answered_at: float, remaining: int) -> None:
        """What is used, less what we can have used, is the use of others."""
        self._cool(answered_at)
        if not self.pace.learn(ticket.number, self.sent, remaining, answered_at):
            return
        foreign = self.max_requests - remaining - self.in_use
        self.pace.note_others(foreign - (self._freed - ticket.freed), foreign, answered_at, self.interval)

    def _lower_limit(self, now: float) -> None:
        """No header states the limit: what was let through in this window must be it.

        If it is refused all the same, the server counts in another way; half of it will do then.
        """
        self._cool(now)
        let_through = len(self._cooling) - len(self._rejected)
        least = 1 if self._forget_at == math.inf else self.max_requests // 2
        self.max_requests = max(1, least, min(self.max_requests, let_through))
        self._forget_at = now + _FORGET

    def _regain(self, success: bool) -> None:
        """A request of the window that taught the limit was let through after all."""
        if success and self._forget_at < math.inf and self.max_requests < self._configured:
            self.max_requests += 1
