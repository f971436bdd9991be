"""The pytest plugin, as a user's tests see it: in processes of their own, in every mode."""

import pytest

pytest_plugins = ["pytester"]

BODY = """
    event_id = leadconnector_sandbox.appointment_ids[0]
    await leadconnector_client.update_appointment(event_id, AppointmentUpdate(title="Moved"))
    assert leadconnector_sandbox.appointment(event_id).title == "Moved"
    assert len(leadconnector_sandbox.requests) == 1
"""
HEAD = """
import asyncio
import sys
import pytest
import pytest_asyncio
from leadconnector_async import AppointmentUpdate, LeadConnectorError, RetryPolicy
"""
INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
addopts = --strict-markers --strict-config -p no:cacheprovider
filterwarnings = error
"""


def run(pytester: pytest.Pytester, test: str, *options: str, ini: str = "") -> pytest.RunResult:
    """What tests of a user do, in a process of their own."""
    pytester.makefile(".ini", pytest=INI + ini)
    pytester.makepyfile(test)
    return pytester.runpytest_subprocess(*options)


STRICT = f"""
{HEAD}
@pytest.mark.asyncio
async def test_function_loop(leadconnector_client, leadconnector_sandbox):
{BODY}

@pytest.mark.asyncio(loop_scope="module")
async def test_module_loop(leadconnector_clock, leadconnector_client, leadconnector_sandbox):
{BODY}
    await leadconnector_clock.advance(3600)

@pytest_asyncio.fixture
async def booked(leadconnector_client, leadconnector_sandbox):
    with pytest.raises(LeadConnectorError, match="first used in another event loop"):
        await leadconnector_client.get_appointment(leadconnector_sandbox.appointment_ids[0])

@pytest.mark.asyncio(loop_scope="session")
class TestSession:
    async def test_fixture_of_another_loop(self, booked):
        pass

    @pytest.mark.leadconnector(appointments=2, seed=7, client={{"retry": RetryPolicy(max_attempts=1)}})
    class TestOptions:
        @pytest.mark.leadconnector(appointments=3, faults={{"update_appointment": ["503"]}})
        async def test_closest_option_counts(self, leadconnector_client, leadconnector_sandbox):
            assert len(leadconnector_sandbox.appointment_ids) == 3
            with pytest.raises(LeadConnectorError):
                await leadconnector_client.update_appointment(
                    leadconnector_sandbox.appointment_ids[0], AppointmentUpdate(title="x")
                )

@pytest.mark.anyio
async def test_of_anyio(anyio_backend, leadconnector_client, leadconnector_sandbox):
{BODY}

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_strict_mode_and_anyio(pytester: pytest.Pytester) -> None:
    """Whatever the scope of a test's loop is, its fixtures run in it; marks of classes and tests are merged.

    A fixture of the user's that runs in another loop is told so at once.
    """
    run(pytester, STRICT).assert_outcomes(passed=5)


AUTO = f"""
{HEAD}
@pytest.mark.parametrize("number", range(6))
async def test_auto(number, leadconnector_client, leadconnector_sandbox):
{BODY}
"""


def test_auto_mode_in_several_processes(pytester: pytest.Pytester) -> None:
    """No mark is needed, and each process of pytest-xdist has its own sandboxes."""
    run(pytester, AUTO, "-n", "2", ini="asyncio_mode = auto\n").assert_outcomes(passed=6)


@pytest.mark.parametrize("order", [1, -1])
def test_plugins_that_are_named_on_the_command_line(
    order: int, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pytest loads none by itself, as some distributions have it: pytest-asyncio has another name then."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugins = ["-ppytest_leadconnector", "-ppytest_asyncio.plugin"][::order]
    test = f"{HEAD}\n@pytest.mark.asyncio\nasync def test_it(leadconnector_client, leadconnector_sandbox):\n{BODY}"
    run(pytester, test, *plugins).assert_outcomes(passed=1)


RAISING = f"""
{HEAD}
@pytest.mark.asyncio
async def test_it(leadconnector_clock, leadconnector_client, leadconnector_sandbox):
    leadconnector_sandbox.webhooks.subscribe("http://127.0.0.1:9/")
    async def work():
        async with asyncio.TaskGroup() as group:
            for event_id in leadconnector_sandbox.appointment_ids[:5]:
                group.create_task(leadconnector_client.update_appointment(event_id, AppointmentUpdate(title="x")))
            await asyncio.sleep(0)
            raise ValueError("of the test")
    await leadconnector_clock.run(work())

@pytest.mark.asyncio
async def test_the_next(leadconnector_clock, leadconnector_client, leadconnector_sandbox):
{BODY}
    assert leadconnector_clock.skipped == 0
"""


def test_a_test_that_fails_leaves_nothing_open(pytester: pytest.Pytester) -> None:
    """Not even a warning; the next one is not disturbed."""
    result = run(pytester, RAISING)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*Warning*")


UNUSED = """
import sys

def test_nothing_is_imported():
    assert "pytest_leadconnector" in sys.modules
    assert not [name for name in sys.modules if name.split(".")[0] in ("leadconnector_async", "aiohttp", "msgspec")]
"""


def test_a_session_without_the_fixtures_imports_nothing(pytester: pytest.Pytester) -> None:
    """Neither the package nor what it needs; nor does it need pytest-asyncio."""
    run(pytester, UNUSED, "-p", "no:asyncio", "-o", "addopts=", "-c", "/dev/null").assert_outcomes(passed=1)


WRONG = f"""
{HEAD}
def test_sync(leadconnector_sandbox): ...

@pytest.mark.asyncio
@pytest.mark.leadconnector(appointment=3)
async def test_name(leadconnector_client): ...

@pytest.mark.asyncio
@pytest.mark.leadconnector(appointments=-3)
async def test_value(leadconnector_client): ...

@pytest.mark.asyncio
@pytest.mark.leadconnector(client={{"tokn": "x"}})
async def test_option_of_client(leadconnector_client): ...

@pytest.mark.asyncio
@pytest.mark.leadconnector(client={{"retry": 3}})
async def test_value_of_client(leadconnector_client): ...

@pytest.mark.asyncio
@pytest.mark.leadconnector(client=3)
async def test_client(leadconnector_client): ...

@pytest.mark.asyncio
@pytest.mark.leadconnector(3)
async def test_position(leadconnector_client): ...

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio(anyio_backend, leadconnector_client): ...
"""
MESSAGES = [
    "leadconnector_sandbox needs an async test: mark it with @pytest.mark.asyncio, or set asyncio_mode = 'auto'*",
    "@pytest.mark.leadconnector: 'appointment' is not an option; did you mean 'appointments'?",
    "@pytest.mark.leadconnector: appointments is -3; it must be at least 0*",
    "@pytest.mark.leadconnector: 'tokn' is not an option of client; did you mean 'token'?",
    "@pytest.mark.leadconnector: retry is 3*",
    "@pytest.mark.leadconnector: client is 3; it must be a mapping of the options of LeadConnector",
    "@pytest.mark.leadconnector takes named options, not 3",
]


def test_wrong_options_are_named(pytester: pytest.Pytester) -> None:
    """In one line each, without a traceback: the option, its value, and what to do."""
    result = run(pytester, WRONG)
    result.assert_outcomes(errors=8)
    result.stdout.fnmatch_lines(MESSAGES)
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*During handling*")
