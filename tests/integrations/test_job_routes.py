"""Jobs on the web, on Starlette and on FastAPI: routes, event streams, and who may see which job."""

import asyncio
import inspect
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from starlette.applications import Starlette

from leadconnector_async import ConfigurationError, LeadConnector, OAuthApp
from leadconnector_async.integrations import fastapi, job_routes, starlette
from leadconnector_async.integrations.signals import noticing_end
from leadconnector_async.jobs import (
    JobEntry,
    JobProgress,
    JobResult,
    JobService,
    JobSummary,
    RowFault,
    RowOutcome,
    Stopped,
)
from leadconnector_async.jobs.journal.database import JOURNAL
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import FAST, SLOW, week_later, writes
from .backends import allow, serve, sign_in

pytestmark = pytest.mark.sandbox(appointments=60, limits=FAST)
Json = dict[str, Any]


def make_app(framework: str, backend_options: Json, folder: Path, **options: Any) -> tuple[Any, Any]:
    """The application and its jobs."""
    if framework == "fastapi":
        routes = fastapi.JobRoutes(fastapi.Backend(**backend_options), folder, take_over_every=0.05, **options)
        app: Any = FastAPI(lifespan=routes.lifespan)
        app.include_router(routes.router)
    else:
        plain = job_routes.JobRoutes(starlette.Backend(**backend_options), folder, take_over_every=0.05, **options)
        routes, app = plain, Starlette(routes=plain.routes, lifespan=plain.lifespan)  # type: ignore[assignment]
    starlette.install_error_handlers(app)
    return app, routes


