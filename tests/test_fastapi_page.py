"""The how-to for FastAPI is run as it says: under uvicorn with two workers, through restarts and kills."""

import asyncio
import itertools
import math
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadconnector_async.jobs import read_status
from leadconnector_async.sandbox import Limits, Sandbox

from .cli.shell import build_environment

PAGE = Path(__file__).parent.parent / "docs" / "pages" / "how-to" / "run-in-fastapi.md"
SERVED = """
import os
from clinic import app

@app.middleware("http")
async def sign(request, call_next):
    response = await call_next(request)
    response.headers["x-worker"] = str(os.getpid())
    return response
"""
"""The page's application, whose answers say which worker they are of."""
SLOW = Limits(max_requests=10, interval=1.0)
"""So that a job is met under way, however busy the machine is."""
FAST = Limits(max_requests=1000, interval=0.5)
ROWS = 60
Row = dict[str, object]
KEY = "key-of-the-clinic"
pytestmark = [pytest.mark.timeout(180), pytest.mark.campaign(180)]


def read_page() -> str:
    """The application of the page."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


def take_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Clinic:
    """The page's application under `uvicorn --workers 2`, in a process group of its own."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox, self.port = folder, sandbox, take_port()
        self.workers: set[int] = set()
        self.last_worker = self.owner = 0
        self.killed_at = math.inf
        self._server: asyncio.subprocess.Process | None = None
        (folder / "clinic.py").write_text(read_page())
        (folder / "served.py").write_text(SERVED)

    @property
    def job(self) -> Path:
        """The folder of the job `online`."""
        return self.folder / "jobs" / f"{self.sandbox.location_id}.online.job"

    async def start(self) -> None:
        """Until both workers have answered."""
        options = ["--workers", "2", "--port", str(self.port), "--log-level", "warning"]
        environment = build_environment(self.sandbox, JOBS=str(self.folder / "jobs"), APP_KEY=KEY)
        self._server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "served:app", *options),
            cwd=self.folder,
            env=environment,
            start_new_session=True,
        )
        self.workers.clear()
        await see(self.have_both_answered)

    async def end(self, number: signal.Signals) -> None:
        """End the server and all its workers."""
        server, self._server = self._server, None
        if server is None:
            return
        if number == signal.SIGKILL:
            os.killpg(server.pid, number)
        else:
            server.send_signal(number)
        await server.wait()

    async def have_both_answered(self) -> bool:
        try:
            await self.ask("nothing")
        except httpx.TransportError:
            return False
        return len(self.workers) >= 2

    async def ask(self, name: str) -> tuple[int, Any]:
        return await self.send("GET", name)

    def open(self) -> httpx.AsyncClient:
        address = f"http://127.0.0.1:{self.port}/jobs/"
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=60)

    async def send(self, method: str, name: str, rows: object = None) -> tuple[int, Any]:
        """On a new connection each time, so that either worker may answer."""
        async with self.open() as browser:
            answer = await browser.request(method, name, json=rows)
        self.last_worker = int(answer.headers["x-worker"])
        self.workers.add(self.last_worker)
        return answer.status_code, answer.json()

    async def listen(self) -> list[str]:
        """The names of the events of a job, until the server ends the stream."""
        async with self.open() as browser, browser.stream("GET", "online/events") as answer:
            return [line async for line in answer.aiter_lines() if line.startswith("event:")]

    async def is_under_way(self) -> bool:
        """And both workers have said so."""
        status = (await self.ask("online"))[1]
        assert status["done"] < ROWS, "the job is too short to be met under way by both workers"
        return status["applied"] >= 5 and len(self.workers) >= 2

    async def is_finished(self) -> bool:
        try:
            return (await self.ask("online"))[1]["phase"] in ("done", "refused")
        except httpx.TransportError:
            return False


