"""The keys of callers: which creation a key belongs to, who is at work on it, and what came of it.

An entry is written before the request of its creation leaves, and again when the response came. In between it is
leased: its holder renews the lease, and whoever else wants the key waits. A lease that is not renewed has a holder
that was killed, frozen or cut off; the next one who wants the key takes the entry over, and has to find out what
became of the creation. Leases follow the store's clock. The holder's own view of its lease begins before it asked
the store, so it ends first.

    entry                                    the same payload    another payload
    --------------------------------------   -----------------   ---------------
    none, or given back                      claim it            claim it
    with a result                            that                refuse
    leased by somebody else                  wait                refuse
    neither: its holder left it unresolved   take it over        refuse

Entries hold hashes, times and the id of what was created: no personal data.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from ..exceptions import LeadConnectorError, StoreUnavailableError
from .keys import GIVEN_BACK_SECONDS, MOST_TRIES, KeyRow, KeyStore

T = TypeVar("T")

Clock: TypeAlias = Callable[[], float]
Moment: TypeAlias = Annotated[float, Meta(ge=-1e10, le=1e10)]
"""Seconds. No clock is further away than three centuries from its origin."""

LEASE_SECONDS: Final = 2.5
"""How long a holder that does not renew its lease keeps the others waiting."""
RENEW_SECONDS: Final = 0.5
KEEP_SECONDS: Final = 86_400.0
"""How long a key is remembered after its last change."""
_LOGGER: Final = logging.getLogger("leadconnector_async")


class Entry(Struct, frozen=True, array_like=True):
    """What a store knows of a key."""

    payload: str
    """Hash of the request."""
    began: Moment
    """By the store's clock: nothing of it can have been sent before."""
    began_at: Moment
    """The same by the wall clock of its first holder."""
    clock: str
    """Names the clock of `began`: that of `until` is another one if the machine was restarted in between."""
    holder: str = ""
    until: float = 0.0
    """By the store's clock: when its lease ends, or when it ended."""
    result: str = ""
    """The id of what was created; empty while that is not known."""


class KeyNames(Struct, frozen=True):
    """The names of the rows of one creation, and the hash of its request."""

    key: str
    rivals: str
    """Of the row that lists the keys which want an equal appointment."""
    payload: str

    @classmethod
    def build(cls, scope: tuple[str, ...], key: str, subject: tuple[str, ...], request: bytes) -> KeyNames:
        """Hash it all. `scope` is app, location and operation; `subject` is what equal creations have in common."""
        text = msgspec.json.encode
        return cls(
            key=_hash(b"key", text((scope, key))),
            rivals=_hash(b"subject", text((scope, subject))),
            payload=_hash(b"request", text((scope, request))),
        )


class Before(Struct, frozen=True):
    """What is known of the holder before, when its entry was read."""

    age: float
    """Seconds since it began."""
    idle: float
    """Seconds since its lease ended."""

    @classmethod
    def build(cls, entry: Entry, row: KeyRow) -> Before:
        """By the store's clock. If that is another one, because the machine was restarted, by the wall clock."""
        if entry.clock == row.clock and row.now >= entry.began:
            return cls(row.now - entry.began, max(0.0, row.now - entry.until))
        age = max(0.0, time.time() - entry.began_at)
        return cls(age, 0.0)


class Reused(Struct, frozen=True):
    """The key belongs to another request."""


class Busy(Struct, frozen=True):
    """Somebody else is at work on it."""


class Known(Struct, frozen=True):
    """It was created."""

    result: str


