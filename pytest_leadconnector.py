"""Fixtures for tests of programs that use leadconnector-async: a sandbox, a client for it, and a clock.

pytest loads this module with all its plugins, whether or not a test needs it. So it stays outside of the package,
and imports nothing of it until a fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from leadconnector_async import LeadConnector
    from leadconnector_async.sandbox import Sandbox
    from leadconnector_async.testing import Clock

T = TypeVar("T")
_AsyncFixture: TypeAlias = Callable[[pytest.FixtureRequest], AsyncIterator[object]]

_LOOP_SCOPES: Final[tuple[Literal["function", "class", "module", "package", "session"], ...]] = (
    "function",
    "class",
    "module",
    "package",
    "session",
)
_MARKER: Final = (
    "leadconnector(**options): what the fixtures of leadconnector-async are made with: the options of `Sandbox`, "
    "and `client={...}` with those of `LeadConnector`"
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and the fixtures for those plugins that run async tests."""
    config.addinivalue_line("markers", _MARKER)
    plugin = ModuleType("leadconnector_fixtures")
    for function in _list_functions():
        setattr(plugin, f"{function.__name__}_anyio", pytest.fixture(function))
    if _has_pytest_asyncio(config):
        import pytest_asyncio  # noqa: PLC0415 - an extra

        for scope in _LOOP_SCOPES:
            for function in _list_functions():
                fixture = pytest_asyncio.fixture(function, loop_scope=scope)
                setattr(plugin, f"{function.__name__}_{scope}", fixture)
    config.pluginmanager.register(plugin, plugin.__name__)


@pytest.fixture
def leadconnector_sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """A `Sandbox` that has started, as the mark `leadconnector(…)` says."""
    return cast("Sandbox", request.getfixturevalue(_choose(request, "_sandbox")))


@pytest.fixture
def leadconnector_client(request: pytest.FixtureRequest) -> LeadConnector:
    """A `LeadConnector` for `leadconnector_sandbox`, with the options of `client={…}` in the mark."""
    return cast("LeadConnector", request.getfixturevalue(_choose(request, "_client")))


@pytest.fixture
def leadconnector_clock(request: pytest.FixtureRequest) -> Clock:
    """A `Clock`, by which waits take no time: those of the client, the sandbox, and the test's whole loop."""
    return cast("Clock", request.getfixturevalue(_choose(request, "_clock")))


async def _sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    from leadconnector_async.testing import build_sandbox  # noqa: PLC0415 - see the module

    async with _build(build_sandbox, request) as sandbox:
        yield sandbox


async def _client(request: pytest.FixtureRequest, leadconnector_sandbox: Sandbox) -> AsyncIterator[LeadConnector]:
    from leadconnector_async.testing import bind_to_loop, build_client  # noqa: PLC0415 - see the module

    async with _build(lambda options: build_client(leadconnector_sandbox, options), request) as client:
        bind_to_loop(client)
        yield client


async def _clock() -> AsyncIterator[Clock]:
    from leadconnector_async.testing import Clock  # noqa: PLC0415 - see the module

    yield Clock()


def _build(build: Callable[[dict[str, object]], T], request: pytest.FixtureRequest) -> T:
    options: dict[str, object] = {}
    for mark in reversed(list(request.node.iter_markers("leadconnector"))):  # the closest comes last
        if mark.args:
            pytest.fail(f"@pytest.mark.leadconnector takes named options, not {mark.args[0]!r}", pytrace=False)
        options |= mark.kwargs
    from leadconnector_async import LeadConnectorError  # noqa: PLC0415 - see the module

    try:
        return build(options)
    except LeadConnectorError as error:
        fault = str(error)
    pytest.fail(f"@pytest.mark.leadconnector: {fault}", pytrace=False)


def _has_pytest_asyncio(config: pytest.Config) -> bool:
    """Whatever it is called: loaded by `-p pytest_asyncio.plugin`, it has not the name of its entry point."""
    plugin = sys.modules.get("pytest_asyncio.plugin")
    return plugin is not None and config.pluginmanager.is_registered(plugin)


def _list_functions() -> list[_AsyncFixture]:
    """Copies each time: pytest-asyncio notes the loop of a fixture on its function."""
    made: list[_AsyncFixture] = []
    for function in (_sandbox, _client, _clock):
        name = f"_leadconnector{function.__name__}"
        made.append(cast("_AsyncFixture", FunctionType(function.__code__, function.__globals__, name)))
    return made


def _choose(request: pytest.FixtureRequest, name: str) -> str:
    """The fixture that runs in the loop of the test: a client serves one loop, and so does the sandbox."""
    mark = request.node.get_closest_marker("asyncio")
    if mark is not None and _has_pytest_asyncio(request.config):
        given = mark.kwargs.get("loop_scope") or mark.kwargs.get("scope")
        return f"_leadconnector{name}_{given or request.config.getini('asyncio_default_test_loop_scope')}"
    if "anyio_backend" not in request.fixturenames:
        pytest.fail(
            f"leadconnector{name} needs an async test: mark it with @pytest.mark.asyncio, or set asyncio_mode = "
            "'auto'. pytest-asyncio is installed by: pip install 'leadconnector-async[testing]'",
            pytrace=False,
        )
    if request.getfixturevalue("anyio_backend_name") != "asyncio":
        pytest.fail(f"leadconnector{name} needs asyncio: the client does not run on other backends", pytrace=False)
    return f"_leadconnector{name}_anyio"
