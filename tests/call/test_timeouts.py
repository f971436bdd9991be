"""Bounding attempts with one timer, in virtual time."""

import asyncio
import contextlib

import pytest

from leadconnector_async._call.timeouts import AttemptTimer

from ..lanes import now

pytestmark = pytest.mark.looptime(start=0)


async def attempt(watch: AttemptTimer, seconds: float, bounded: float) -> str:
    bound = watch.begin(asyncio.get_running_loop(), now() + bounded)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if bound.claim():
            return "expired"
        raise
    finally:
        bound.end()
    return "done"


async def test_only_those_that_take_too_long_expire_each_at_its_time() -> None:
    """Ended ones leave the queue; a slow one at its head delays nobody."""
    watch = AttemptTimer()
    slow = asyncio.create_task(attempt(watch, 99, 10.0))
    await asyncio.sleep(4)
    assert await attempt(watch, 5, 10.0) == "done"
    later = asyncio.create_task(attempt(watch, 99, 10.0))
    assert (await slow, now()) == ("expired", 10.0)
    assert (await later, now()) == ("expired", 19.0)
    watch.close(asyncio.get_running_loop())
    assert len(watch.bounds) == 0


async def test_a_task_that_expired_once_can_be_bounded_again() -> None:
    """The cancellation was taken back."""
    watch = AttemptTimer()
    said = [await attempt(watch, seconds, 1.0) for seconds in (5, 0.5, 5)]
    assert said == ["expired", "done", "expired"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_wins() -> None:
    """Even in the very turn in which the attempt expires."""
    watch = AttemptTimer()
    task = asyncio.create_task(attempt(watch, 99, 10.0))
    await asyncio.sleep(1)
    asyncio.get_running_loop().call_at(10.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 10.0


async def test_bounds_of_different_lengths_share_one_timer() -> None:
    """The shorter one that begins later expires first, and nothing is left behind."""
    watch, loop = AttemptTimer(), asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    slow = asyncio.create_task(attempt(watch, 99, 60.0))
    quick = [asyncio.create_task(attempt(watch, 99, 1.0 + n / 100)) for n in range(100)]
    await asyncio.gather(*quick)
    assert now() == pytest.approx(1.99)
    assert (await slow, now()) == ("expired", 60.0)
    watch.close(loop)
    assert (len(watch.bounds), watch._timer) == (0, None)
    assert len(loop._scheduled) - before <= 1  # type: ignore[attr-defined]


async def test_a_cancellation_that_was_swallowed_is_taken_back() -> None:
    """User code may do that: what its task does next is not cancelled by surprise."""
    watch = AttemptTimer()
    bound = watch.begin(asyncio.get_running_loop(), now() + 1.0)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(5)
    bound.end()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
