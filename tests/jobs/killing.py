"""The campaign of kills: a real process moves appointments in a real sandbox process, and is killed, and again.

`python -m tests.jobs.killing --kills 1000` is the whole of it; the test suite runs a small one. A job of many rows
is killed at random moments until it is done; then another one begins. After each kill the journal is read as it
lies there, and at the end of each job the sandbox's own log and state are held against what the journals said.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from msgspec import Struct

from leadconnector_async.jobs.plan.files import write_csv

COMMAND = (sys.executable, "-c", "from leadconnector_async.cli import main; main()")
SECONDS = 2.0
"""The longest time for which a process lives once it has begun its work."""


class Tally(Struct):
    """What a campaign has shown."""

    kills: int = 0
    jobs: int = 0
    rows: int = 0
    in_flight: int = 0
    """Rows whose intent was on the disk and whose outcome was not, over all kills."""
    repeats: int = 0
    """Writes of an appointment after its first one that was applied."""
    lost: int = 0
    """Rows whose appointment is not where the plan wants it."""
    after_applied: int = 0
    """Writes that came after a journal had called their row applied."""
    foreign_repeats: int = 0
    """Repeats of rows that were not in flight at any kill."""
    refused: int = 0
    """429s."""

    @property
    def holds(self) -> bool:
        return not (self.lost or self.after_applied or self.foreign_repeats) and self.repeats <= self.in_flight


class Kill(Struct):
    """The journal as a kill has left it."""

    at: float
    applied: set[str]
    sent: set[str]


class Server:
    """A sandbox in a process of its own."""

    def __init__(self, ready: Mapping[str, str]) -> None:
        self.ready = ready
        self.environment = {
            **os.environ,
            "LEADCONNECTOR_TOKEN": ready["token"],
            "LEADCONNECTOR_BASE_URL": ready["url"],
            "LEADCONNECTOR_LOCATION_ID": ready["location_id"],
        }

    async def ask(self, name: str) -> list[dict[str, object]]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.ready['url']}/_sandbox/{name}") as answer,
        ):
            found: list[dict[str, object]] = await answer.json()
            return found


@asynccontextmanager
async def serve(appointments: int, max_requests: int = 100) -> AsyncIterator[Server]:
    arguments = ["--appointments", str(appointments), "--max-requests", str(max_requests), "--interval", "1"]
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", *arguments, "--log-size", "200000", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield Server(json.loads(await process.stdout.readline()))
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def build_plan(server: Server) -> tuple[str, dict[str, str]]:
    """Every single appointment moves by a week; the plan, and the wanted starts."""
    events = [one for one in await server.ask("appointments") if not one["rrule"]]
    rows = []
    for event in events:
        start, end = (_add_week(str(event[name])) for name in ("start_time", "end_time"))
        rows.append({"event_id": str(event["id"]), "start_time": start, "end_time": end})
    columns = ("event_id", "start_time", "end_time", "ignore_free_slot_validation")
    lines = write_csv([row | {"ignore_free_slot_validation": "true"} for row in rows], columns)
    return "".join(lines), {row["event_id"]: row["start_time"] for row in rows}


def _add_week(text: str) -> str:
    return (datetime.fromisoformat(text) + timedelta(weeks=1)).isoformat()


async def start(server: Server, *arguments: str) -> asyncio.subprocess.Process:
    null = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=server.environment, stdout=null, stderr=asyncio.subprocess.PIPE
    )


def is_settled(folder: Path) -> bool:
    """Whether the plan was taken in whole: from then on a job is resumed, and not begun again."""
    facts = _query(folder, "SELECT value FROM facts WHERE name = 'complete'")
    return bool(facts)


def read_journal(folder: Path) -> tuple[set[str], set[str]]:
    """The events of rows that are applied, and of rows in flight."""
    rows = _query(folder, "SELECT event_id, state FROM rows")
    return {one for one, state in rows if state == "applied"}, {one for one, state in rows if state == "sent"}


def _query(folder: Path, query: str) -> list[tuple[str, ...]]:
    """Of a copy, so that nothing is mended here."""
    if not (folder / "journal.sqlite").exists():
        return []
    with tempfile.TemporaryDirectory() as copied:
        for name in ("journal.sqlite", "journal.sqlite-wal"):
            if (folder / name).exists():
                shutil.copy(folder / name, copied)
        connection = sqlite3.connect(f"{copied}/journal.sqlite")
        try:
            return connection.execute(query).fetchall()
        except sqlite3.DatabaseError:  # it was killed while the plan was taken in: nothing was sent
            return []
        finally:
            connection.close()


async def measure_start(server: Server) -> float:
    """What a process takes before it does anything, on this machine at this time."""
    began = time.monotonic()
    process = await start(server, "status", "none.job")
    await process.communicate()
    return time.monotonic() - began


def draw_seconds(dice: random.Random, starting: float) -> float:
    """When to kill: seldom while the process starts, mostly when it is at work."""
    return starting * dice.uniform(0.3, 1.1) + dice.choice((0.0, 1.0, 1.0, 1.0)) * dice.uniform(0, SECONDS)


async def run_job(server: Server, tally: Tally, dice: random.Random, kills: int) -> None:
    """Move all appointments, with so many kills at most on the way."""
    with tempfile.TemporaryDirectory() as folder:
        plan, job = Path(folder) / "plan.csv", Path(folder) / "plan.job"
        content, wanted = await build_plan(server)
        plan.write_text(content)
        starting = await measure_start(server)
        began = time.monotonic()
        seen: list[Kill] = []
        while True:
            settled = is_settled(job)
            begin = ("resume", str(job)) if settled else ("reschedule", str(plan), "--yes", "--job", str(job))
            process = await start(server, *begin)
            left = kills - len(seen)
            try:
                async with asyncio.timeout(draw_seconds(dice, starting) if left > 0 else None):
                    _, errors = await process.communicate()
            except TimeoutError:
                with suppress(ProcessLookupError):  # it has just ended by itself
                    process.kill()
                await process.communicate()
                seen.append(Kill(time.monotonic(), *read_journal(job)))
                continue
            if process.returncode == 0:
                break
            assert settled or process.returncode == 2, (process.returncode, errors.decode())
            assert process.returncode in (2, 5), (process.returncode, errors.decode())
        await judge(server, tally, wanted, seen, began)


async def judge(server: Server, tally: Tally, wanted: dict[str, str], seen: list[Kill], began: float) -> None:
    state = {str(one["id"]): one for one in await server.ask("appointments")}
    requests = [one for one in await server.ask("requests") if float(str(one["at"])) >= began]
    writes = [(str(one["event_id"]), float(str(one["at"]))) for one in requests if one["applied"]]
    counts = Counter(event_id for event_id, _ in writes)
    flown = set().union(*(kill.sent for kill in seen))
    tally.kills += len(seen)
    tally.jobs += 1
    tally.rows += len(wanted)
    tally.in_flight += sum(len(kill.sent) for kill in seen)
    tally.repeats += sum(count - 1 for count in counts.values())
    tally.foreign_repeats += sum(count > 1 and event_id not in flown for event_id, count in counts.items())
    tally.lost += sum(not _is_at(state[event_id], moment) for event_id, moment in wanted.items())
    tally.refused += sum(one["status"] == 429 for one in requests)
    for event_id, at in writes:
        tally.after_applied += any(event_id in kill.applied and at > kill.at for kill in seen)


def _is_at(event: Mapping[str, object], moment: str) -> bool:
    return datetime.fromisoformat(str(event["start_time"])) == datetime.fromisoformat(moment)


async def run_campaign(kills: int, appointments: int, seed: int) -> Tally:
    """So many kills, and more until one of them has met a row under way: a busy machine may start slowly."""
    tally, dice = Tally(), random.Random(seed)
    async with serve(appointments) as server:
        while tally.kills < kills or not tally.in_flight:
            await run_job(server, tally, dice, max(2, kills - tally.kills))
            sys.stdout.write(f"{tally}\n")
    return tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--appointments", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    ended = asyncio.run(run_campaign(given.kills, given.appointments, given.seed))
    sys.exit(0 if ended.holds else 1)
