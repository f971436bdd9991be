"""Updates a second with the sandbox's page closed and open in Chromium: each has a process of its own."""

import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from leadconnector_async import AppointmentUpdate, LeadConnector, RateLimit
from leadconnector_async.sandbox import Sandbox

from ..browser.chromium import launch
from ..cli.shell import COMMAND

ROUNDS, SECONDS, CONCURRENCY, APPOINTMENTS = 5, 3.0, 50, 250
MOST = 1_000_000
"""Requests a second: the limit is out of the way."""


class Server(Struct):
    """What the sandbox prints."""

    url: str
    token: str
    location_id: str
    pid: int

    def read_cpu(self) -> float:
        """Seconds of CPU time that its process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Round(Struct):
    """What one round has measured."""

    pace: float
    """Updates a second."""
    cpu: float
    """Microseconds of CPU time of the sandbox for each."""


@asynccontextmanager
async def serve() -> AsyncIterator[Server]:
    options = ["--appointments", str(APPOINTMENTS), "--max-requests", str(MOST), "--interval", "1"]
    process = await asyncio.create_subprocess_exec(*COMMAND, "sandbox", *options, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        printed = json.loads(await process.stdout.readline())
        yield Server(printed["url"], printed["token"], printed["location_id"], process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def play(server: Server, client: LeadConnector, known: Sandbox) -> Round:
    """Callers move a clinic day there and back."""
    until, count, used = time.monotonic() + SECONDS, 0, server.read_cpu()

    async def move(first: int) -> None:
        nonlocal count
        while time.monotonic() < until:
            for event_id in known.appointment_ids[first::CONCURRENCY]:
                event = known.appointment(event_id)
                by = timedelta(minutes=count % 2 * 30)
                await client.update_appointment(
                    event_id,
                    AppointmentUpdate(
                        start_time=event.start_time + by,
                        end_time=event.end_time + by,
                        assigned_user_id=event.assigned_user_id,
                        ignore_free_slot_validation=True,
                    ),
                )
                count += 1

    began = time.monotonic()
    await asyncio.gather(*map(move, range(CONCURRENCY)))
    return Round(count / (time.monotonic() - began), (server.read_cpu() - used) / count * 1e6)


async def measure() -> tuple[list[Round], list[Round]]:
    """Rounds with the page closed, and with it open, in turn."""
    closed: list[Round] = []
    opened: list[Round] = []
    async with (
        serve() as server,
        launch() as browser,
        LeadConnector(
            server.token,
            base_url=server.url,
            location_id=server.location_id,
            rate_limit=RateLimit(max_requests=MOST, interval=1.0),
        ) as client,
    ):
        known = Sandbox(appointments=APPOINTMENTS)
        for _ in range(ROUNDS):
            closed.append(await play(server, client, known))
            page = await browser.new_page()
            await page.goto(server.url)
            await page.locator(".event").first.wait_for()
            opened.append(await play(server, client, known))
            assert await page.locator("#connection").text_content() == "Live"
            await page.close()
    return closed, opened


def run() -> None:
    """Print the table."""
    closed, opened = asyncio.run(measure())
    load = os.getloadavg()[0]
    print(f"\n**updates a second**, {CONCURRENCY} at once, {ROUNDS} rounds of {SECONDS:g} s, ", end="")
    print(f"{os.cpu_count()} cores, load {load:.1f}\n")
    print("| page | updates/s (median) | slowest | fastest | CPU of the sandbox for each, µs |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, rounds in (("closed", closed), ("open", opened)):
        paces, cpu = [one.pace for one in rounds], statistics.median(one.cpu for one in rounds)
        print(f"| {name} | {statistics.median(paces):.0f} | {min(paces):.0f} | {max(paces):.0f} | {cpu:.0f} |")
    pairs = list(zip(opened, closed, strict=True))
    pace, cpu = (statistics.median(ratios) for ratios in zip(*map(compare, pairs), strict=True))
    print(f"| open, of closed | {pace:.2f} | | | {cpu:.2f} |")


def compare(pair: tuple[Round, Round]) -> tuple[float, float]:
    one, other = pair
    return one.pace / other.pace, one.cpu / other.cpu
