"""Bounding attempts with one timer, in virtual time."""

import asyncio

import pytest

from leadconnector_async._watch import Watch

from .lanes import now

pytestmark = pytest.mark.looptime(start=0)


async def attempt(watch: Watch, seconds: float) -> str:
    bound = watch.begin(asyncio.get_running_loop())
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if bound.claim():
            return "expired"
        raise
    finally:
        watch.end(bound)
    return "done"


async def test_only_those_that_take_too_long_expire_each_at_its_time() -> None:
    """Ended ones leave the queue; a slow one at its head delays nobody."""
    watch = Watch(10.0)
    slow = asyncio.create_task(attempt(watch, 99))
    await asyncio.sleep(4)
    assert await attempt(watch, 5) == "done"
    later = asyncio.create_task(attempt(watch, 99))
    assert (await slow, now()) == ("expired", 10.0)
    assert (await later, now()) == ("expired", 19.0)
    assert len(watch._queue) == 0


async def test_a_task_that_expired_once_can_be_bounded_again() -> None:
    """The cancellation was taken back."""
    watch = Watch(1.0)
    assert [await attempt(watch, 5), await attempt(watch, 0.5), await attempt(watch, 5)] == [
        "expired",
        "done",
        "expired",
    ]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_wins() -> None:
    """Even in the very turn in which the attempt expires."""
    watch = Watch(10.0)
    task = asyncio.create_task(attempt(watch, 99))
    await asyncio.sleep(1)
    asyncio.get_running_loop().call_at(10.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 10.0
