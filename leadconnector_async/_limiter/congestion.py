"""How much of what is left in the window may be used now: who else uses it, and how sure that is.

The slots (`_slots`) keep our own requests within the limit. They know nothing of other tools on the same
location, which eat from the same budget. What the server says is left (`remaining`) tells of them:

- **burst**: nobody else is seen. As many requests may be under way as the server says are left.
- **paced**: others are seen, because more is used than we can have used. Of what is left we take our share, as
  large as our part of the use, less than half of it at a time, and leave a little: others are under way too.
  With nothing left we look again when slots of ours came free, or after a while.
- **shared**: others are proven by a refusal. That while is then up to twice as long, and shrinks back with
  good answers.

Answers overtake each other. `remaining` is believed if the request was sent after the last number was learnt;
of answers to requests that were under way together, the smallest number counts.

Before the first answer, and after a pause, one request goes ahead alone, and each good answer admits more.

This only ever allows less than the slots do. Nothing here waits and nothing here reads a clock.
"""

from __future__ import annotations

import math
import sys
from typing import Final, Literal, TypeAlias

Mode: TypeAlias = Literal["burst", "paced", "shared"]
"""How freely a location sends: see this module."""

_MEMORY: Final = 3.0
"""For how many intervals others are remembered."""
_CAUTION: Final = 0.4
"""The part of our share of what is left that may be under way at once, beside others."""
_MARGIN: Final = 0.06
"""What is left to others, as a part of their use."""
_PATIENCE: Final = 0.25
"""After how many intervals one looks again, when nothing was left."""
_LONGEST_PATIENCE: Final = 0.5
_RELIEF: Final = 0.002
"""By how many intervals a success shortens the patience."""


class CongestionWindow:
    """What is known of one location's use by others. Times in seconds of one monotonic clock."""

    __slots__ = (
        "_learnt",
        "_met_at",
        "_others_at",
        "_patience",
        "_reach",
        "at_once",
        "freed",
        "others",
        "remaining",
        "seen_at",
    )

    def __init__(self) -> None:
        self.remaining: int | None = None
        """What the server says is left, by the answer that is believed."""
        self.others = 0.0
        """Requests of others in a window, as far as they were seen lately."""
        self.freed = 0
        """Slots of ours that came free since, whose requests the server counted at that time."""
        self._learnt = 0
        self._met_at = self._others_at = -math.inf
        self.seen_at = -math.inf
        """When it said so."""
        self._patience = _PATIENCE
        self._reach = 1
        self.at_once = 0
        """With fewer under way, one more may go in any case: `allows` need not be asked."""

    def decide_mode(self, now: float, interval: float) -> Mode:
        """Tell how freely the location sends."""
        if not self._is_wary(now, interval):
            return "burst"
        return "paced" if self._patience <= _PATIENCE else "shared"

    def allows(self, now: float, interval: float, under_way: int, own: int) -> bool:
        """Whether one more may go beside those under way. `own` are ours that may still count at the server."""
        wary = self._is_wary(now, interval)
        if not under_way:
            return not wary or self._find_glance(interval) <= now
        return under_way < self._reach and under_way < self._compute_room(now, interval, own, wary=wary)

    def compute_next(self, now: float, interval: float) -> float:
        """When one may go by time alone, if none is under way and no slot of ours comes free before."""
        return self._find_glance(interval) if self._is_wary(now, interval) else now

    def count_left(self, now: float, interval: float, in_flight: int) -> int:
        """What the server's last word leaves, less what is under way; large if it is too old to count."""
        if self.remaining is None or now - self.seen_at > interval:
            return sys.maxsize
        return self.remaining + self.freed - in_flight

    def learn(self, number: int, newest: int, remaining: int, answered_at: float) -> bool:
        """Take over what an answer says is left. `number` and `newest` count requests in the order of sending."""
        self.seen_at = answered_at
        current = self.remaining
        if current is not None and number <= self._learnt and remaining >= current:
            return False
        self.remaining, self._learnt, self.freed = remaining, newest, 0
        self.at_once = 0
        return True

    def miss(self, number: int, answered_at: float, interval: float) -> None:
        """A good answer to a later request says nothing of what is left: an old number is not true for ever."""
        if number > self._learnt and answered_at - self.seen_at > interval:
            self.remaining = None

    def note_others(self, surely: int, probably: int, now: float, interval: float) -> None:
        """How many requests of others the server must count, and how many it is likely to count."""
        if probably >= self.others or now - self._others_at > _MEMORY * interval:
            self.others, self._others_at = max(0.0, probably), now
        if surely > 0:
            self._met_at, self.at_once = now, 0

    def open(self, now: float, interval: float) -> None:
        """An answer that is no refusal: more may be under way at once."""
        remaining, wary = self.remaining, now - self._met_at < _MEMORY * interval
        self._reach += 1 if remaining is None or wary else 3
        if self._patience > _PATIENCE:
            self._patience = max(_PATIENCE, self._patience - _RELIEF)
        if not wary:
            self.at_once = self._reach if remaining is None or remaining // 2 > self._reach else remaining // 2

    def close(self, now: float, *, proven: bool) -> None:
        """A refusal: begin with one again. `proven`: we were within the limit, so others were not."""
        self._reach, self.at_once = 1, 0
        if proven:
            self._met_at = now
            self._patience = min(_LONGEST_PATIENCE, self._patience * 2)

    @property
    def _margin(self) -> int:
        return math.ceil(_MARGIN * self.others)

    def _is_wary(self, now: float, interval: float) -> bool:
        return now - self._met_at < _MEMORY * interval

    def _compute_room(self, now: float, interval: float, own: int, *, wary: bool) -> float:
        """How many may be under way at once."""
        if self.remaining is None:
            return math.inf
        if wary:
            return _CAUTION * own / (own + self.others) * (self.remaining - self._margin)
        return self.remaining // 2 if now - self.seen_at > interval / 2 else self.remaining

    def _find_glance(self, interval: float) -> float:
        """When to look whether something is left, with none under way."""
        if self.remaining is None or self.remaining + self.freed > self._margin:
            return -math.inf
        return self.seen_at + self._patience * interval
