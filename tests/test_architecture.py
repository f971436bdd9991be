"""The floors: imports only point down."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import leadconnector_async

PACKAGE = Path(leadconnector_async.__file__).parent
FLOORS = [
    ["cli"],
    ["__init__"],
    ["jobs"],
    ["client", "oauth"],
    ["_methods"],
    ["_rescheduling"],
    ["_pipeline", "_renewal"],
    ["_attempt"],
    ["_call", "_announce", "_token_endpoint"],
    ["_throttle", "_transport", "_watch", "auth", "token_stores", "_token_wire", "_finish"],
    ["_queue", "_proxy"],
    ["answer", "_retry", "_recovery", "_siblings", "webhooks", "reschedule"],
    ["_readers"],
    ["_wire"],
    ["_precondition", "_body", "_lenient", "_kept"],
    ["_checks", "_errors", "_operations", "_compare", "_slots", "_daily", "_budget"],
    ["_limit", "_wire_models", "_error_body"],
    ["_address", "_file_lock", "tokens", "events", "policy", "_quota", "_pace", "models", "recurrence"],
    ["_arguments", "_rules"],
    ["_values"],
    ["exceptions", "_version", "_shown", "_start", "_statuses", "_texts", "_secret", "_moments"],
]
SANDBOX_MAY_USE = {"recurrence", "sandbox", "exceptions", "_shown", "_values"}
MAY_USE_SANDBOX = {"cli", "sandbox"}
AWAITING = {
    "cli",
    "jobs",
    "client",
    "_methods",
    "_rescheduling",
    "oauth",
    "_renewal",
    "_finish",
    "_token_endpoint",
    "token_stores",
    "_pipeline",
    "_attempt",
    "_throttle",
    "_queue",
    "_transport",
    "_kept",
    "_watch",
    "auth",
    "sandbox",
    "answer",
}
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def rooms() -> list[tuple[str, Path]]:
    return [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in PACKAGE.rglob("*.py")]


def list_imports(path: Path) -> set[str]:
    """The rooms of the package that a file imports."""
    found: set[str] = set()
    here = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = list(here[: len(here) - node.level]) if node.level else []
            names = [*base, *(node.module or "").split(".")] if node.module else base
            if names and names[0] == PACKAGE.name:
                found |= {names[1]} if len(names) > 1 else {alias.name for alias in node.names}
    return found


def test_every_room_has_its_floor() -> None:
    """A new file is placed before it is used."""
    assert {room for room, _ in rooms()} == LEVEL.keys() | {"sandbox"}


@pytest.mark.parametrize(("room", "path"), rooms(), ids=lambda value: str(value).rpartition("/")[2])
def test_imports_only_point_down(room: str, path: Path) -> None:
    """Never up, never sideways between rooms of a floor; the sandbox rests on the pure floors only."""
    for used in list_imports(path) - {room}:
        if room == "sandbox":
            assert used in SANDBOX_MAY_USE
        elif used == "sandbox":
            assert room in MAY_USE_SANDBOX
        else:
            assert LEVEL[used] > LEVEL[room], f"{room} imports {used}"


@pytest.mark.parametrize(("room", "path"), rooms(), ids=lambda value: str(value).rpartition("/")[2])
def test_the_pure_floors_do_not_await(room: str, path: Path) -> None:
    """Below the transport nothing waits and nothing talks."""
    if room not in AWAITING:
        nodes = [type(node) for node in ast.walk(ast.parse(path.read_text()))]
        assert not {ast.Await, ast.AsyncFunctionDef, ast.AsyncWith, ast.AsyncFor} & set(nodes)


@pytest.mark.parametrize(("room", "path"), rooms(), ids=lambda value: str(value).rpartition("/")[2])
def test_files_and_functions_stay_small(room: str, path: Path) -> None:
    """A file is one idea of at most 400 lines; a function fits on a screen."""
    source = path.read_text()
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            described = (ast.get_docstring(node) or "").count("\n")
            assert node.end_lineno - node.lineno - described < 40, node.name


def test_importing_the_package_loads_nothing_heavy() -> None:
    """No server, no command line, no optional neighbour, and nothing that only failures, series or apps need."""
    code = "import sys, leadconnector_async; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
    assert "aiohttp" in loaded
    heavy = {"aiohttp.web", "cyclopts", "rich", "httpx", "pydantic", "cryptography", "leadconnector_async.sandbox"}
    seldom = {
        "tenacity",
        "dateutil",
        *(f"leadconnector_async.{room}" for room in ("recurrence", "_rules", "oauth")),
    }
    assert not (heavy | seldom) & set(loaded)
