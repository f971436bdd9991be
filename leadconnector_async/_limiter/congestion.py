"""The congestion window: how many requests may be in flight, given what others use.

The slots keep our own requests within the limit. They know nothing of other clients of the same location, which use
up the same limit. The server's `remaining` header tells of them:

- **burst**: nobody else is seen. As many requests may be in flight as the server says remain.
- **paced**: others are seen, because more is used up than our own requests can account for. Of what remains we take
  our share, in proportion to our part of the use, less than half of it at a time, and leave a margin, because
  others have requests in flight too. With nothing remaining, we probe when slots of ours become free, or after a
  while.
- **shared**: a refusal has proven others. The probe interval doubles with each such refusal, up to half of T, and
  shrinks again with each success.

A worked example, with N = 100 and T = 10 s. We have 30 requests that may still count at the server, and a response
says that 40 remain. So 100 - 40 = 60 are used, 30 of them by others. The margin is 6 % of their use: 2. Our share
of the use is 30 / (30 + 30), and 0.4 of our share may be in flight at once: 0.4 * 0.5 * (40 - 2) = 7.6, so the
eighth request goes and the ninth waits for a response. Had nothing remained, one request would probe after 0.25 *
T = 2.5 s; after a 429, after 5 s.

Responses overtake each other. `remaining` is believed if its request was sent after the last number was learned; of
responses to requests that were in flight together, the smallest number counts.

Before the first response, and after a pause, one request goes ahead alone, and each success admits more.

The window only ever allows less than the slots do. Nothing here waits or reads a clock.
"""

from __future__ import annotations

import math
import sys
from typing import Final, Literal, TypeAlias

Mode: TypeAlias = Literal["burst", "paced", "shared"]
"""How freely a location sends: see this module."""

_MEMORY: Final = 3.0
"""For how many intervals others are remembered."""
_SHARE_AT_ONCE: Final = 0.4
"""The part of our share of what remains that may be in flight at once, beside others."""
_MARGIN: Final = 0.06
"""What is left for others, as a part of their use."""
_PROBE_INTERVAL: Final = 0.25
"""After how many intervals to probe when nothing remained."""
_LONGEST_PROBE_INTERVAL: Final = 0.5
_RECOVERY: Final = 0.002
"""By how many intervals a success shortens the probe interval."""


class Probe:
    """When to probe whether something remains, with none in flight. Times in seconds of one monotonic clock."""

    __slots__ = ("_kept_at", "part")

    def __init__(self) -> None:
        self.part = _PROBE_INTERVAL
        """After how many intervals to probe."""
        self._kept_at = -math.inf
        """When the last one went although it was to leave all that remains, or began to wait."""

    def shorten(self) -> None:
        """After a success, probe earlier."""
        self.part = max(_PROBE_INTERVAL, self.part - _RECOVERY)

    def lengthen(self) -> None:
        """After a refusal, probe later."""
        self.part = min(_LONGEST_PROBE_INTERVAL, self.part * 2)

    def find_time(self, interval: float, spare: float, kept: int, stated_at: float) -> float:
        """When to probe: at once if more is to spare than must be kept; else some time after nothing remained.

        If something remains, but only what is to be left, a probe is not delayed by what others are told.
        """
        if spare > kept:
            return -math.inf
        return (self._kept_at if spare > 0 else stated_at) + self.part * interval

    def take(self, now: float, interval: float, spare: float, kept: int, stated_at: float) -> bool:
        """Whether one may go now; if so, it goes."""
        is_kept = 0 < spare <= kept
        if is_kept and now - self._kept_at > interval:
            self._kept_at = now
        allowed = self.find_time(interval, spare, kept, stated_at) <= now
        if allowed and is_kept:
            self._kept_at = now
        return allowed


