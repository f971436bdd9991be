"""The commands, as a user runs them."""

import asyncio
import csv
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from leadconnector_async import (
    AppointmentUpdate,
    DeadlineExceededError,
    LeadConnector,
    OAuthApp,
    RateLimitedError,
    RetryPolicy,
)
from leadconnector_async.cli.demo import DemoReport
from leadconnector_async.cli.demo_steps import Step
from leadconnector_async.jobs import read_plan
from leadconnector_async.sandbox import Sandbox

from ..make_clinic_day import PATH, build_plan
from ..sandbox.receiver import serve_receiver

COMMAND = [sys.executable, "-c", "from leadconnector_async.cli import main; main()"]


async def run(*arguments: str) -> tuple[int | None, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def test_the_shipped_plan_is_the_clinic_day() -> None:
    """250 rows: zones, recurring instances, status changes; made by the script beside the tests."""
    assert PATH.read_text() == build_plan()
    rows = read_plan(PATH.read_text().splitlines(keepends=True))
    cells = list(csv.DictReader(PATH.read_text().splitlines()))
    assert len(rows) == 250
    assert sum("_" in row.event_id for row in rows) > 20
    assert len({row["timezone"] for row in cells if row["timezone"]}) >= 3
    assert len({row["appointment_status"] for row in cells}) >= 4


@pytest.mark.campaign(180)
@pytest.mark.timeout(180)
async def test_the_demo_holds_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process is killed half-way; each figure is as it should be, and the words are for people."""
    code, out, err = await run("demo")
    assert code == 0
    assert "All checks passed." in out
    assert "equals the plan" in out
    assert "equals the state before" in out
    assert "13 of 13" in out
    assert "$ leadconnector resume clinic_day.job" in err
    assert "killed half-way" in err
    assert "\x1b" not in out + err


GOOD_STEPS = [
    Step(command="a", exit_code=-9, seconds=1.0, output="", killed=True),
    Step(command="b", exit_code=0, seconds=1.0, output=""),
]


@pytest.mark.parametrize(
    "fault",
    [
        {"steps": []},
        {"steps": GOOD_STEPS[1:]},
        {"steps": [*GOOD_STEPS, Step(command="c", exit_code=1, seconds=1.0, output="")]},
        {"differing": ["x"]},
        {"not_undone": ["x"]},
        {"applied_twice": 1},
        {"faults_triggered": 11},
    ],
)
def test_the_demo_fails_if_anything_does_not_hold(fault: dict[str, object]) -> None:
    """One figure off is enough."""
    good = {"planned": 250, "steps": GOOD_STEPS, "faults_planned": 12, "faults_triggered": 12}
    assert DemoReport(**good).passed  # type: ignore[arg-type]
    assert not DemoReport(**{**good, **fault}).passed  # type: ignore[arg-type]


async def test_the_sandbox_command_prints_one_json_line_and_serves_until_interrupted() -> None:
    """All that it takes to connect, with a token or as an app; an interrupt ends it with exit code 0."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", "--port", "0", "--fault", "get_appointment=503", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    names = ["admin_token", "client_id", "client_secret", "code", "location_id", "location_ids", "token", "url"]
    assert sorted(ready) == [*names, "webhook_key"]
    assert ready["location_ids"] == [ready["location_id"]]
    async with LeadConnector(ready["token"], base_url=ready["url"], location_id=ready["location_id"]) as client:
        event_id = next(csv.DictReader(PATH.read_text().splitlines()))["event_id"]
        assert (await client.get_appointment(event_id)).location_id == ready["location_id"]
    app = OAuthApp(ready["client_id"], ready["client_secret"], base_url=ready["url"])
    assert (await app.exchange_code(ready["code"])).location_id == ready["location_id"]
    process.send_signal(signal.SIGINT)
    assert await process.stdout.read() == b""
    assert await process.wait() == 0


async def test_the_sandbox_command_serves_many_locations_with_a_token_for_each() -> None:
    """Each token works on its own location; the log is as long as was asked for; the first location is as ever."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "sandbox",
        "--locations",
        "3",
        "--appointments",
        "2",
        "--log-size",
        "2",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    expected = Sandbox(appointments=2, locations=3)
    assert ready["location_ids"] == [*expected.location_ids]
    assert [*ready["tokens"]] == ready["location_ids"]
    assert ready["tokens"][ready["location_id"]] == ready["token"]
    for location_id, token in ready["tokens"].items():
        async with LeadConnector(token, base_url=ready["url"], location_id=location_id) as client:
            event_id = expected.find_appointment_ids(location_id)[0]
            assert (await client.get_appointment(event_id)).location_id == location_id
    async with aiohttp.ClientSession() as session, session.get(f"{ready['url']}/_sandbox/requests") as response:
        assert [entry["location_id"] for entry in await response.json()] == ready["location_ids"][1:]
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0


async def test_the_sandbox_command_sends_webhooks() -> None:
    """To the URL that it is given, signed with the key that it prints; not to other machines."""
    async with serve_receiver() as receiver:
        options = ["sandbox", "--appointments", "1", "--webhook-url", receiver.url]
        process = await asyncio.create_subprocess_exec(*COMMAND, *options, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        event_id = Sandbox(appointments=1).appointment_ids[0]
        async with LeadConnector(ready["token"], base_url=ready["url"]) as client:
            await client.update_appointment(event_id, AppointmentUpdate(title="x"))
        async with asyncio.timeout(30):
            while not receiver.got:
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    (event,) = receiver.verify(ready["webhook_key"])
    assert (event.type, event.location_id) == ("AppointmentUpdate", ready["location_id"])
    foreign = ["sandbox", "--webhook-url", "http://example.com/"]
    process = await asyncio.create_subprocess_exec(*COMMAND, *foreign, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"webhooks are posted to loopback only" in said


async def test_the_sandbox_command_counts_each_app_by_itself_if_told_to() -> None:
    """The private token and the OAuth app that it prints."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", "--max-requests", "1", "--interval", "60", "--per-app", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    app = OAuthApp(ready["client_id"], ready["client_secret"], base_url=ready["url"])
    await app.exchange_code(ready["code"])
    once = RetryPolicy(max_attempts=1, deadline=1.0)
    event_id = next(csv.DictReader(PATH.read_text().splitlines()))["event_id"]
    for token in (ready["token"], app.provider(ready["location_id"])):
        async with LeadConnector(token, base_url=ready["url"], retry=once) as client:
            assert await client.get_appointment(event_id)
    async with LeadConnector(ready["token"], base_url=ready["url"], retry=once) as client:
        with pytest.raises((RateLimitedError, DeadlineExceededError)):
            await client.get_appointment(event_id)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0


async def test_the_sandbox_command_serves_calendars_of_every_type_if_told_to() -> None:
    """The same as `Sandbox(varied=True)`; without the flag there are none."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", "--appointments", "1", "--varied", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    async with LeadConnector(ready["token"], base_url=ready["url"], location_id=ready["location_id"]) as client:
        served = {one.id: one.calendar_type for one in await client.list_calendars(show_drafted=True)}
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    expected = Sandbox(appointments=1, varied=True).calendars.find(location_id=ready["location_id"])
    assert served.keys() == {calendar.id for calendar in expected}
    assert {"personal", "collective", "class_booking"} <= {*served.values()}
    plain = Sandbox(appointments=1).calendars.find(location_id=ready["location_id"])
    assert len(plain) < len(served)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--fault", "503"), "503"),
        (("--fault", "update_appointment=maybe"), "503"),
        (("--locations", "0"), "at least 1"),
    ],
)
async def test_a_bad_flag_is_a_usage_error(arguments: tuple[str, ...], hint: str) -> None:
    """Exit code 2, and how to write it."""
    code, out, err = await run("sandbox", *arguments)
    assert (code, out) == (2, "")
    assert hint in err


async def test_without_the_extra_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    """No traceback."""
    hide = "import sys; sys.modules['cyclopts'] = None; from leadconnector_async.cli import main; main()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", hide, stderr=asyncio.subprocess.PIPE)
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"pip install 'leadconnector-async[cli]'" in err
