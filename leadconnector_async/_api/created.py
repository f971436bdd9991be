"""Whether a calendar shows what one creation has made, after its response was lost.

The API has neither an idempotency key nor a precondition, so a creation is recognised by what it shows and by when
it was added. Nothing is claimed that could be somebody else's, and nothing is called missing that could be there:

    shows what was sent   added                                          it is
    -------------------   --------------------------------------------   -------------------
    another booking       at any time                                    not ours
    any                   known before, or claimed by another call       not ours
    any                   well before the call began                     not ours
    everything            after the call began                           ours, if it is the only one
    everything            shortly before, in the future, or not shown    one that cannot be told
    only the essentials   after, shortly before, or not shown            one that cannot be told

"When the call began" is a moment of the server's clock. The client's own clock may be off by minutes, so it is only
used to count the seconds since the call began, which are taken off the `Date` of the response that lists the
calendar. With a `Date` of 10:00:05 and a call that began 3.2 s before that response came, it began at 10:00:01.8 or
up to a second later, because a `Date` has no fractions: what was added at 10:00:01.8 or later is ours. Without a
`Date` nothing is claimed. Seconds for which the machine slept are not counted, so by how much the wall clock has
advanced beyond them is time of which nothing can be told.

What cannot be told ends the call with `OutcomeUnknownError`. Only if there is nothing of that kind either, the
creation may be sent again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Generic, TypeAlias, TypeVar

from msgspec import UNSET, Struct

from ..models import Appointment, Note
from .fields import BY_NAME
from .payloads import NoteText, WireBlockSlot, WireCreate
from .readback import compare_field

T = TypeVar("T")

_SKEW: Final = timedelta(seconds=0.1)
"""By how much the clocks of the servers that write `dateAdded` and `Date` differ: what is claimed allows for it."""
_COARSE: Final = timedelta(seconds=1)
"""The same for a `dateAdded` without fractions of a second."""
_DOUBT: Final = timedelta(seconds=10)
"""By how much they differ at most: what is called missing allows for it."""
_DOUBT_WITHOUT_DATE: Final = timedelta(days=1)
"""By how much the clock of this machine may be wrong."""


class Candidate(Struct, Generic[T], frozen=True):
    """Something in the calendar that a creation may have made."""

    id: str | None
    added: datetime | None
    """When it was added, by the server's clock; `None` if that is not shown."""
    matches: bool | None
    """Whether it shows what was sent; `False` if it must be another one, `None` if that cannot be told."""
    value: T


class Began(Struct, frozen=True):
    """When a call began, by the server's clock: at this moment, or up to a second later."""

    at: datetime
    now: datetime
    """The server's time when it listed the calendar."""
    exact: bool = True
    """The server said what time it was; otherwise it is the client's clock."""
    earlier: datetime | None = None
    """When it began by the client's clock, if that is earlier, but not by so much that it must be wrong; or if the
    machine has slept since."""


class Found(Struct, Generic[T], frozen=True):
    """The creation was applied: this is what it has made."""

    candidate: Candidate[T]


class NotFound(Struct, frozen=True):
    """Nothing in the calendar can be what the creation has made."""


class Ambiguous(Struct, frozen=True):
    """Something in the calendar may be what the creation has made, or may be somebody else's."""

    ids: tuple[str, ...]
    """What it may be, as far as ids are shown."""


Verdict: TypeAlias = Found[T] | NotFound | Ambiguous


def estimate_began(date: str | None, clock: datetime, seconds: float, slept: float = 0.0) -> Began:
    """When a call began by the server's clock, `seconds` before a response with this `Date` came.

    `clock` is the client's own time, for a response without a `Date` that can be read. `slept` are seconds for
    which the machine may have slept in addition: if it was the clock that was set instead, the call began later.
    """
    elapsed, asleep = timedelta(seconds=seconds), timedelta(seconds=slept)
    try:
        now = parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):
        return Began(clock - elapsed, clock, exact=False, earlier=clock - elapsed - asleep if slept else None)
    now = now.replace(tzinfo=now.tzinfo or UTC)
    is_behind = timedelta(0) < now - clock <= _DOUBT_WITHOUT_DATE
    earlier = (clock if is_behind else now) - elapsed - asleep if is_behind or slept else None
    return Began(now - elapsed, now, earlier=earlier)