class CongestionWindow:
    """What is known of the use of one location by others. Times in seconds of one monotonic clock."""

    __slots__ = (
        "_contended_at",
        "_foreign_at",
        "_newest",
        "_probe",
        "_window",
        "foreign",
        "freed",
        "remaining",
        "stated_at",
        "unchecked",
    )

    def __init__(self) -> None:
        self.remaining: int | None = None
        """What the server says remains, by the response that is believed."""
        self.stated_at = -math.inf
        """When it said so."""
        self.freed = 0
        """Slots of ours that have become free since then, whose requests the server counted at that time."""
        self.foreign = 0.0
        """Requests of others in one interval, as far as they were seen recently."""
        self.unchecked = 0
        """With fewer in flight, one more may be sent without asking `allows`."""
        self._newest = 0
        self._contended_at = self._foreign_at = -math.inf
        self._probe = Probe()
        self._window = 1

    def decide_mode(self, now: float, interval: float) -> Mode:
        """Tell how freely the location sends."""
        if not self.is_contended(now, interval):
            return "burst"
        return "paced" if self._probe.part <= _PROBE_INTERVAL else "shared"

    def is_contended(self, now: float, interval: float) -> bool:
        """Whether others were seen recently."""
        return now - self._contended_at < _MEMORY * interval

    def allows(self, now: float, interval: float, in_flight: int, own: int, kept: int = 0) -> bool:
        """Whether one more may be sent beside those in flight. `own` are ours that the server may still count.

        `kept`: how many of those that remain are left to others in addition.
        """
        contended = self.is_contended(now, interval)
        if not in_flight:
            return not contended or self._probe.take(now, interval, self._spare, kept, self.stated_at)
        return in_flight < self._window and in_flight < self._compute_capacity(now, interval, own, contended, kept)

    def compute_next(self, now: float, interval: float, kept: int = 0) -> float:
        """When one may be sent by time alone, if none is in flight and no slot of ours becomes free before."""
        if not self.is_contended(now, interval):
            return now
        return self._probe.find_time(interval, self._spare, kept, self.stated_at)

    def count_remaining(self, now: float, interval: float, in_flight: int) -> int:
        """What the server's last statement leaves, less what is in flight; large if it is too old to count."""
        if self.remaining is None or now - self.stated_at > interval:
            return sys.maxsize
        return self.remaining + self.freed - in_flight

    def learn(self, number: int, newest: int, remaining: int, answered_at: float) -> bool:
        """Take over what a response says remains. `number` and `newest` are sequence numbers of requests."""
        self.stated_at = answered_at
        current = self.remaining
        if current is not None and number <= self._newest and remaining >= current:
            return False
        self.remaining, self._newest, self.freed = remaining, newest, 0
        self.unchecked = 0
        return True

    def expire(self, number: int, answered_at: float, interval: float) -> None:
        """A success does not say what remains: an old number does not stay true."""
        if number > self._newest and answered_at - self.stated_at > interval:
            self.remaining = None

    def forget(self) -> None:
        """Somebody else keeps to what remains."""
        self.remaining = None

    def record_foreign(self, surely: int, probably: int, now: float, interval: float) -> None:
        """How many requests of others the server must have counted, and how many it has probably counted."""
        if probably >= self.foreign or now - self._foreign_at > _MEMORY * interval:
            self.foreign, self._foreign_at = max(0.0, probably), now
        if surely > 0:
            self._contended_at, self.unchecked = now, 0

    def grow(self, now: float, interval: float) -> None:
        """After a response that is not a refusal, more may be in flight at once."""
        remaining, contended = self.remaining, now - self._contended_at < _MEMORY * interval
        self._window += 1 if remaining is None or contended else 3
        if self._probe.part > _PROBE_INTERVAL:
            self._probe.shorten()
        if not contended:
            window = self._window
            self.unchecked = window if remaining is None or remaining // 2 > window else remaining // 2

    def shrink(self, now: float, *, proven: bool) -> None:
        """After a refusal, begin with one again. `proven`: we were within the limit, so others were not."""
        self._window, self.unchecked = 1, 0
        if proven:
            self._contended_at = now
            self._probe.lengthen()

    @property
    def _margin(self) -> int:
        return math.ceil(_MARGIN * self.foreign)

    @property
    def _spare(self) -> float:
        """What remains beyond the margin; infinite if it is not known what remains."""
        return math.inf if self.remaining is None else self.remaining + self.freed - self._margin

    def _compute_capacity(self, now: float, interval: float, own: int, contended: bool, kept: int) -> float:
        """How many may be in flight at once."""
        if self.remaining is None:
            return math.inf
        if contended:
            return _SHARE_AT_ONCE * own / (own + self.foreign) * (self.remaining - self._margin - kept)
        return self.remaining // 2 if now - self.stated_at > interval / 2 else self.remaining
