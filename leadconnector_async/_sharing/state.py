"""The shared state of one location, and what a process and the state tell each other.

A process (*member*) sends a `Report` and gets a `Grant`; `exchange.exchange` is the arithmetic in between. All
moments in a state are *state time*: seconds that only `clock.py` advances, from the store's clock. Members have no
clock in common, so a report and a grant carry durations only.

A *lease* is the right to send one request. Its number is never given out twice, so every report may be repeated.
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Struct

FORMAT: Final = 1
"""Of an encoded state; one of another format counts as missing."""
HOLD: Final = 2.0
"""Seconds for which a lease may be sent after it was given out."""
PROMISE_SECONDS: Final = 60.0
"""How long the share of a silent member is kept free: it may be cut off, and use it."""


class Limits(Struct, frozen=True):
    """What one process was configured with; what responses state goes before it."""

    max_requests: int
    interval: float
    interactive_reserve: int | None = None
    """Requests per interval that bulk calls leave free; `None` follows demand."""
    daily: int = 200_000
    daily_reserve: int = 0
    """What bulk calls leave of the day."""
    hold: float = HOLD


class Remaining(Struct, frozen=True, array_like=True):
    """What remained of the limit by one response, in seconds before the report was written."""

    count: int
    sent_age: float
    """Since its request was sent: the server counted after that."""
    answered_age: float
    """Since it came: the server counted before that."""


class Stated(Struct, frozen=True, kw_only=True):
    """What responses said, each the newest that this process saw; `None` for what none said, or not again."""

    age: float
    """Seconds since the response, when the report was written."""
    max_requests: int | None = None
    interval: float | None = None
    remaining: Remaining | None = None
    daily_limit: int | None = None
    daily_remaining: int | None = None
    daily_reset: float | None = None
    """Seconds until the daily budget is back, counted from the response."""


class Use(Struct, frozen=True, array_like=True):
    """A request that is not in flight any more, whether or not it had a lease."""

    number: int
    """Of its lease; random, of 62 bits, if it was sent without one."""
    age: float
    """Seconds since the response, when the report was written; negative if the server may still count it."""
    bulk: bool


class Sighting(Struct, frozen=True):
    """How much time has passed since a member's last grant, as far as the member can tell at its next reading."""

    epoch: str
    server: str
    clock: float
    """The reference time in that grant."""
    at_least: float
    """Seconds from the end of that reading to the beginning of this one, by the member's monotonic clock."""
    at_most: float
    """Seconds from the beginning of that reading to the end of this one."""


class Report(Struct, kw_only=True, frozen=True):
    """What a member has done since its last grant, and what it wants. Idempotent."""

    member: str
    """Unique for every process, and made anew after a fork."""
    limits: Limits
    wall: float
    """Wall-clock time in seconds; only how much it advanced is used, and only for a member without a sighting."""
    sighting: Sighting | None = None
    """`None` before the first grant. Taken after the reading; all ages are taken before it."""
    held: list[int] = []
    """Leases that are neither sent nor given up. One that is missing here and below is free at once."""
    in_flight: list[int] = []
    """Requests without a response yet: their leases, or the numbers of those that were sent without one."""
    used: list[Use] = []
    bulk: int = 0
    """Bulk calls that wait for a lease, beyond `held`; with those that are expected soon."""
    interactive: int = 0
    need: int = 0
    """Requests that it would send in the next interval if it could: no larger share is kept free for it."""
    share: int = 0
    """What it regards as its share at present: `Grant.share` of the newest grant that it got, or less."""
    promised: int = 0
    """`Grant.promised` of that grant."""
    away: float = 0.0
    """For how many seconds it has been unable to reach the store."""
    leaving: bool = False
    """The member is idle or closes: it gives up its share until its next report."""
    dead: list[str] = []
    """Members on the same machine that are known to have ended."""
    stated: Stated | None = None
    pause_seconds: float = 0.0
    """What is left of a pause that a refusal to this member began."""


class Grant(Struct, kw_only=True, frozen=True):
    """What a member gets, and what it learns of the whole. Durations in seconds from the reading."""

    epoch: str
    """Names the state: another one means that the store has forgotten."""
    server: str
    clock: float
    """The state's reference time at the reading: `Sighting.clock` of the next report."""
    bulk: list[int] = []
    """Leases for bulk calls. Each may be sent until `hold` after the exchange *began*, less a margin."""
    interactive: list[int] = []
    next_in: float | None = None
    """When to ask again for what was not granted; `None` if all was."""
    share: int = 0
    """Requests that this member may send per interval once it has been cut off for `hold` and an interval."""
    promised: int = 0
    """The shares of all members."""
    members: int = 1
    max_requests: int
    interval: float
    stated: bool = False
    """A response said what the limit is."""
    hold: float = HOLD
    reserve: int = 0
    remaining: int = 0
    """Slots that are free after this grant."""
    probing: bool = False
    """What its responses say remains decides how many more may be sent: they are reported at once."""
    weighed: bool = False
    """The server weighs its last window. Slots come free little by little, so no report is waited for."""
    foreign: float = 0.0
    """Requests per interval of others, who do not use the store."""
    pause_seconds: float = 0.0
    recovering_seconds: float = 0.0
    """For so long nothing is granted, because the store has forgotten what was granted before."""
    daily_limit: int = 0
    daily_remaining: int = 0
    daily_reset: float | None = None


