"""The vendor's own SDKs, pointed at the sandbox: `pytest tests/vendors_sdk.py`, with the extra `bench`.

Node's are installed into a temporary folder, where npm is at hand; `VENDORS_NODE_SDK` names a folder in which it is
installed already. Not a part of the default run, because that does without the SDKs.

Which calls there are is asked of the SDKs: each method is run once with placeholders, and shows its route. A method
whose route the sandbox has must succeed with real arguments; any other must be listed below, and gets a clear 404.
"""

import asyncio
import inspect
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from highlevel import HighLevel

from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.sandbox.models import BookedNote
from leadconnector_async.sandbox.routes import find_route

from .benchmarks.call import open_vendors

NODE_SDK = "@gohighlevel/api-client@3.1.0"
SCRIPT = Path(__file__).with_suffix(".cjs")
MISSING = Path(__file__).parent / "samples" / "vendors_calls_without_route.json"
SERVICES = ("calendars", "contacts", "oauth", "users", "locations")
TOKEN_ROUTES = {
    "/oauth/token": "oauth_token",
    "/oauth/locationToken": "oauth_location_token",
    "/oauth/location-token": "oauth_location_token",
}
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # how Python's sends forms
START = datetime(2027, 6, 1, 13, tzinfo=UTC)
BACK = "http://127.0.0.1:9/callback"
SCOPE = "calendars.readonly calendars/events.readonly"


class Call(NamedTuple):
    """A method of an SDK, and its route."""

    service: str
    name: str
    parameters: tuple[str, ...]
    method: str
    path: str

    @property
    def operation(self) -> str | None:
        """What the sandbox calls it; `None` if it is not part of the sandbox."""
        if self.method == "POST" and self.path in TOKEN_ROUTES:
            return TOKEN_ROUTES[self.path]
        found = find_route(self.method, self.path)
        return found[0].operation if found else None

    def __str__(self) -> str:
        return f"{self.service}.{self.name} {self.method} {self.path}"


def in_milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def build_arguments(sandbox: Sandbox) -> dict[str, tuple[dict[str, Any], Any]]:
    """Of each operation of the sandbox: parameters and body, by the names of the API."""
    known = sandbox.appointment(sandbox.appointment_ids[0])
    changed, deleted, noted = sandbox.appointment_ids[1:4]
    notes = [BookedNote(f"note{number}", "x", None, known.contact_id) for number in range(2)]
    sandbox.store.notes[noted] += notes
    location, owner = {"locationId": sandbox.location_id}, {"calendarId": known.calendar_id}
    times = {"startTime": START.isoformat(), "endTime": (START + timedelta(minutes=15)).isoformat()}
    span = {"startTime": in_milliseconds(START), "endTime": in_milliseconds(START + timedelta(hours=8))}
    range_of_days = {"startDate": span["startTime"], "endDate": span["endTime"]}
    agency = {"companyId": sandbox.company_id}
    return {
        "create_appointment": ({}, {**owner, **location, "contactId": known.contact_id, **times}),
        "get_appointment": ({"eventId": known.id}, None),
        "update_appointment": ({"eventId": changed}, {"title": "changed"}),
        "create_block_slot": ({}, {**owner, **location, **times}),
        "update_block_slot": ({"eventId": known.id}, {**owner, **location, "title": "Lunch"}),
        "list_events": ({**location, **owner, **span}, None),
        "delete_event": ({"eventId": deleted}, {}),
        "list_blocked_slots": ({**location, **owner, **span}, None),
        "list_notes": ({"appointmentId": noted, "limit": 10, "offset": 0}, None),
        "create_note": ({"appointmentId": noted}, {"body": "a note"}),
        "update_note": ({"appointmentId": noted, "noteId": notes[0].id}, {"body": "another"}),
        "delete_note": ({"appointmentId": noted, "noteId": notes[1].id}, None),
        "get_free_slots": (
            {**owner, **range_of_days, "timezone": "Europe/London", "userIds": [known.assigned_user_id]},
            None,
        ),
        "list_calendars": (location, None),
        "list_groups": (location, None),
        "get_calendar": (owner, None),
        "get_duplicate_contact": ({**location, "email": sandbox.contact(known.contact_id).email}, None),
        "list_contact_appointments": ({"contactId": known.contact_id}, None),
        "get_contact": ({"contactId": known.contact_id}, None),
        "list_users": (location, None),
        "get_user": ({"userId": known.assigned_user_id}, None),
        "get_location": (location, None),
        "list_installed_locations": ({**agency, "appId": sandbox.app_id, "isInstalled": True}, None),
        "oauth_location_token": ({}, {**agency, **location}),
    }


