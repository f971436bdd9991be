"""`leadconnector doctor`: what is wrong with an account is named, with what to do, and nothing is changed."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, FileTokenStore, OAuthApp, SQLTokenStore
from leadconnector_async.cli import checks, connect
from leadconnector_async.cli.arguments import Account
from leadconnector_async.cli.checks import NO_EVENT, check_account
from leadconnector_async.cli.doctor import doctor
from leadconnector_async.cli.findings import Finding
from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.sandbox.oauth import ALL_SCOPES

from ..conftest import MakeClient
from ..raw_server import answer, raw_server
from ..servers import take_port
from .commanding import run

WRITE = "scope calendars/events.write"
READ = "scope calendars/events.readonly"
Capture = pytest.CaptureFixture[str]
Examine = Callable[..., Awaitable[tuple[int, dict[str, dict[str, str]]]]]


@pytest.fixture
def examine(capsys: Capture) -> Examine:
    """The exit code and the checks by name, of `--json`."""

    async def act(account: Account | None = None) -> tuple[int, dict[str, dict[str, str]]]:
        code = await doctor(json_output=True, account=account or Account())
        out, err = capsys.readouterr()
        assert err == ""
        document = json.loads(out)
        assert document["exit_code"] == code
        return code, {one["check"]: one for one in document["checks"]}

    return act


def list_states(checks: dict[str, dict[str, str]], *states: str) -> set[str]:
    return {name for name, one in checks.items() if one["state"] in states}


def list_writes(sandbox: Sandbox) -> list[tuple[str, str]]:
    return [(one.method, one.path) for one in sandbox.requests if one.method != "GET"]


async def test_an_account_that_works_has_a_line_for_each_check(account: Sandbox, capsys: Capture) -> None:
    """On stdout; the token is not shown."""
    assert await doctor() == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "skipped  shared store",
        "ok       token",
        "ok       server",
        "ok       proxy",
        "ok       API",
        "ok       location",
        "ok       calendars",
        "ok       scope calendars.readonly",
        f"ok       {READ}",
        f"ok       {WRITE}",
        "ok       scope contacts.readonly",
        "skipped  clock",
        "ok       limits",
    ]
    assert err == "No check failed.\n"
    assert account.token not in out


@pytest.mark.parametrize("scopes", [None, ("calendars.readonly",), ()])
async def test_nothing_is_ever_written(
    account: Sandbox, bare: pytest.MonkeyPatch, examine: Examine, scopes: Iterable[str] | None
) -> None:
    """One update is sent, of an event that cannot exist, to a status that does not; the state stays."""
    bare.setenv("LEADCONNECTOR_TOKEN", account.issue_token(scopes=scopes))
    before = account.snapshot()
    await examine()
    assert account.snapshot() == before
    assert list_writes(account) == [("PUT", f"/calendars/events/appointments/{NO_EVENT}")]
    (sent,) = account.requests.of("update_appointment")
    assert json.loads(sent.body) == {"appointmentStatus": checks.NO_STATUS}
    assert not sent.applied


async def test_a_read_only_account_sends_no_update(account: Sandbox, examine: Examine) -> None:
    """Not even that one."""
    code, found = await examine(Account(read_only=True))
    assert (code, found[WRITE]["state"]) == (0, "skipped")
    assert list_writes(account) == []


@pytest.mark.parametrize(
    ("scopes", "failed", "warned"),
    [
        (("calendars.readonly", "calendars/events.readonly"), {WRITE}, {"scope contacts.readonly"}),
        (("calendars.readonly", "calendars/events.write", "contacts.readonly"), {READ}, set()),
        (
            ("calendars/events.readonly", "calendars/events.write", "contacts.readonly"),
            {"scope calendars.readonly"},
            set(),
        ),
    ],
)
async def test_a_missing_scope_is_named(
    account: Sandbox,
    bare: pytest.MonkeyPatch,
    examine: Examine,
    scopes: tuple[str, ...],
    failed: set[str],
    warned: set[str],
) -> None:
    """Each by itself, with exit code 4; the token itself is accepted."""
    bare.setenv("LEADCONNECTOR_TOKEN", account.issue_token(scopes=scopes))
    code, found = await examine()
    assert (code, list_states(found, "failed"), list_states(found, "warning")) == (4, failed, warned)
    assert found["API"]["state"] == "ok"


@pytest.mark.parametrize(
    ("name", "value", "check", "code", "text"),
    [
        ("TOKEN", "{token}\n", "token", 2, "pasted with a line break"),
        ("TOKEN", "Bearer{token}", "token", 2, "without that prefix"),
        ("TOKEN", "", "token", 2, "LEADCONNECTOR_TOKEN is not set"),
        ("TOKEN", "pit-00000000-unknown", "API", 4, "Copy the Private Integration token"),
        ("TOKEN_FILE", "/missing", "token", 2, "are both set"),
        ("LOCATION_ID", "", "location", 2, "LEADCONNECTOR_LOCATION_ID is not set"),
        ("LOCATION_ID", "anotherLocation00001", "location", 4, "The location is anotherLocation00001"),
        ("BASE_URL", "http://services.example.com", "server", 2, "use https://"),
        ("ACCESS", "some", "access", 2, "LEADCONNECTOR_ACCESS"),
        ("SHARED", "nonsense://x", "shared store", 2, ""),
    ],
)
async def test_a_setting_that_is_wrong_is_named(
    account: Sandbox,
    bare: pytest.MonkeyPatch,
    examine: Examine,
    name: str,
    value: str,
    check: str,
    code: int,
    text: str,
) -> None:
    """It is the first check that fails, with what to do; the token is not shown."""
    bare.setenv(f"LEADCONNECTOR_{name}", value.format(token=account.token))
    got, found = await examine()
    assert got == code
    assert next(one for one in found.values() if one["state"] == "failed") == found[check]
    assert text in found[check]["text"]
    assert account.token not in json.dumps(found)
    assert list_writes(account) == [] or name == "SHARED"


async def test_every_mistake_is_found_at_once(account: Sandbox, bare: pytest.MonkeyPatch, examine: Examine) -> None:
    """A missing token hides neither a missing location nor a proxy that is away, and nothing is sent."""
    proxy = f"http://me:pass-w0rd@127.0.0.1:{take_port()}"
    for name, value in (("TOKEN", ""), ("LOCATION_ID", ""), ("BASE_URL", "https://services.example.com")):
        bare.setenv(f"LEADCONNECTOR_{name}", value)
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        bare.delenv(name, raising=False)
    bare.setenv("HTTPS_PROXY", proxy)
    code, found = await examine()
    assert (code, list_states(found, "failed")) == (2, {"token", "location", "proxy"})
    assert "correct HTTPS_PROXY" in found["proxy"]["text"]
    assert "pass-w0rd" not in json.dumps(found)
    assert found["API"]["state"] == "skipped"


async def test_a_proxy_that_listens_is_not_to_blame(
    account: Sandbox, bare: pytest.MonkeyPatch, examine: Examine
) -> None:
    """It is shown without its password, and the API beyond it is what fails."""
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        bare.delenv(name, raising=False)
    bare.setenv("LEADCONNECTOR_BASE_URL", "https://services.example.com")
    bare.setattr(checks, "READ", checks.WRITE)
    async with raw_server(*[b"HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n"] * 9) as server:
        bare.setenv("HTTPS_PROXY", server.url.replace("http://", "http://me:pass-w0rd@"))
        code, found = await examine()
        assert server.requests
    assert (code, list_states(found, "failed")) == (5, {"API"})
    assert found["proxy"]["text"] == f"{server.url} accepts connections"
    assert "pass-w0rd" not in json.dumps(found)


async def test_an_agencys_token_is_named(account: Sandbox, bare: pytest.MonkeyPatch, examine: Examine) -> None:
    """The calendar needs one of the Sub-Account."""
    bare.setenv("LEADCONNECTOR_TOKEN", account.issue_token(user_type="Company"))
    code, found = await examine()
    assert code == 4
    assert "Use a token of the Sub-Account" in found["API"]["text"]


async def test_a_server_that_is_away_is_named(account: Sandbox, bare: pytest.MonkeyPatch, examine: Examine) -> None:
    """With the code for what can be tried again later."""
    bare.setattr(checks, "READ", checks.WRITE)
    bare.setenv("LEADCONNECTOR_BASE_URL", f"http://127.0.0.1:{take_port()}")
    code, found = await examine()
    assert (code, list_states(found, "failed")) == (5, {"API"})


@pytest.mark.sandbox(appointments=0, limits=Limits(max_requests=25, daily=4))
async def test_the_limits_are_the_servers(account: Sandbox, examine: Examine) -> None:
    """By the headers of its response, not what is documented."""
    code, found = await examine()
    assert code == 0
    assert found["limits"]["text"] == "25 requests in 10 s, 3 of 4 left today"


@pytest.mark.sandbox(appointments=0, limits=Limits(daily=0))
async def test_a_day_that_is_spent_has_a_code_of_its_own(account: Sandbox, examine: Examine) -> None:
    """As for a job that has to wait for the next day."""
    code, found = await examine()
    assert (code, list_states(found, "failed")) == (8, {"API"})


@pytest.mark.parametrize(
    "kind", ["file", "command", "app in a file", "app in a database", "app in the shared store"]
)
async def test_every_kind_of_account_is_checked(
    account: Sandbox, bare: pytest.MonkeyPatch, tmp_path: Path, examine: Examine, kind: str
) -> None:
    """In a profile as well; a command runs once."""
    bare.delenv("LEADCONNECTOR_TOKEN")
    log, path = tmp_path / "log", tmp_path / "token"
    path.write_text(f"{account.token}\n")
    path.chmod(0o600)
    if kind == "file":
        bare.setenv("LEADCONNECTOR_TOKEN_FILE", str(path))
    elif kind == "command":
        code = f"open({str(log)!r}, 'a').write('x'); print(open({str(path)!r}).read())"
        bare.setenv("LEADCONNECTOR_TOKEN_COMMAND", f'{sys.executable} -c "{code}"')
    else:
        place = f"{tmp_path}/tokens.json" if kind == "app in a file" else f"sqlite:///{tmp_path}/tokens.db"
        store = FileTokenStore(place) if kind == "app in a file" else SQLTokenStore(place)
        app = OAuthApp(account.client_id, account.client_secret, base_url=account.url, store=store)
        await app.exchange_code(account.issue_code(scopes=ALL_SCOPES))
        bare.setenv("LEADCONNECTOR_CLIENT_ID", account.client_id)
        bare.setenv("LEADCONNECTOR_CLIENT_SECRET", account.client_secret)
        bare.setenv("LEADCONNECTOR_SHARED" if "shared" in kind else "LEADCONNECTOR_TOKEN_STORE", place)
    code, found = await examine()
    assert (code, list_states(found, "failed", "warning")) == (0, set())
    assert found["shared store"]["state"] == ("ok" if "shared" in kind else "skipped")
    assert not log.exists() or log.read_text() == "x"


async def test_an_app_that_is_not_connected_is_named(
    account: Sandbox, bare: pytest.MonkeyPatch, tmp_path: Path, examine: Examine
) -> None:
    """Its secret is not shown."""
    bare.delenv("LEADCONNECTOR_TOKEN")
    bare.setenv("LEADCONNECTOR_CLIENT_ID", account.client_id)
    bare.setenv("LEADCONNECTOR_CLIENT_SECRET", account.client_secret)
    bare.setenv("LEADCONNECTOR_TOKEN_STORE", f"{tmp_path}/tokens.json")
    code, found = await examine()
    assert (code, list_states(found, "failed")) == (4, {"token"})
    assert account.client_secret not in json.dumps(found)


async def test_an_app_without_a_location_is_told_what_to_set(
    account: Sandbox, bare: pytest.MonkeyPatch, tmp_path: Path, examine: Examine
) -> None:
    """By every command, and here next to what else was checked."""
    bare.delenv("LEADCONNECTOR_TOKEN")
    bare.delenv("LEADCONNECTOR_LOCATION_ID")
    bare.setenv("LEADCONNECTOR_CLIENT_ID", account.client_id)
    bare.setenv("LEADCONNECTOR_CLIENT_SECRET", account.client_secret)
    bare.setenv("LEADCONNECTOR_TOKEN_STORE", f"{tmp_path}/tokens.json")
    code, found = await examine()
    assert (code, list_states(found, "failed")) == (2, {"location"})
    assert found["token"]["state"] == "skipped"
    assert "an app has a token for each location" in found["location"]["text"]
    with pytest.raises(
        ConfigurationError, match="LEADCONNECTOR_LOCATION_ID is not set; an app has a token for each"
    ):
        connect.make_client()


async def test_a_store_that_is_away_does_not_hide_the_rest(
    account: Sandbox, bare: pytest.MonkeyPatch, examine: Examine
) -> None:
    """With the code for what can be tried again later, and without its password."""
    bare.setenv("LEADCONNECTOR_SHARED", f"redis://:pass-w0rd@127.0.0.1:{take_port()}")
    code, found = await examine()
    assert (code, list_states(found, "failed")) == (5, {"shared store"})
    assert found[WRITE]["state"] == "ok"
    assert "pass-w0rd" not in json.dumps(found)


async def test_a_clock_that_is_wrong_is_a_warning(make_client: MakeClient) -> None:
    """By the `Date` of a response, if the server is not on this machine."""
    listed = answer(200, b'{"calendars": []}', "date: Mon, 01 Jan 2024 00:00:00 GMT")
    found: list[Finding] = []
    async with raw_server(listed, *[answer(400, b'{"message": "no"}')] * 3) as server:
        await check_account(make_client(base_url=server.url), found.append, is_local=False)
    states = {one.check: one for one in found}
    assert states["clock"].state == "warning"
    assert "ahead of the server's" in states["clock"].text
    assert states["calendars"].state == "warning"
    assert states["limits"].state == "warning"


async def test_a_server_that_accepts_everything_gets_no_update(make_client: MakeClient) -> None:
    """It knows an event that cannot exist, so it is not the API."""
    found: list[Finding] = []
    event = answer(200, json.dumps({"event": {"id": NO_EVENT, "calendarId": "c", "locationId": "l"}}).encode())
    async with raw_server(answer(200, b'{"calendars": []}'), event, answer(400, b"{}")) as server:
        await check_account(make_client(base_url=server.url), found.append, is_local=True)
        assert not [one for one in server.requests if one.startswith(b"PUT")]
    states = {one.check: one.state for one in found}
    assert (states[READ], states[WRITE]) == ("failed", "skipped")


@pytest.mark.parametrize(
    ("body", "requests", "text"),
    [
        (b"", 2, "The response (HTTP 200) is empty"),
        (b" \r\n", 2, "The response (HTTP 200) is empty"),
        (b"{}", 1, "the response to the list of calendars is HTTP 200 without one, "),
    ],
)
async def test_a_success_that_lists_nothing_is_not_the_api(
    make_client: MakeClient, body: bytes, requests: int, text: str
) -> None:
    """As of a gateway that answers for the API: neither token nor location were looked at."""
    found: list[Finding] = []
    async with raw_server(*[answer(200, body)] * 5) as server:
        await check_account(make_client(base_url=server.url), found.append, is_local=False)
        assert [one.split(b"?")[0] for one in server.requests] == [b"GET /calendars/"] * requests
    (only,) = found
    assert (only.check, only.state, only.code) == ("API", "failed", 1)
    assert only.text.startswith(text)


async def test_it_is_a_command(account: Sandbox) -> None:
    """From the shell, with flags of every command that needs an account."""
    env = {
        "LEADCONNECTOR_CLINIC_TOKEN": account.token,
        "LEADCONNECTOR_CLINIC_LOCATION_ID": account.location_id,
        "LEADCONNECTOR_CLINIC_BASE_URL": account.url,
    }
    code, out, err = await run("doctor", "--profile", "clinic", env=env)
    assert (code, err) == (0, "No check failed.\n")
    assert "LEADCONNECTOR_CLINIC_TOKEN" in out
