"""Headers that nobody can mean: none crashes a call, and none locks a location for long."""

import asyncio
from collections.abc import Callable
from typing import Literal

import pytest

from leadconnector_async import AppointmentUpdate, DailyLimitError, with_response
from leadconnector_async.sandbox import Limits

from .virtual import run
from .world import World

MAX, REMAINING, INTERVAL = "x-ratelimit-max", "x-ratelimit-remaining", "x-ratelimit-interval-milliseconds"
FAR = "Mon, 14 Sep 9999 12:00:00 GMT"
DAILY, DAILY_LIMIT, RESET = "x-ratelimit-daily-remaining", "x-ratelimit-limit-daily", "x-ratelimit-daily-reset"
ODD = [
    "0",
    "-1",
    "1e308",
    "NaN",
    "inf",
    "",
    " ",
    "9" * 15,
    "9" * 400,
    "\u0663\u0663",
    "0x10",
    "1.5",
    "100, 100",
    "\x00",
]


def tamper(world: World, change: Callable[[dict[str, str], int], None]) -> None:
    """Change the headers of answers, given those and how many answers came before."""
    receive, number = world.sandbox._app.receive, iter(range(10**9))

    def answer(*request: object) -> object:
        reply = receive(*request)  # type: ignore[arg-type]
        change(reply.headers, next(number))
        return reply

    world.sandbox._app.receive = answer  # type: ignore[method-assign, assignment]


async def deliver(world: World, calls: int) -> float:
    """How long so many calls take that are made one after the other, and again when they were refused."""
    client = world.connect()
    for _ in range(calls):
        while True:
            try:
                await client.get_appointment(world.sandbox.appointment_ids[0])
            except DailyLimitError as error:
                await asyncio.sleep(error.retry_after or 0)
            else:
                break
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", [MAX, REMAINING, INTERVAL, DAILY, DAILY_LIMIT, RESET])
def test_one_odd_header_of_one_answer_holds_a_location_up_for_two_minutes_at_most(name: str, value: str) -> None:
    """Thirty calls, the first of which is answered with it."""

    async def main() -> float:
        world = World(Limits())
        no_reset = {RESET: ""} if name == DAILY else {}  # with one, a budget of nothing is believed
        tamper(world, lambda headers, number: headers.update(no_reset | {name: value}) if number == 0 else None)
        return await deliver(world, 30)

    assert run(main()) < 120


@pytest.mark.parametrize(
    "odd",
    [
        {MAX: "0"},
        {MAX: "20", INTERVAL: "3600000"},
        {INTERVAL: "0"},
        {INTERVAL: "1000000000000"},
        {MAX: "10", REMAINING: "99999"},
        {REMAINING: "0"},
        {DAILY: "0"},
        {DAILY: "0", RESET: "0"},
        {DAILY: "0", RESET: "999999999999999"},
        {DAILY: "1", DAILY_LIMIT: "1", RESET: "999999999999999"},
        {MAX: "0", REMAINING: "0", INTERVAL: "0", DAILY: "0", DAILY_LIMIT: "0", RESET: "0"},
    ],
    ids=str,
)
def test_an_answer_of_odd_headers_alone_holds_a_location_up_for_two_minutes_at_most(odd: dict[str, str]) -> None:
    """After it no answer has any: what it said is not true for ever."""

    async def main() -> float:
        world = World(Limits())

        def change(headers: dict[str, str], number: int) -> None:
            for name in (MAX, REMAINING, INTERVAL, DAILY, DAILY_LIMIT, RESET):
                headers.pop(name, None)
            headers.update(odd if number == 0 else {})

        tamper(world, change)
        return await deliver(world, 30)

    assert run(main()) < 120


def test_a_budget_that_is_always_called_spent_is_looked_at_ever_more_seldom() -> None:
    """Six calls in an hour; each refusal says when to come again."""

    async def main() -> float:
        world = World(Limits())
        tamper(world, lambda headers, _: headers.update({DAILY: "0", RESET: ""}))
        return await deliver(world, 7)

    assert 3600 < run(main()) < 3900


@pytest.mark.parametrize("form", [None, "seconds", "milliseconds", "date"])
def test_a_429_pauses_the_location_and_the_call_goes_on(
    form: Literal["seconds", "milliseconds", "date"] | None,
) -> None:
    """With a hint in each form, and without one: one refusal, and the next request is let through."""

    async def main() -> tuple[int, dict[int, int]]:
        world = World(Limits(max_requests=1, interval=10.0, retry_after=form))
        await world.connect().get_appointment(world.sandbox.appointment_ids[0])
        whole = await with_response(world.connect().get_appointment(world.sandbox.appointment_ids[0]))
        return whole.attempts, dict(world.sandbox.requests.count_statuses())

    assert run(main()) == (2, {200: 2, 429: 1})


@pytest.mark.parametrize("seconds", [1000, 3600, 43_200])
def test_retry_after_is_seconds_whatever_its_size(seconds: int) -> None:
    """The location waits for as long as it was told, and the call goes on after it."""

    async def main() -> float:
        world = World(Limits())
        world.sandbox.faults.plan("get_appointment", [f"429 retry-after={seconds}"])
        assert (
            await with_response(world.connect().get_appointment(world.sandbox.appointment_ids[0]))
        ).attempts == 2
        return asyncio.get_running_loop().time()

    assert seconds <= run(main()) < seconds * 1.06


@pytest.mark.parametrize(
    "hint", ["-1", "1e308", "nan", "9" * 400, "\u0663", "Mon, 14 Sep 9999 12:00:00 GMT", "\x00", "1 2"]
)
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_no_hint_makes_a_location_wait_for_more_than_a_day(name: str, hint: str) -> None:
    """What is no hint is as if there were none."""

    async def main() -> float:
        world = World(Limits())
        world.sandbox.faults.plan("get_appointment", ["429", "503"])
        tamper(world, lambda headers, number: headers.update({name: hint}) if number < 2 else None)
        await world.connect().get_appointment(world.sandbox.appointment_ids[0])
        return asyncio.get_running_loop().time()

    assert run(main()) < (2 * 86_400 * 1.06 if hint is FAR and name == "retry-after" else 30)


def test_others_who_are_faster_never_end_a_call_without_a_deadline() -> None:
    """Every probe after a pause is refused, twenty times over."""

    async def main() -> int:
        world = World(Limits())
        world.sandbox.faults.plan("update_appointment", ["429"] * 20)
        update = AppointmentUpdate(title="x")
        answer = await with_response(world.connect().update_appointment(world.sandbox.appointment_ids[0], update))
        return answer.attempts

    assert run(main()) == 21