async def see(what: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that must come."""
    async with asyncio.timeout(60):
        while not await what():
            await asyncio.sleep(0.02)


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    async with Sandbox(limits=SLOW) as sandbox:
        clinic = Clinic(tmp_path, sandbox)
        try:
            await clinic.start()
            yield clinic
        finally:
            await clinic.end(signal.SIGKILL)


def plan(clinic: Clinic) -> list[Row]:
    """Titles with all that glueing rows into CSV would break."""
    titles = ['Moved, "online"', "=1+1", "Ünïcode; 1"]
    return [
        {"event_id": event_id, "title": titles[number % 3]}
        for number, event_id in enumerate(clinic.sandbox.appointment_ids[:ROWS])
    ]


async def end_all_cleanly(clinic: Clinic) -> None:
    """Although somebody listens to the job: streams end, and the job stops in order."""
    listening = asyncio.create_task(clinic.listen())
    await asyncio.sleep(0.5)
    await clinic.end(signal.SIGTERM)
    events = await listening
    assert "event: progress" in events
    assert "event: end" not in events
    status = read_status(clinic.job)
    assert status.summary.remaining > 0
    assert "sent" not in status.summary.counts
    await clinic.start()


async def end_all_hard(clinic: Clinic) -> None:
    await clinic.end(signal.SIGKILL)
    await clinic.start()


async def end_the_jobs_worker(clinic: Clinic) -> None:
    clinic.killed_at = time.monotonic()
    os.kill(clinic.owner, signal.SIGKILL)


def measure_takeover(clinic: Clinic) -> float:
    """Seconds from the kill until somebody else works on the job: the longest silence in the log ends then."""
    times = [clinic.killed_at, *(one.at for one in clinic.sandbox.requests if one.at >= clinic.killed_at)]
    _, end = max(itertools.pairwise(times), key=lambda pair: pair[1] - pair[0])
    return end - clinic.killed_at


@pytest.mark.parametrize("end", [end_all_cleanly, end_all_hard, end_the_jobs_worker])
async def test_a_job_survives_whatever_ends_its_worker(
    clinic: Clinic, end: Callable[[Clinic], Awaitable[None]]
) -> None:
    """Both workers say how far it is, meanwhile and when it has finished; each row is applied once."""
    rows = plan(clinic)
    status, begun = await clinic.send("POST", "online", rows)
    assert (status, begun["total"]) == (202, ROWS)
    clinic.owner = clinic.last_worker
    clinic.workers.clear()
    await see(clinic.is_under_way)
    await end(clinic)
    clinic.sandbox.limits = FAST
    clinic.workers.clear()
    await see(clinic.is_finished)
    await see(clinic.have_both_answered)
    assert clinic.owner not in clinic.workers
    if end is end_the_jobs_worker:
        sys.stdout.write(f"the job was taken over {measure_takeover(clinic):.1f} s after kill -9 of its worker\n")
    for _ in range(10):
        status, told = await clinic.ask("online")
        assert (status, told["phase"], told["applied"]) == (200, "done", ROWS)
    for row in rows:
        assert clinic.sandbox.appointment(str(row["event_id"])).title == row["title"]
    applied = [one.event_id for one in clinic.sandbox.requests.of("update_appointment") if one.applied]
    assert sorted(map(str, applied)) == sorted(str(row["event_id"]) for row in rows)
    assert read_status(clinic.job).summary.counts == {"applied": ROWS}


async def test_a_bad_plan_is_told_to_whoever_asks(clinic: Clinic) -> None:
    """Invalid rows are a 422, and there is no job; what the calendar shows is seen on both workers and later."""
    first, second = clinic.sandbox.appointment_ids[:2]
    bad: list[Row] = [
        {"event_id": first, "title": "x"},
        {"event_id": first, "title": "y"},
        {"event_id": second, "start_time": "tomorrow"},
        {"event_id": second, "colour": "red"},
        {"title": "nobody's"},
    ]
    status, answer = await clinic.send("POST", "online", bad)
    assert (status, answer["code"]) == (422, "plan")
    assert [fault["line"] for fault in answer["errors"]] == [2, 3, 4, 5]
    assert (await clinic.ask("online"))[0] == 404
    assert len(clinic.sandbox.requests) == 0
    refused: list[Row] = [{"event_id": first, "title": "x"}, {"event_id": "nowhere", "title": "x"}]
    assert (await clinic.send("POST", "online", refused))[0] == 202
    await see(clinic.is_finished)
    await end_all_hard(clinic)
    for _ in range(6):
        status, told = await clinic.ask("online")
        assert (status, told["phase"], [fault["line"] for fault in told["faults"]]) == (200, "refused", [2])
        assert (await clinic.send("POST", "online", refused))[0] == 409
    assert [one for one in clinic.sandbox.requests if one.applied and one.method == "PUT"] == []
    assert (await clinic.send("POST", "online/resume?skip_refused=true"))[0] == 200

    async def is_done() -> bool:
        return bool((await clinic.ask("online"))[1]["phase"] == "done")

    await see(is_done)
    assert clinic.sandbox.appointment(first).title == "x"


def test_the_page_has_ten_lines_of_glue() -> None:
    """All of it but the check of who may do what, which every application has of its own."""
    lines = [line for line in read_page().splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(("def may_use", "    return"))]
    assert len(own) == 2
    assert len(lines) - len(own) <= 10