class Rivals(Struct):
    """Other keys that want an equal appointment."""

    results: set[str] = msgspec.field(default_factory=set[str])
    """What they have created."""
    is_open: bool = False
    """It is not known of all of them what they have created."""
    is_busy: bool = False
    """One of them is in use, so its result will be known."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Entry).decode
_decode_names: Final = msgspec.msgpack.Decoder(list[str]).decode
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError)


class KeyLedger:
    """The keys in one store. `clock` is a monotonic one that is right even after the process was frozen."""

    def __init__(self, store: KeyStore, clock: Clock, lease_seconds: float = LEASE_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._lease_seconds = lease_seconds

    async def claim(self, names: KeyNames) -> HeldKey | Known | Busy | Reused:
        """Take the key, unless it is used. Raises `StoreUnavailableError` and `ConfigurationError`."""
        asked_at = self._clock()
        row = await self._store.read(names.key)
        entry = decode_entry(names.key, row)
        if (refusal := self._find_refusal(entry, row, names.payload)) is not None:
            return refusal
        if entry is None and not await self._list_rival(names):
            return Busy()
        until, holder = row.now + self._lease_seconds, secrets.token_hex(8)
        if entry is None:
            held = Entry(names.payload, row.now, time.time(), row.clock, holder, until)
        else:
            held = msgspec.structs.replace(entry, holder=holder, until=until)
        if not await self._store.swap(names.key, row.version, _encode(held), KEEP_SECONDS):
            return Busy()
        before = None if entry is None else Before.build(entry, row)
        return HeldKey(self._store, names, held, self._clock, self._lease_seconds, asked_at, before)

    def _find_refusal(self, entry: Entry | None, row: KeyRow, payload: str) -> Known | Busy | Reused | None:
        """Why a key cannot be claimed: see this module."""
        if entry is None:
            return None
        if entry.payload != payload:
            return Reused()
        if entry.result:
            return Known(entry.result)
        return Busy() if self._is_leased(entry, row) else None

    async def _list_rival(self, names: KeyNames) -> bool:
        """Before the key is claimed: whoever looks for what a key has created must know of all others."""
        for _ in range(MOST_TRIES):
            row = await self._store.read(names.rivals)
            known = _read(_decode_names, names.rivals, row) or []
            listed = _encode([*(one for one in known if one != names.key), names.key])
            if await self._store.swap(names.rivals, row.version, listed, KEEP_SECONDS, sync=False):
                return True
        return False

    async def list_rivals(self, names: KeyNames) -> Rivals:
        """The other keys that want an equal appointment.

        Ask this after the calendar was read, and not before: what was not claimed by then had created nothing.
        """
        row = await self._store.read(names.rivals)
        rivals = Rivals()
        for name in _read(_decode_names, names.rivals, row) or []:
            other = await self._store.read(name)
            if name == names.key or (entry := decode_entry(name, other)) is None:
                continue
            if entry.result:
                rivals.results.add(entry.result)
            else:
                rivals.is_open = True
                rivals.is_busy = rivals.is_busy or self._is_leased(entry, other)
        return rivals

    def _is_leased(self, entry: Entry, row: KeyRow) -> bool:
        return row.keeps_lease(entry.until, self._lease_seconds)


class HeldKey:
    """A key that a call of this process has leased."""

    __slots__ = (
        "_asked_at",
        "_before",
        "_clock",
        "_entry",
        "_held_at",
        "_lease_seconds",
        "_names",
        "_store",
        "send_by",
    )

    def __init__(
        self,
        store: KeyStore,
        names: KeyNames,
        entry: Entry,
        clock: Clock,
        lease_seconds: float,
        asked_at: float,
        before: Before | None,
    ) -> None:
        self._store = store
        self._names = names
        self._entry = entry
        self._clock = clock
        self._lease_seconds = lease_seconds
        self.send_by = asked_at + lease_seconds
        """The moment, by the clock, from which nothing may be sent: somebody else may hold the key then."""
        self._asked_at, self._held_at = asked_at, clock()
        self._before = before

    @property
    def is_taken_over(self) -> bool:
        """Whether there was a holder before, who left it unresolved; otherwise nothing was sent yet."""
        return self._before is not None

    def measure_age(self) -> float:
        """Seconds since the holder before began."""
        return 0.0 if self._before is None else self._before.age + self._clock() - self._asked_at

    def measure_idle(self) -> float:
        """Seconds since the lease of the holder before ended: nothing was sent since."""
        return 0.0 if self._before is None else self._before.idle + self._clock() - self._held_at

    @property
    def is_held(self) -> bool:
        """Whether it is certain that nobody else holds the key."""
        return self._clock() < self.send_by

    @property
    def is_lost(self) -> bool:
        """Whether somebody else has taken the key, or has recorded the result."""
        return self.send_by == float("-inf")

    async def renew(self) -> bool:
        """Prolong the lease; returns whether it lasts. Never raises: without the store, it expires."""
        asked_at = self._clock()
        try:
            renewed = await self._change(lambda row, entry: msgspec.structs.replace(entry, until=self._end(row)))
        except LeadConnectorError as error:
            _LOGGER.debug("the lease of a key was not renewed: %s", error)
        else:
            self.send_by = asked_at + self._lease_seconds if renewed else float("-inf")
        return self.is_held

    async def record(self, result: str) -> bool:
        """Write down what was created; `False` if another result is known already. Raises `StoreUnavailableError`.

        Also if somebody else has taken the key over: they wait for this.
        """
        for _ in range(MOST_TRIES):
            row = await self._store.read(self._names.key)
            entry = decode_entry(self._names.key, row) or self._entry
            if entry.result:
                return entry.result == result
            content = _encode(msgspec.structs.replace(entry, until=row.now, result=result))
            if await self._store.swap(self._names.key, row.version, content, KEEP_SECONDS):
                return True
        return False

    async def release(self) -> None:
        """Leave it unresolved: the next one takes it over at once."""
        await self._change(lambda row, entry: msgspec.structs.replace(entry, holder="", until=row.now))

    async def give_back(self) -> None:
        """Forget it, because nothing was created."""
        await self._change(lambda row, entry: None)

    def _end(self, row: KeyRow) -> float:
        return row.now + self._lease_seconds

    async def _change(self, change: Callable[[KeyRow, Entry], Entry | None]) -> bool:
        """Change the entry while it is this call's; returns whether it was."""
        for _ in range(MOST_TRIES):
            row = await self._store.read(self._names.key)
            entry = decode_entry(self._names.key, row)
            if entry is None or entry.holder != self._entry.holder or entry.result:
                return False
            changed = change(row, entry)
            content = b"" if changed is None else _encode(changed)
            keep = GIVEN_BACK_SECONDS if changed is None else KEEP_SECONDS
            if await self._store.swap(self._names.key, row.version, content, keep, sync=False):
                return True
        return False


def decode_entry(name: str, row: KeyRow) -> Entry | None:
    """The entry in a row; `None` if there is none, or it was given back. Raises `StoreUnavailableError`."""
    return _read(_decode, name, row)


def _read(decode: Callable[[bytes], T], name: str, row: KeyRow) -> T | None:
    """Without knowing what a row says, nothing may be sent: it may say that the appointment exists."""
    if not row.content:
        return None
    try:
        return decode(row.content)
    except _UNREADABLE:
        raise StoreUnavailableError(
            f"the shared store's row {name} of leadconnector_keys cannot be read, because something else has "
            "changed it: look up in the calendar what was created, then delete the row"
        ) from None


def _hash(kind: bytes, content: bytes) -> str:
    return hashlib.sha256(kind + b"\0" + content).hexdigest()[:40]
