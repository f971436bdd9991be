"""Keys of callers: who may create, who waits, and what is known of a holder that is gone. By clocks of the test."""

import asyncio
import math

import msgspec
import pytest

from leadconnector_async import StoreUnavailableError
from leadconnector_async._sharing import once
from leadconnector_async._sharing.keys import KeyRow, MemoryKeys
from leadconnector_async._sharing.once import (
    KEEP_SECONDS,
    LEASE_SECONDS,
    Busy,
    HeldKey,
    KeyLedger,
    KeyNames,
    Known,
    Reused,
    Rivals,
    decode_entry,
)

SCOPE = ("app", "location", "create_appointment")


class World:
    """A store with its clock, and processes with theirs. All begin at 1000 s, and run together unless told."""

    def __init__(self) -> None:
        self.now = self.local = 1000.0
        self.boot = "first"
        self.is_down = False
        self.keys = MemoryKeys(lambda: self.now)
        self.ledger = KeyLedger(self, lambda: self.local)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.local += seconds

    async def read(self, key: str) -> KeyRow:
        if self.is_down:
            raise StoreUnavailableError("down")
        row = await self.keys.read(key)
        return KeyRow(row.version, row.content, row.now, self.boot)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float, *, sync: bool = True) -> bool:
        if self.is_down:
            raise StoreUnavailableError("down")
        return await self.keys.swap(key, version, content, keep_seconds, sync=sync)

    async def aclose(self) -> None:
        pass

    async def claim(self, key: str = "order", request: bytes = b"{}") -> HeldKey | Known | Busy | Reused:
        return await self.ledger.claim(names(key, request))

    async def hold(self, key: str = "order") -> HeldKey:
        held = await self.claim(key)
        assert isinstance(held, HeldKey)
        return held


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `time.time` says, for whoever looks at keys."""
    clock = [5_000.0]
    monkeypatch.setattr(once.time, "time", lambda: clock[0])
    return clock


def names(key: str = "order", request: bytes = b"{}", *, subject: str = "10:00") -> KeyNames:
    return KeyNames.build(SCOPE, key, (subject,), request)


async def test_one_holds_a_key_and_the_others_wait_for_its_result(world: World) -> None:
    """Which is the same for all of them."""
    held = await world.hold()
    assert not held.is_taken_over
    assert await world.claim() == Busy()
    assert await held.record("appointment")
    assert await world.claim() == Known("appointment")
    assert await held.record("appointment")
    assert not await held.record("another")
    assert await world.claim() == Known("appointment")


async def test_of_many_who_want_a_key_at_once_one_gets_it(world: World) -> None:
    """Whatever the order in which the store answers."""
    claimed = await asyncio.gather(*(world.claim() for _ in range(16)))
    assert [isinstance(one, HeldKey) for one in claimed].count(True) == 1
    assert claimed.count(Busy()) == 15


async def test_a_key_with_another_request_is_refused(world: World) -> None:
    """While it is in use, when it has a result, and when nobody knows whether it has one."""
    held = await world.hold()
    assert await world.claim(request=b"[]") == Reused()
    await held.release()
    assert await world.claim(request=b"[]") == Reused()
    held = await world.hold()
    await held.record("appointment")
    assert await world.claim(request=b"[]") == Reused()


def test_keys_of_other_apps_locations_and_operations_are_others() -> None:
    """So are other spellings; no two of them run into each other."""
    scopes = [
        SCOPE,
        ("other", *SCOPE[1:]),
        ("app", "other", SCOPE[2]),
        (*SCOPE[:2], "create_note"),
        ("a", "pp", ""),
    ]
    found = [
        KeyNames.build(scope, key, ("10:00",), b"{}") for scope in scopes for key in ("order", "Order", "orde")
    ]
    assert len({one.key for one in found}) == 15
    assert len({one.rivals for one in found}) == len(scopes)
    assert not {one.key for one in found} & {one.rivals for one in found}
    assert names("order") == names("order")


async def test_nothing_of_the_key_or_the_request_is_stored(world: World) -> None:
    """Hashes, times and the id of what was created; no personal data."""
    secret = "jane@example.com"
    held = await world.ledger.claim(KeyNames.build(SCOPE, secret, (secret,), secret.encode()))
    assert isinstance(held, HeldKey)
    await held.record("appointment")
    rows = world.keys._rows
    assert len(rows) == 2
    assert not any("jane" in name or b"jane" in content for name, (_, content, _) in rows.items())


async def test_a_key_that_was_given_back_is_free(world: World) -> None:
    """For any request: nothing was created."""
    held = await world.hold()
    await held.give_back()
    again = await world.claim(request=b"[]")
    assert isinstance(again, HeldKey)
    assert not again.is_taken_over


async def test_a_key_that_was_released_is_taken_over_at_once(world: World) -> None:
    """Its holder began then, and nothing was sent since it was released."""
    held = await world.hold()
    world.pass_time(1.0)
    await held.release()
    world.pass_time(0.5)
    again = await world.hold()
    assert again.is_taken_over
    assert (again.measure_age(), again.measure_idle()) == (1.5, 0.5)
    world.pass_time(3.0)
    assert (again.measure_age(), again.measure_idle()) == (4.5, 3.5)


async def test_a_killed_holder_keeps_the_others_waiting_for_its_lease(world: World) -> None:
    """Not longer, and not shorter: it may send until then."""
    held = await world.hold()
    world.pass_time(LEASE_SECONDS - 0.01)
    assert held.is_held
    assert await world.claim() == Busy()
    world.pass_time(0.01)
    assert not held.is_held
    again = await world.hold()
    assert (again.measure_age(), again.measure_idle()) == (LEASE_SECONDS, 0.0)


async def test_a_holder_that_renews_its_lease_keeps_the_key(world: World) -> None:
    """For as long as its call takes."""
    held = await world.hold()
    for _ in range(10):
        world.pass_time(LEASE_SECONDS / 2)
        assert await held.renew()
        assert await world.claim() == Busy()
        assert held.send_by == world.local + LEASE_SECONDS


async def test_a_lease_ends_for_its_holder_before_it_ends_for_the_others(world: World) -> None:
    """However long the store takes to answer: the holder counts from before it asked."""
    read = world.keys.read

    async def read_late(key: str) -> KeyRow:
        world.pass_time(1.0)
        row = await read(key)
        world.pass_time(0.25)
        return row

    world.keys.read = read_late  # type: ignore[method-assign]
    held = await world.hold()
    entry = decode_entry(names().key, await read(names().key))
    assert entry is not None
    assert held.send_by <= entry.until
    await held.renew()
    entry = decode_entry(names().key, await read(names().key))
    assert entry is not None
    assert held.send_by <= entry.until


async def test_a_frozen_holder_learns_that_its_key_was_taken(world: World) -> None:
    """It sends nothing any more, releases nothing of the other's, and gets the other's result."""
    frozen = await world.hold()
    world.pass_time(10.0)
    other = await world.hold()
    assert not frozen.is_held
    assert not await frozen.renew()
    assert frozen.is_lost
    await frozen.release()
    await frozen.give_back()
    assert await world.claim() == Busy()
    await other.record("appointment")
    assert await world.claim() == Known("appointment")


async def test_a_late_response_is_recorded_although_the_key_was_taken(world: World) -> None:
    """Whoever has taken it over learns the result, and sends nothing."""
    late = await world.hold()
    world.pass_time(LEASE_SECONDS)
    other = await world.hold()
    assert await late.record("appointment")
    assert not await other.renew()
    assert other.is_lost
    await other.release()
    assert await world.claim() == Known("appointment")


async def test_a_clock_of_the_store_that_is_set_back_frees_the_key(world: World) -> None:
    """Otherwise it would be blocked for hours. Its holder is asked for by its age, as far as that is known."""
    await world.hold()
    world.now -= 3600.0
    world.local += 1.0
    again = await world.hold()
    assert again.is_taken_over
    assert again.measure_idle() == 0.0


async def test_a_restart_of_the_machine_leaves_the_wall_clock(world: World, wall_clock: list[float]) -> None:
    """The clock of its store begins anew, so nothing can be told by that."""
    await world.hold()
    wall_clock[0] += 90.0
    world.boot, world.now = "second", 1010.0
    again = await world.hold()
    assert (again.measure_age(), again.measure_idle()) == (90.0, 0.0)
    assert await world.claim() == Busy()


async def test_a_key_is_remembered_for_a_day(world: World) -> None:
    """After its last change; then it creates again."""
    held = await world.hold()
    await held.record("appointment")
    world.pass_time(KEEP_SECONDS - 1)
    assert await world.claim() == Known("appointment")
    world.pass_time(1)
    again = await world.hold()
    assert not again.is_taken_over


async def test_what_is_taken_over_keeps_the_age_of_its_first_holder(world: World) -> None:
    """It may have been that one that has created something."""
    await world.hold()
    for number in range(1, 4):
        world.pass_time(LEASE_SECONDS)
        again = await world.hold()
        assert again.measure_age() == number * LEASE_SECONDS


async def test_keys_that_want_an_equal_appointment_know_of_each_other(world: World) -> None:
    """What one has created is not the other's; and while one has no result, that cannot be told."""
    one, two = await world.hold("one"), await world.hold("two")
    assert await world.ledger.list_rivals(names("one")) == Rivals(set(), is_open=True, is_busy=True)
    await two.record("second")
    assert await world.ledger.list_rivals(names("one")) == Rivals({"second"})
    assert await world.ledger.list_rivals(names("two")) == Rivals(set(), is_open=True, is_busy=True)
    world.pass_time(LEASE_SECONDS)
    assert await world.ledger.list_rivals(names("two")) == Rivals(set(), is_open=True)
    await one.give_back()
    assert await world.ledger.list_rivals(names("two")) == Rivals()
    assert await world.ledger.list_rivals(names("two", subject="11:00")) == Rivals()


