"""Clients that are generated from OpenAPI documents: one of the how-to's, and one of the routes of jobs.

Not part of the suite: `pytest tests/generated_client.py`, which `.ci/run` does.
"""

import importlib
import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest

from leadconnector_async import LeadConnector, OAuthApp
from leadconnector_async.integrations.fastapi import install_error_handlers
from leadconnector_async.sandbox import Sandbox

from .integrations.backends import allow, sign_in
from .integrations.test_fastapi import ADA, make_clinic
from .integrations.test_job_routes import make_app
from .jobs.jobbing import FAST, week_later

ZONE = timezone(timedelta(hours=-5))


def generate(document: object, package: str, folder: Path) -> None:
    """As a package; a part of the document that it cannot use is an error."""
    (folder / "openapi.json").write_text(json.dumps(document))
    command = [str(Path(sys.executable).parent / "openapi-python-client"), "generate", "--fail-on-warning"]
    (folder / "config.yml").write_text("post_hooks: []\n")
    options = [
        "--path",
        "openapi.json",
        "--meta",
        "none",
        "--output-path",
        package,
        "--config",
        "config.yml",
    ]
    made = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    assert made.returncode == 0, made.stdout + made.stderr


async def test_a_generated_client_reads_an_appointment(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And changes it: times are times, what is left out stays, and a problem is an object of its own."""
    oauth = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    await oauth.exchange_code(sandbox.issue_code())
    app = make_clinic(oauth, sandbox)
    generate(app.openapi(), "clinic_client", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    models = importlib.import_module("clinic_client.models")
    calls = "clinic_client.api.default"
    read = importlib.import_module(f"{calls}.read_appointment_locations_location_id_appointments_event_id_get")
    change = importlib.import_module(f"{calls}.change_appointment_locations_location_id_appointments_event_id_put")
    client = importlib.import_module("clinic_client").Client(
        base_url="http://clinic", headers=ADA, httpx_args={"transport": httpx.ASGITransport(app)}
    )
    where = {"location_id": sandbox.location_id, "event_id": sandbox.appointment_ids[0], "client": client}
    booked = sandbox.appointment(where["event_id"])
    async with app.router.lifespan_context(app):
        found = await read.asyncio(**where)
        assert isinstance(found, models.Appointment)
        assert (found.id, found.title, found.start_time) == (where["event_id"], booked.title, booked.start_time)
        start = datetime(2027, 3, 9, 9, tzinfo=ZONE)
        update = models.AppointmentUpdate(
            start_time=start,
            end_time=start + timedelta(minutes=30),
            assigned_user_id=booked.assigned_user_id,
            ignore_free_slot_validation=True,
        )
        moved = await change.asyncio(**where, body=update)
        assert isinstance(moved, models.Appointment), moved
        assert (moved.start_time, moved.title) == (start, booked.title)
        problem = await read.asyncio(**{**where, "event_id": "unknown"})
        assert isinstance(problem, models.Problem)
        assert (problem.status, problem.code) == (404, "invalid_event")


@pytest.mark.sandbox(appointments=20, limits=FAST)
async def test_a_generated_client_runs_a_job(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its submission to its result, each of which is an object of its own; events are text."""
    app, _ = make_app("fastapi", {"client": client, "authorize": allow}, tmp_path / "jobs")
    install_error_handlers(app)
    generate(app.openapi(), "jobs_client", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    models = importlib.import_module("jobs_client.models")
    submit, read, result, follow = (
        importlib.import_module(f"jobs_client.api.jobs.{name}")
        for name in (
            "submit_jobs_name_post",
            "read_jobs_name_get",
            "result_jobs_name_result_get",
            "follow_jobs_name_events_get",
        )
    )
    caller = importlib.import_module("jobs_client").Client(
        base_url="http://clinic",
        headers=sign_in(sandbox.location_id),
        httpx_args={"transport": httpx.ASGITransport(app)},
    )
    async with app.router.lifespan_context(app):
        rows = [models.SubmitJobsNamePostBodyItem.from_dict(row) for row in week_later(sandbox, 3)]
        begun = await submit.asyncio("day", client=caller, body=rows)
        assert isinstance(begun, models.JobProgress), begun
        events = await follow.asyncio("day", client=caller)
        assert "event: end" in events
        done = await read.asyncio("day", client=caller)
        assert (done.phase, done.applied) == ("done", 3)
        found = await result.asyncio("day", client=caller, state=[models.ResultJobsNameResultGetStateItem.APPLIED])
        assert [row.line for row in found.rows] == [1, 2, 3]
        problem = await read.asyncio("night", client=caller)
        assert isinstance(problem, models.Problem)