class Lease(Struct, array_like=True):
    """A slot that was given out and not reported back."""

    member: str
    bulk: bool
    at: float
    """When it was given out; the last time that it was reported in flight, if it was."""
    in_flight: bool = False


class Stamp(Struct, array_like=True):
    """A slot that was used: free an interval after `at`."""

    member: str
    bulk: bool
    at: float


class Member(Struct, array_like=True):
    """A process, as the state knows it."""

    seen: float
    """When its last exchange was."""
    share: int = 0
    """The largest share that it may believe it has."""
    bulk: int = 0
    """Leases for bulk calls that it wanted and did not get; counts until `wanted_until`."""
    interactive: int = 0
    wanted_until: float = 0.0
    waiting_since: float = -1.0
    """Since when it has been waiting for a lease and got none; negative if it wants none."""


class Day(Struct, array_like=True):
    """The daily budget."""

    limit: int
    remaining: int
    stated_at: float = float("-inf")
    reset_at: float | None = None
    probe_at: float | None = None
    """When one request may try whether a spent budget with an unknown reset is back."""


class BudgetState(Struct, kw_only=True):
    """All that is shared of one location. Moments in state time."""

    format: int = FORMAT
    epoch: str
    server: str
    now: float
    """State time of the last exchange: it never runs faster than the true time."""
    clock: float
    """The reference that members' sightings are compared with; see `clock.py`."""
    raw: float
    """What the store's clock said then."""
    wall: float
    began: float
    """When this state was begun."""
    closed_until: float = 0.0
    """Nothing is granted before, because something may have been forgotten."""
    next_number: int
    max_requests: int
    interval: float
    hold: float
    limit_stated_at: float = float("-inf")
    leases: dict[int, Lease] = {}
    used: dict[int, Stamp] = {}
    """Kept for a little longer than they count, to tell by an older response what others use."""
    members: dict[str, Member] = {}
    demand: list[int] = []
    """The largest interactive use within each of the last intervals, the newest first."""
    demand_at: float = 0.0
    """When the newest of them began."""
    promised: int = 0
    """The shares that a forgotten state had promised to all; kept free until `promised_until`."""
    returned: int = 0
    """The part of them whose members this state knows."""
    promised_until: float = 0.0
    foreign: float = 0.0
    foreign_at: float = float("-inf")
    proven: bool = False
    """The server was seen to free slots when this state does."""
    weighed_at: float = float("-inf")
    """When it last counted more than this state, as if it weighed its last window."""
    settled_at: float = float("inf")
    """From then on it is known not to: a burst at the end of its window looks for a while as if it did not."""
    remaining: int = 0
    """What remained by the response that is believed."""
    remaining_at: float = float("-inf")
    """When the newest response came that it holds for."""
    remaining_since: float = float("-inf")
    """Leases that were given out later may not have been counted by then."""
    pause_until: float = float("-inf")
    day: Day

    @property
    def weighs(self) -> bool:
        """The server was seen to weigh its last window, and nothing has proven since that it does not."""
        return self.weighed_at > float("-inf")


_get_at: Final = attrgetter("at")
_get_seen: Final = attrgetter("seen")
_get_wanted: Final = attrgetter("wanted_until")
_LONGEST_AHEAD: Final = 2 * 86_400.0
"""Seconds: no pause and no reset of a day is as far ahead."""
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(BudgetState)


def encode(state: BudgetState) -> bytes:
    """The state as a store keeps it."""
    return _encode(state)


def decode(content: bytes | None) -> BudgetState | None:
    """The state that a store had; `None` if there is none, or none of this format, or something else changed it."""
    if content is None:
        return None
    try:
        state = _decoder.decode(content)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None
    return state if state.format == FORMAT and _is_plausible(state) else None


def _is_plausible(state: BudgetState) -> bool:
    """Whether `exchange` can have left it. A location would wait for a moment of the next century, too."""
    now, interval, hold, day = state.now, state.interval, state.hold, state.day
    finite = (now, state.clock, state.raw, state.wall, interval, hold, state.began, state.demand_at, state.foreign)
    if not all(map(math.isfinite, finite)) or min(interval, hold) <= 0 or state.max_requests < 1:
        return False
    if min(state.promised, state.returned) < 0:
        return False
    moments = (
        state.closed_until,
        state.pause_until,
        state.promised_until,
        state.limit_stated_at,
        state.foreign_at,
        state.weighed_at,
        state.remaining_at,
        state.remaining_since,
        day.stated_at,
        day.reset_at or now,
        day.probe_at or now,
        *map(_get_at, state.leases.values()),
        *map(_get_at, state.used.values()),
        *map(_get_seen, state.members.values()),
        *map(_get_wanted, state.members.values()),
    )
    latest = now + _LONGEST_AHEAD + 2 * (interval + hold)
    return all(map(latest.__ge__, moments))  # of a moment that is not a number, that is not true