def identify(candidates: Iterable[Candidate[T]], began: Began, known: Container[str] = ()) -> Verdict[T]:
    """Which of these the call has made. `known` are ids that it cannot have made: see this module."""
    doubt = (began.earlier or began.at) - (_DOUBT if began.exact else _DOUBT_WITHOUT_DATE)
    possible = [
        one
        for one in candidates
        if one.matches is not False
        and not (one.id and one.id in known)
        and (one.added is None or one.added >= doubt)
    ]
    fresh = [one for one in possible if one.added is None or _is_since(one.added, began.at)]
    if len(fresh) == 1 and _is_ours(fresh[0], began):
        return Found(fresh[0])
    return Ambiguous(tuple(one.id for one in possible if one.id)) if possible else NotFound()


def _is_since(added: datetime, moment: datetime) -> bool:
    return added >= moment - (_SKEW if added.microsecond else _COARSE)


def _is_ours(fresh: Candidate[T], began: Began) -> bool:
    if not (began.exact and fresh.matches and fresh.id and fresh.added is not None):
        return False
    return fresh.added <= began.now + _DOUBT


def compare_appointment(sent: WireCreate, shown: Appointment) -> bool | None:
    """Whether an appointment shows a creation that was sent.

    Another contact, calendar or start is another appointment. Any other difference may have been made since, by an
    automation or a person, so it leaves that open. So does a rule, because lists show the instances of a series. A
    field that is not shown is not compared.
    """
    essentials = [
        _same(sent.contact_id, shown.contact_id),
        _same(sent.calendar_id, shown.calendar_id),
        _same_time(sent.start_time, shown.start_time),
    ]
    others = [
        compare_field(name, sent, shown)
        for name in sent.__struct_fields__
        if _is_sent(getattr(sent, name)) and name in BY_NAME and getattr(shown, name, None) is not None
    ]
    if shown.deleted or (_is_sent(sent.rrule) and shown.rrule is None):
        others.append(False)
    return _conclude(essentials, others)


def compare_block_slot(sent: WireBlockSlot, shown: Appointment) -> bool | None:
    """Whether a blocked slot shows a creation that was sent; the list is that of its owner."""
    essentials = [_same_time(sent.start_time, shown.start_time)]
    others: list[bool | None] = [_same_time(sent.end_time, shown.end_time)]
    for name in ("title", "calendar_id", "assigned_user_id"):
        ours, theirs = getattr(sent, name), getattr(shown, name)
        if isinstance(ours, str) and theirs is not None:
            others.append(ours.strip() == theirs.strip())
    return _conclude(essentials, others)


def compare_note(sent: NoteText, shown: Note) -> bool | None:
    """Whether a note of the same appointment shows a creation that was sent."""
    author = shown.user_id or (shown.created_by.id if shown.created_by else None)
    others = [sent.user_id == author] if sent.user_id and author else []
    return _conclude([_same(sent.body.strip(), None if shown.body is None else shown.body.strip())], others)


def _conclude(essentials: list[bool | None], others: Iterable[bool | None]) -> bool | None:
    if False in essentials:
        return False
    return None if None in essentials or False in others else True


def _same(sent: str, shown: str | None) -> bool | None:
    return None if shown is None else sent == shown


def _same_time(sent: object, shown: datetime | None) -> bool | None:
    return None if shown is None or not isinstance(sent, str) else datetime.fromisoformat(sent) == shown


def _is_sent(value: object) -> bool:
    return value is not UNSET and value is not None


READ_LAG: Final = 2.0
"""Seconds after which a list shows what the server had applied when it responded [guess]."""
_FIRST_WAIT: Final = 1.0
_EARLY: Final = 0.01
"""Seconds by which a timer may fire too early, at most."""


def choose_wait(searched: float, within: float) -> float | None:
    """Seconds until the calendar is listed again after `searched` seconds in vain; `None` if that was the end.

    The server may apply the creation `within` this many seconds. Each wait is twice as long as all before it.
    """
    if searched >= within - _EARLY:
        return None
    return min(max(_FIRST_WAIT, 2 * searched), within - searched)