@pytest.fixture(params=["starlette", "fastapi"])
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def browser(
    framework: str, sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in at the sandbox's location."""
    app, _ = make_app(framework, {"client": client, "authorize": allow}, tmp_path)
    async with serve(app) as browser:
        browser.headers.update(sign_in(sandbox.location_id))
        yield browser


async def wait_for(browser: httpx.AsyncClient, path: str, phase: str) -> Json:
    async with asyncio.timeout(60):
        while (told := (await browser.get(path)).json())["phase"] != phase:
            await asyncio.sleep(0.02)
    return dict(told)


def read_events(text: str) -> list[tuple[str, str, Json]]:
    """Name, id and data of each event."""
    blocks = [dict(line.split(": ", 1) for line in one.splitlines()) for one in text.split("\n\n") if one]
    return [(one["event"], one["id"], json.loads(one["data"])) for one in blocks if "event" in one]


async def test_a_job_from_its_submission_to_its_result(sandbox: Sandbox, browser: httpx.AsyncClient) -> None:
    """Progress, list, events and result; and a name that is taken."""
    rows = [*week_later(sandbox, 3), {"event_id": "nowhere", "title": "x"}]
    begun = await browser.post("/jobs/day", json=rows)
    assert (begun.status_code, begun.headers["location"], begun.json()["total"]) == (202, "/jobs/day", 4)
    assert (await browser.post("/jobs/day", json=rows)).status_code == 409
    assert (await wait_for(browser, "/jobs/day", "refused"))["faults"][0]["line"] == 4
    assert (await browser.post("/jobs/day/resume")).status_code == 409
    assert (await browser.post("/jobs/day/resume?skip_refused=true")).status_code == 200
    done = await wait_for(browser, "/jobs/day", "done")
    assert (done["applied"], done["failed"]) == (3, 1)
    [entry] = (await browser.get("/jobs")).json()
    assert (entry["name"], entry["phase"]) == ("day", "done")
    result = (await browser.get("/jobs/day/result")).json()
    assert ([row["line"] for row in result["rows"]], result["next_page"]) == ([4], None)
    page = (await browser.get("/jobs/day/result?state=applied&after=1&most=1")).json()
    assert ([row["line"] for row in page["rows"]], page["next_page"]) == ([2], 2)
    assert (await browser.post("/jobs/day/cancel")).status_code == 409
    assert len(writes(sandbox)) == 3


async def test_events_end_with_the_job(sandbox: Sandbox, browser: httpx.AsyncClient) -> None:
    """Each has a new id; who connects again with the last one is told to stop, or gets what is new."""
    rows = week_later(sandbox, 40)
    await browser.post("/jobs/day", json=rows)
    events = read_events((await browser.get("/jobs/day/events", timeout=60)).text)
    assert [name for name, _, _ in events] == ["progress"] * (len(events) - 1) + ["end"]
    assert (events[-1][2]["phase"], events[-1][2]["applied"]) == ("done", 40)
    last_id = {"last-event-id": events[-1][1]}
    assert (await browser.get("/jobs/day/events", headers=last_id)).status_code == 204
    again = await browser.get("/jobs/day/events", headers={"last-event-id": "running-1-1-0-0"})
    assert [name for name, _, _ in read_events(again.text)] == ["progress", "end"]
    assert (await browser.get("/jobs/night/events")).status_code == 404


async def test_a_paused_job_is_resumed_and_cancelled(
    sandbox: Sandbox, framework: str, client: LeadConnector, tmp_path: Path
) -> None:
    """By requests, whatever it is doing."""
    app, routes = make_app(framework, {"client": client, "authorize": allow}, tmp_path, options=SLOW)
    async with serve(app) as browser:
        browser.headers.update(sign_in(sandbox.location_id))
        await browser.post("/jobs/day", json=week_later(sandbox, 60))
        await wait_for(browser, "/jobs/day", "running")
        assert (await browser.post("/jobs/day/pause")).json()["phase"] == "paused"
        assert (await browser.post("/jobs/day/resume")).json()["phase"] == "running"
        await browser.post("/jobs/day/cancel")
        done = await wait_for(browser, "/jobs/day", "done")
        assert done["applied"] == len(writes(sandbox)) < 60
    with pytest.raises(ConfigurationError, match=r"lifespan=jobs\.lifespan"):
        _ = routes.service


async def test_rows_can_be_json_lines(sandbox: Sandbox, browser: httpx.AsyncClient) -> None:
    """Cut anywhere by the network, with empty lines, and with or without a line break at the end."""
    lines = "\n\n".join(json.dumps(row) for row in week_later(sandbox, 5)).encode()

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(lines), 7):
            yield lines[at : at + 7]

    headers = {"content-type": "application/x-ndjson; charset=utf-8"}
    response = await browser.post("/jobs/day", content=stream(), headers=headers)
    assert (response.status_code, response.json()["total"]) == (202, 5)
    assert (await wait_for(browser, "/jobs/day", "done"))["applied"] == 5


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 422),
        (b"[1]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"\xff", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'[{"event_id": "x", "colour": "red"}]', "application/json", 422),
        (b'{"event_id": "x", "title": "x"}\n[]\n', "application/x-ndjson", 422),
        (b'{"event_id": "\xff"}', "application/x-ndjson", 422),
        (b"x" * (1024 * 1024 + 1), "application/x-ndjson", 413),
        (b" " * (16 * 1024 * 1024 + 1), "application/json", 413),
    ],
)
async def test_a_body_that_is_no_plan_leaves_nothing(
    body: bytes, kind: str, status: int, browser: httpx.AsyncClient, tmp_path: Path
) -> None:
    """And is a problem that says so."""
    response = await browser.post("/jobs/day", content=body, headers={"content-type": kind})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert list(tmp_path.glob("*.job")) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_a_form_of_another_website_submits_nothing(
    kind: str | None, sandbox: Sandbox, browser: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Browsers send these with the cookies of whoever visits it, and ask nobody."""
    rows = json.dumps(week_later(sandbox, 1)).encode()
    headers = {} if kind is None else {"content-type": kind}
    refused = await browser.post("/jobs/day", content=rows, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (415, "plan_type")
    assert list(tmp_path.glob("*.job")) == []


async def test_a_server_that_ends_refuses_jobs_as_one_that_is_away(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Whoever has sent its rows meanwhile may send them again, to the next server: there is no job."""
    app, routes = make_app("starlette", {"client": client, "authorize": allow}, tmp_path)

    async def stream() -> AsyncIterator[bytes]:
        yield b"["
        routes.service.stop()
        yield json.dumps(week_later(sandbox, 1)).encode()[1:]

    async with serve(app) as browser:
        headers = {**sign_in(sandbox.location_id), "content-type": "application/json"}
        refused = await browser.post("/jobs/day", content=stream(), headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (503, "stopping")
        assert int(refused.headers["retry-after"]) > 0
        assert list(tmp_path.glob("*.job")) == []


async def test_a_client_that_leaves_while_it_sends_rows_leaves_nothing(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Neither a job nor an error; the name is free."""
    app, _ = make_app("starlette", {"client": client, "authorize": allow}, tmp_path)
    async with app.router.lifespan_context(app):
        messages: list[Json] = [
            {"type": "http.request", "body": b'{"event_id": "x", "title": "x"}\n' * 5_000, "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Json] = []

        async def receive() -> Json:
            return messages.pop(0)

        async def send(message: Json) -> None:
            sent.append(message)

        headers = {**sign_in(sandbox.location_id), "content-type": "application/x-ndjson"}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/jobs/day",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await app(scope, receive, send)
        assert list(tmp_path.glob("*.job")) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=1000000001", "after"),
        (f"after={2**62}", "after"),
        ("most=0", "most"),
        ("most=1001", "most"),
        ("state=lost", "state"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_the_senders_fault(
    query: str, field: str, browser: httpx.AsyncClient
) -> None:
    """It is refused by name, and never an error of the service, which somebody would be woken up for."""
    response = await browser.get(f"/jobs/day/result?{query}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(("text", "status"), [("True", 404), ("FALSE", 404), ("", 422), ("1", 422), ("maybe", 422)])
async def test_a_flag_is_true_or_false(text: str, status: int, browser: httpx.AsyncClient) -> None:
    """Also as Python writes it. Another word is not taken for no: the caller would not learn why nothing runs."""
    response = await browser.post(f"/jobs/day/resume?skip_refused={text}")
    assert response.status_code == status


@pytest.mark.parametrize(("location", "longest"), [("L" * 20, 40), ("L" * 24, 39), ("L" * 62, 1)])
async def test_a_name_has_room_beside_its_location(
    sandbox: Sandbox, framework: str, tmp_path: Path, location: str, longest: int
) -> None:
    """One that is too long for both together is refused as any other, and not as an error of the service."""
    options: Json = {"token": sandbox.token, "location_id": location, "base_url": sandbox.url}
    app, _ = make_app(framework, {**options, "authorize": lambda *_: True}, tmp_path)
    async with serve(app) as browser:
        assert (await browser.get(f"/jobs/{'n' * longest}")).status_code == 404
        refused = await browser.get(f"/jobs/{'n' * (longest + 1)}")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "name")


@pytest.mark.parametrize("name", ["a.b", "x" * 41, "a%2Fb", "%2e%2e", "a%5Cb", "a%23b", "%C3%BC", "a%00"])
async def test_a_name_leads_nowhere_else(name: str, browser: httpx.AsyncClient, tmp_path: Path) -> None:
    """Not into another folder, URL or location."""
    for method, path in (("GET", name), ("POST", name), ("GET", f"{name}/events"), ("POST", f"{name}/cancel")):
        assert (await browser.request(method, f"/jobs/{path}", json=[])).status_code in (404, 405, 422)
    assert list(tmp_path.iterdir()) == []


async def connect_all(sandbox: Sandbox) -> OAuthApp:
    """An app that all locations have installed."""
    oauth = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    for location_id in sandbox.location_ids:
        await oauth.exchange_code(sandbox.issue_code(location_id=location_id))
    return oauth


@pytest.mark.sandbox(appointments=60, limits=FAST, locations=2)
async def test_nobody_sees_a_job_of_a_location_that_is_not_theirs(
    sandbox: Sandbox, framework: str, tmp_path: Path
) -> None:
    """Nor can they change it, take its name, or put rows of another location into a job of theirs."""
    mine, theirs = sandbox.location_ids
    oauth = await connect_all(sandbox)
    options: Json = {"oauth": oauth, "base_url": sandbox.url, "authorize": allow}
    app, _ = make_app(framework, options, tmp_path)
    rows = [{"event_id": one, "title": "theirs"} for one in sandbox.find_appointment_ids(theirs)[:3]]
    async with serve(app) as browser:
        at = f"/locations/{theirs}/jobs"
        assert (await browser.post(f"{at}/day", json=rows, headers=sign_in(theirs))).status_code == 202
        browser.headers.update(sign_in(mine))
        paths = ["", "/day", "/day/events", "/day/result"]
        answers = [await browser.get(f"{at}{path}") for path in paths]
        answers += [await browser.post(f"{at}/day{path}", json=[]) for path in ("", "/pause", "/resume", "/cancel")]
        assert {one.status_code for one in answers} == {403}
        assert (await browser.get(f"/locations/{mine}/jobs")).json() == []
        assert (await browser.get(f"/locations/{mine}/jobs/day")).status_code == 404
        foreign = [{**row, "location_id": theirs} for row in rows]
        refused = await browser.post(f"/locations/{mine}/jobs/day", json=foreign)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "location_id")
        endless = await browser.post(
            f"/locations/{mine}/jobs/day", json=[{**rows[0], "location_id": "x" * 100_000}]
        )
        assert (endless.status_code, len(endless.content) < 2_000) == (422, True)
        own = [{"event_id": one, "title": "mine"} for one in sandbox.find_appointment_ids(mine)[:2]]
        assert (await browser.post(f"/locations/{mine}/jobs/day", json=own)).status_code == 202
        assert (await wait_for(browser, f"/locations/{mine}/jobs/day", "done"))["applied"] == 2
        browser.headers.update(sign_in(theirs))
        assert (await wait_for(browser, f"{at}/day", "done"))["applied"] == 3


@pytest.mark.sandbox(appointments=60, limits=FAST, locations=2)
async def test_a_broken_job_of_another_location_is_in_nobodys_way(
    sandbox: Sandbox, framework: str, tmp_path: Path
) -> None:
    """The jobs of a location are listed, whatever has become of the files of others."""
    mine, theirs = sandbox.location_ids
    oauth = await connect_all(sandbox)
    app, _ = make_app(framework, {"oauth": oauth, "base_url": sandbox.url, "authorize": allow}, tmp_path)
    async with serve(app) as browser:
        for location_id in (mine, theirs):
            rows = [{"event_id": sandbox.find_appointment_ids(location_id)[0], "title": "x"}]
            url = f"/locations/{location_id}/jobs/day"
            browser.headers.update(sign_in(location_id))
            assert (await browser.post(url, json=rows)).status_code == 202
            await wait_for(browser, url, "done")
        (tmp_path / f"{theirs}.day.job" / JOURNAL).write_bytes(b"not a journal" * 1000)
        assert (await browser.get(f"/locations/{theirs}/jobs")).status_code == 503
        browser.headers.update(sign_in(mine))
        listed = await browser.get(f"/locations/{mine}/jobs")
        assert [one["name"] for one in listed.json()] == ["day"]


SENT = {
    ("/jobs", "get"): {},
    ("/jobs/{name}", "get"): {},
    ("/jobs/{name}", "post"): {},
    ("/jobs/{name}/events", "get"): {"Last-Event-ID"},
    ("/jobs/{name}/result", "get"): {"state", "after", "most"},
    ("/jobs/{name}/pause", "post"): {},
    ("/jobs/{name}/resume", "post"): {"skip_refused"},
    ("/jobs/{name}/cancel", "post"): {},
}
"""What a request of each route may have beside its path."""


async def test_the_description_of_the_routes_is_complete(client: LeadConnector, tmp_path: Path) -> None:
    """Every parameter is described, and so is the body of a submission; the document is valid."""
    for options, prefix in (({}, ""), ({"location": "path"}, "/locations/{location_id}")):
        app, _ = make_app("fastapi", {"authorize": allow, "client": client, **options}, tmp_path)
        document = app.openapi()
        validate(document)
        assert document["paths"].keys() == {prefix + path for path, _ in SENT}
        for (path, method), sent in SENT.items():
            operation = document["paths"][prefix + path][method]
            named = {parameter["name"] for parameter in operation.get("parameters", ())}
            in_path = {part[1:-1] for part in (prefix + path).split("/") if part.startswith("{")}
            assert named == in_path | {*sent}
            assert operation["summary"]
        body = document["paths"][f"{prefix}/jobs/{{name}}"]["post"]["requestBody"]
        assert body["content"]["application/json"]["schema"]["items"]["properties"].keys() == {"event_id"}


async def test_responses_match_the_description(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Each field of progress, list and result has its schema, and the events are a stream of their own kind."""
    app, _ = make_app("fastapi", {"authorize": allow, "client": client}, tmp_path)
    document = app.openapi()
    rows = [*week_later(sandbox, 1), {"event_id": "nowhere", "title": "x"}]
    shown: dict[tuple[str, str], httpx.Response] = {}
    async with serve(app) as browser:
        browser.headers.update(sign_in(sandbox.location_id))
        shown["/jobs/{name}", "post"] = await browser.post("/jobs/day", json=rows)
        await wait_for(browser, "/jobs/day", "refused")
        shown["/jobs/{name}", "get"] = await browser.get("/jobs/day")
        shown["/jobs/{name}/resume", "post"] = await browser.post("/jobs/day/resume?skip_refused=true")
        await wait_for(browser, "/jobs/day", "done")
        shown["/jobs", "get"] = await browser.get("/jobs")
        shown["/jobs/{name}/result", "get"] = await browser.get("/jobs/day/result?state=applied&state=refused")
        stream = await browser.get("/jobs/day/events")
    for (path, method), response in shown.items():
        described = document["paths"][path][method]["responses"][str(response.status_code)]
        schema = described["content"]["application/json"]["schema"]
        OAS31Validator({**schema, "components": document["components"]}).validate(response.json())
    schemas = document["components"]["schemas"]
    for kind in (JobEntry, JobProgress, JobResult, JobSummary, RowFault, RowOutcome, Stopped):
        assert schemas[kind.__name__]["properties"].keys() == {*kind.__struct_fields__}
    assert [row["state"] for row in shown["/jobs/{name}/result", "get"].json()["rows"]] == ["applied", "refused"]
    events = document["paths"]["/jobs/{name}/events"]["get"]["responses"]
    assert ([*events["200"]["content"]], "content" in events["204"]) == (["text/event-stream"], False)
    assert stream.headers["content-type"].partition(";")[0] == "text/event-stream"


def test_the_routes_look_for_dead_processes_as_often_as_the_service() -> None:
    """Every two seconds, which is what `JobService` promises by itself."""
    of_routes, of_service = (
        inspect.signature(one).parameters["take_over_every"].default for one in (job_routes.JobRoutes, JobService)
    )
    assert of_routes == of_service == 2.0


def test_an_application_that_ends_first_disturbs_no_signal() -> None:
    """Of two in one process, the later one restores the handler of the first, whose loop is closed by then."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))

    async def run_both() -> None:
        first, second = noticing_end(lambda: None), noticing_end(lambda: None)
        for one in (first, second):
            one.__enter__()
        for one in (first, second):
            one.__exit__(None, None, None)

    try:
        asyncio.run(run_both())
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


async def test_event_streams_end_when_the_process_is_told_to_end(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Before the lifespan does, as servers wait for them; the server's own handler is called, and restored."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    own = signal.getsignal(signal.SIGTERM)
    try:
        app, routes = make_app("starlette", {"client": client, "authorize": allow}, tmp_path, options=SLOW)
        async with serve(app) as browser:
            browser.headers.update(sign_in(sandbox.location_id))
            await browser.post("/jobs/day", json=week_later(sandbox, 40))
            listening = asyncio.create_task(browser.get("/jobs/day/events", timeout=60))
            await wait_for(browser, "/jobs/day", "running")
            signal.raise_signal(signal.SIGTERM)
            events = read_events((await listening).text)
            assert "end" not in [name for name, _, _ in events]
            assert (heard, routes.service.is_running) == ([signal.SIGTERM], False)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
