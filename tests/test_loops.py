"""Other event loops than asyncio's own: what the package may rely on, and which tests can run on them."""

import ast
import asyncio
import time
from collections.abc import Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

import leadconnector_async
from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async._limiter.slots import Ticket

from . import loops
from .lanes import make_lane, now, take
from .raw_server import RawServer, answer

T = TypeVar("T")
HERE = Path(__file__).parent
PACKAGE = Path(leadconnector_async.__file__).parent
IN_VIRTUAL_TIME = {
    "call/test_approval_time.py",
    "call/test_attempt.py",
    "call/test_timeouts.py",
    "integrations/test_event_stream.py",
    "jobs/run/test_rates.py",
    "jobs/run/test_start_ahead.py",
    "jobs/test_instructions_in_time.py",
    "limiter/test_limiter.py",
    "sharing/test_budget.py",
    "sharing/test_long_outages.py",
    "sharing/test_remaining.py",
    "simulation/test_bulk.py",
    "simulation/test_cancellation.py",
    "simulation/test_cluster.py",
    "simulation/test_creating.py",
    "simulation/test_delivery.py",
    "simulation/test_fairness.py",
    "simulation/test_front_desk.py",
    "simulation/test_hostile_headers.py",
    "simulation/test_hours.py",
    "simulation/test_mistakes.py",
    "simulation/test_outage.py",
    "simulation/test_schedules.py",
    "simulation/test_soak.py",
    "simulation/test_virtual.py",
}
"""They stay on asyncio's loop. Whatever talks to a socket belongs elsewhere, where it runs on uvloop too."""


def list_imports(path: Path) -> set[Path]:
    """The files under `tests` that a file imports."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                start = path.parents[node.level - 1]
            elif (node.module or "").split(".")[0] == HERE.name:
                start = HERE.parent
            else:
                continue
            base = start.joinpath(*(node.module or "").split("."))
            found |= {base.with_suffix(".py"), *((base / alias.name).with_suffix(".py") for alias in node.names)}
    return {one for one in found if one.exists()}


def is_in_virtual_time(path: Path) -> bool:
    """It is marked, or it uses the loop of the simulation, maybe through others."""
    seen: set[Path] = set()
    reached = {path}
    while reached:
        seen |= reached
        reached = {other for one in reached for other in list_imports(one)} - seen
    return HERE / "simulation/virtual.py" in seen or "mark.looptime" in path.read_text()


def test_the_list_of_tests_in_virtual_time_does_not_grow_unnoticed() -> None:
    """Whoever adds a file to it says why it needs no real socket."""
    tests = [path for path in HERE.rglob("test_*.py") if path != Path(__file__)]
    found = {path.relative_to(HERE).as_posix() for path in tests if is_in_virtual_time(path)}
    assert found == IN_VIRTUAL_TIME


async def test_tests_run_on_the_loop_that_was_asked_for() -> None:
    """So that a run on uvloop is one."""
    is_asyncio = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    assert is_asyncio == (loops.NAME == "asyncio")


@pytest.mark.looptime
async def test_a_test_in_virtual_time_runs_on_a_loop_that_has_it() -> None:
    """Whatever the others run on."""
    before = now()
    await asyncio.sleep(3600)
    assert now() - before == 3600


def is_concrete(name: str) -> bool:
    return name == "TimerHandle" or ("EventLoop" in name and name != "AbstractEventLoop")


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_nothing_relies_on_the_loop_that_asyncio_brings(path: Path) -> None:
    """A loop is an `AbstractEventLoop`, and what `call_at` returns may be a plain `Handle`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            of, name = ast.unparse(node.value), node.attr
            assert not (of == "asyncio" and is_concrete(name)), f"line {node.lineno}: asyncio.{name}"
            assert not (of.endswith("loop") and name.startswith("_")), f"line {node.lineno}: {of}.{name}"
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] != "asyncio", f"line {node.lineno}: {ast.unparse(node)}"


def run_on_uvloop(main: Coroutine[Any, Any, T]) -> T:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def wait_together() -> None:
    """Two wait for slots that come free sooner than uvloop's clock can tell."""
    for _ in range(20):
        lane = make_lane(max_requests=2, interval=0.1)
        for ticket in (take(lane), take(lane)):
            lane.finish(ticket, now() - 0.0998, {})
        assert all(isinstance(one, Ticket) for one in await asyncio.gather(lane.take(), lane.take()))


def test_a_slot_that_comes_free_within_a_millisecond_is_waited_for_on_uvloop() -> None:
    """There, so short a timer is a handle that knows no time."""
    run_on_uvloop(wait_together())


class Stopwatch(RawServer):
    """Notes when requests came, by a clock that is not the loop's."""

    def __init__(self) -> None:
        super().__init__([])
        self.came: list[float] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.came.append(time.monotonic())
                writer.write(answer(200, b'{"id":"ev1"}'))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def measure_gaps(interval: float, count: int) -> list[float]:
    watch = Stopwatch()
    server = await asyncio.start_server(watch.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    limit = RateLimit(max_requests=1, interval=interval)
    async with server, LeadConnector("t", base_url=url, rate_limit=limit) as client:
        await asyncio.gather(*(client.get_appointment("ev1") for _ in range(count)))
    return [later - earlier for earlier, later in pairwise(watch.came)]


def test_a_clock_that_counts_whole_milliseconds_frees_no_slot_early() -> None:
    """uvloop's is behind by up to that: an answer would be stamped before the server had counted the request."""
    gaps = run_on_uvloop(measure_gaps(0.01, 200))
    assert len(gaps) == 199
    assert min(gaps) >= 0.01
