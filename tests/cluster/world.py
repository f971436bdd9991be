"""A sandbox with several locations in a process of its own, and plans that move all of it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import aiohttp
from msgspec import Struct

from ..cli.shell import COMMAND
from .judge import Logged, Verdict, judge

LOG_SIZE = 1_000_000


class Account(Struct):
    """What the sandbox prints, and its limit."""

    url: str
    token: str
    location_id: str
    tokens: dict[str, str]
    max_requests: int
    interval: float


class Calendar:
    """The server, seen from outside."""

    def __init__(self, account: Account) -> None:
        self.account = account
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
        described = {name: getattr(account, name) for name in account.__struct_fields__}
        self.environment = {**kept, "CLUSTER_ACCOUNT": json.dumps(described)}

    async def ask(self, name: str) -> list[Logged]:
        """`appointments` or `requests`."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.account.url}/_sandbox/{name}") as answer,
        ):
            found: list[Logged] = await answer.json()
            return found

    async def count_writes(self) -> int:
        """How many changes were applied."""
        return sum(bool(one["applied"]) for one in await self.ask("requests"))


class Plan(Struct):
    """Everybody moves by a week."""

    rows: list[dict[str, object]]
    starts: dict[str, str]
    """Wanted ones by event."""
    made_at: float
    """By the clock of the sandbox's log: `time.monotonic`."""

    async def judge(self, calendar: Calendar, states: Mapping[str, str]) -> Verdict:
        """What became of it, with the states of its rows in the journal."""
        log = [one for one in await calendar.ask("requests") if float(str(one["at"])) >= self.made_at]
        return judge(self.starts, states, log, await calendar.ask("appointments"))


@asynccontextmanager
async def serve(
    locations: int, appointments: int, max_requests: int = 100, interval: float = 1.0
) -> AsyncIterator[Calendar]:
    """`appointments` of each location, and the limit of each."""
    sizes = {"locations": locations, "appointments": appointments, "log-size": LOG_SIZE}
    limits = {"max-requests": max_requests, "interval": interval}
    options = [text for name, value in (sizes | limits).items() for text in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", *options, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await process.stdout.readline())
        tokens = ready.get("tokens", {ready["location_id"]: ready["token"]})
        yield Calendar(Account(ready["url"], ready["token"], ready["location_id"], tokens, max_requests, interval))
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()


async def plan_week(calendar: Calendar) -> Plan:
    """Move every single appointment of all locations by a week, whoever else has the time."""
    events = [one for one in await calendar.ask("appointments") if not one["rrule"]]
    rows: list[dict[str, object]] = []
    for event in events:
        start, end = (_add_week(str(event[name])) for name in ("start_time", "end_time"))
        ids = {"event_id": event["id"], "location_id": event["location_id"]}
        rows.append({**ids, "start_time": start, "end_time": end, "ignore_free_slot_validation": True})
    return Plan(rows, {str(row["event_id"]): str(row["start_time"]) for row in rows}, time.monotonic())


def _add_week(text: str) -> str:
    return (datetime.fromisoformat(text) + timedelta(weeks=1)).isoformat()