def build_grant(sandbox: Sandbox, *, camel: bool) -> dict[str, str]:
    names = ("clientId", "clientSecret", "grantType") if camel else ("client_id", "client_secret", "grant_type")
    keys = dict(zip(names, (sandbox.client_id, sandbox.client_secret, "authorization_code"), strict=True))
    return {**keys, "code": sandbox.issue_code()}


def check_listed(sdk: str, calls: list[Call]) -> None:
    """What the sandbox does without is listed by name, and nothing else is."""
    listed = json.loads(MISSING.read_text())[sdk]
    assert sorted(str(call) for call in calls if call.operation is None) == listed
    assert len([call for call in calls if call.operation]) >= 20


def check_requests(sandbox: Sandbox, calls: list[Call], results: list[Any]) -> None:
    """Each call was one request: of a route of the sandbox with a 2xx, or else a 404 that says so."""
    requests = list(sandbox.requests)
    assert len(requests) == len(calls)
    for call, request, result in zip(calls, requests, results, strict=True):
        assert request.operation == call.operation, call
        wanted = (200, 201) if call.operation else (404,)
        assert request.status in wanted, f"{call}: {request.status} {result}"


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    return {"appointments": 20, "varied": True, "limits": Limits(max_requests=1000)}


class PythonSDK:
    """`gohighlevel-api-client`."""

    @staticmethod
    def list_methods(sdk: Any) -> Iterator[tuple[str, str, Callable[..., Any]]]:
        for service in SERVICES:
            for name, method in inspect.getmembers(getattr(sdk, service), inspect.iscoroutinefunction):
                if not name.startswith("_") and "options" in inspect.signature(method).parameters:
                    yield service, name, method

    @classmethod
    async def list_calls(cls) -> list[Call]:
        """By running each method on a connection that only records."""
        seen: list[httpx.Request] = []

        def record(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(200, json={})

        calls = []
        async with httpx.AsyncClient(transport=httpx.MockTransport(record), base_url="http://vendor") as recorder:
            sdk = HighLevel(private_integration_token="pit-none")
            for service in SERVICES:
                getattr(sdk, service).client = recorder
            for service, name, method in cls.list_methods(sdk):
                parameters = [one for one in inspect.signature(method).parameters if one != "options"]
                await method(**{one: {} if one == "request_body" else "x" for one in parameters})
                calls.append(Call(service, name, tuple(parameters), seen[-1].method, seen[-1].url.path))
            await sdk.http_client.aclose()
        return calls

    @staticmethod
    async def run(sdk: Any, call: Call, parameters: dict[str, Any], body: Any) -> Any:
        """The response, or the error."""
        given = {to_snake(name): value for name, value in parameters.items()}
        chosen = {one: given[one] for one in call.parameters if one in given}
        if call.operation is None:
            chosen = dict.fromkeys(call.parameters, "x")
        if "{noteId}" in call.path:  # the SDK's methods lack this parameter; its options may replace the URL
            notes = call.path.replace("/x/", f"/{parameters['appointmentId']}/")
            chosen["options"] = {"url": notes.replace("{noteId}", parameters["noteId"])}
        if "request_body" in call.parameters:
            chosen["request_body"] = body if body is not None else {}
        try:
            return await getattr(getattr(sdk, call.service), call.name)(**chosen)
        except Exception as error:  # the log of the sandbox decides; this is for the message
            return error


def to_snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


async def test_pythons_sdk_does_all_that_the_sandbox_claims(sandbox_options: dict[str, Any]) -> None:
    """Every method of the five services; `Version: v3`."""
    calls = await PythonSDK.list_calls()
    check_listed("python", calls)
    async with Sandbox(**sandbox_options) as sandbox:
        arguments = build_arguments(sandbox)
        arguments["oauth_token"] = ({}, build_grant(sandbox, camel=True))
        sandbox.issue_code(user_type="Company")
        of_location: Any = open_vendors(sandbox.url, sandbox.token)
        of_agency: Any = open_vendors(sandbox.url, sandbox.issue_token(user_type="Company"))
        results = []
        for call in calls:
            parameters, body = arguments.get(call.operation or "", ({}, {}))
            sdk = of_agency if call.service == "oauth" else of_location
            results.append(await PythonSDK.run(sdk, call, parameters, body))
        for sdk in (of_location, of_agency):
            await sdk.http_client.aclose()
        check_requests(sandbox, calls, results)


async def test_pythons_sdk_connects_an_app(sandbox_options: dict[str, Any]) -> None:
    """Authorize page, code, refresh, and a location's token from the agency's; each of the tokens reads."""
    async with Sandbox(**sandbox_options) as sandbox:

        class Local(HighLevel):  # type: ignore[misc]
            BASE_URL = sandbox.url

        keys = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
        app: Any = Local(**keys)
        app.oauth.MARKETPLACE_URL = sandbox.url
        page = app.oauth.get_authorization_url(sandbox.client_id, BACK, SCOPE + " oauth.write")

        async def exchange(more: str, user_type: str) -> dict[str, Any]:
            async with httpx.AsyncClient() as browser:
                response = await browser.get(page + more)
            code = parse_qs(urlsplit(response.headers["location"]).query)["code"][0]
            grant = {"code": code, "grantType": "authorization_code", "userType": user_type, "redirectUri": BACK}
            named = {"clientId": sandbox.client_id, "clientSecret": sandbox.client_secret}
            return dict(await app.oauth.get_access_token({**named, **grant}))

        first = await exchange("", "Location")
        second = await app.oauth.refresh_token(
            first["refreshToken"], *keys.values(), grant_type="refresh_token", user_type="Location"
        )
        agency = await exchange("&user_type=Company", "Company")
        with_agency: Any = Local(**keys, agency_access_token=agency["accessToken"])
        ids = {"companyId": sandbox.company_id, "locationId": sandbox.location_id}
        third = await with_agency.oauth.get_location_access_token(ids)
        clients = [app, with_agency]
        for token in (first, second, third):
            clients.append(Local(**keys, location_access_token=token["accessToken"]))
            assert len((await clients[-1].calendars.get_calendars(sandbox.location_id))["calendars"]) == 11
        assert len({one["accessToken"] for one in (first, second, third)}) == 3
        for client in clients:
            await client.http_client.aclose()


@pytest.fixture(scope="session")
def node_sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is installed; skips the tests without npm."""
    if given := os.environ.get("VENDORS_NODE_SDK"):
        return Path(given)
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm is not at hand")
    folder = tmp_path_factory.mktemp("node")
    quiet = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--silent", "--ignore-scripts")
    subprocess.run([npm, "install", *quiet, "--prefix", str(folder), NODE_SDK], check=True, timeout=110)  # noqa: S603 - npm
    return folder / "node_modules" / "@gohighlevel" / "api-client"


async def run_node(sdk: Path, task: str, **wish: Any) -> Any:
    process = await asyncio.create_subprocess_exec(
        "node", str(SCRIPT), str(sdk), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate(json.dumps({"task": task, **wish}).encode())
    assert process.returncode == 0, errors.decode()
    return json.loads(output)


async def test_nodes_sdk_does_all_that_the_sandbox_claims(sandbox_options: dict[str, Any], node_sdk: Path) -> None:
    """Every method of the five services; `Version: 2023-02-21`."""
    listed = await run_node(node_sdk, "list")
    calls = [
        Call(one["service"], one["name"], tuple(one["parameters"]), one["method"], one["path"]) for one in listed
    ]
    check_listed("node", calls)
    async with Sandbox(**sandbox_options) as sandbox:
        arguments = build_arguments(sandbox)
        arguments["oauth_token"] = ({}, build_grant(sandbox, camel=False))
        sandbox.issue_code(user_type="Company")
        wishes = []
        for call in calls:
            parameters, body = arguments.get(call.operation or "", (None, None))
            wishes.append({**call._asdict(), "params": parameters, "body": body})
        results = await run_node(
            node_sdk,
            "run",
            url=sandbox.url,
            token=sandbox.token,
            agencyToken=sandbox.issue_token(user_type="Company"),
            clientId=sandbox.client_id,
            clientSecret=sandbox.client_secret,
            calls=wishes,
        )
        check_requests(sandbox, calls, results)


async def test_nodes_sdk_connects_an_app(sandbox_options: dict[str, Any], node_sdk: Path) -> None:
    """Authorize page, code, refresh, and a location's token from the agency's; each of the tokens reads."""
    async with Sandbox(**sandbox_options) as sandbox:
        done = await run_node(
            node_sdk,
            "connect",
            url=sandbox.url,
            clientId=sandbox.client_id,
            clientSecret=sandbox.client_secret,
            redirectUri=BACK,
            companyId=sandbox.company_id,
            locationId=sandbox.location_id,
            scope=SCOPE + " oauth.write",
        )
    assert done == {"counts": [11, 11, 11], "refreshed": True}