async def test_a_store_that_is_down_lets_nobody_claim(world: World) -> None:
    """A holder keeps its key until its lease ends, and no longer."""
    held = await world.hold()
    world.is_down = True
    with pytest.raises(StoreUnavailableError):
        await world.claim()
    world.pass_time(1.0)
    assert await held.renew()
    assert held.is_held
    world.pass_time(LEASE_SECONDS - 1.0)
    assert not await held.renew()
    assert not held.is_lost
    world.is_down = False
    assert await held.renew()


encode = msgspec.msgpack.encode
ODD_TIMES: list[tuple[float, float, str, str, float]] = [
    (math.nan, 0.0, "clock", "", 0.0),
    (-1e300, 0.0, "clock", "", 0.0),
    (0.0, math.nan, "another clock", "", 0.0),
    (0.0, -1e12, "another clock", "", 0.0),
]


@pytest.mark.parametrize(
    ("row", "content"),
    [
        ("key", b"\x90"),
        ("key", b"garbage"),
        ("key", b"\x97\xa1\xff\x01\x01\xa1a\xa1b\x01\xa1c"),
        *[("key", encode(["payload", *times])) for times in ODD_TIMES],
        ("rivals", b"garbage"),
        ("rivals", b"\x91\xa1\xff"),
    ],
)
async def test_what_cannot_be_read_is_said_before_anything_is_sent(row: str, content: bytes) -> None:
    """Something else has changed it: it may have said that the appointment exists."""
    world = World()
    name = getattr(names(), row)
    assert await world.keys.swap(name, "", content, 10.0)
    with pytest.raises(StoreUnavailableError, match=f"row {name} of leadconnector_keys cannot be read"):
        await world.claim()
