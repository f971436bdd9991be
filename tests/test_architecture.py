"""The layers: imports only point down, inside every package too."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import leadconnector_async
from leadconnector_async import _api

PACKAGE = Path(leadconnector_async.__file__).parent
LAYERS = {
    "": """
        __main__
        cli testing
        integrations
        __init__
        jobs
        client oauth
        _client
        _oauth reschedule
        _call
        response webhooks
        shared
        _tokens
        _sharing
        _limiter
        _retry
        _api recurrence
        _settings
        access auth policy token_stores
        _validation
        _secret _system _version events exceptions inputs models tokens
        _calendar
        _model
    """,
    "_api": """
        __init__
        creations slot_offers
        block_slots calendars contacts events free_slots installs notes
        lists
        appointments body
        precondition request
        created
        decode readback validate
        convert errors payloads
        fields operations statuses
    """,
    "_call": """
        gate
        pipeline
        retries
        search
        attempt steps
        fence state
        transport
        proxy reply session
        base_url creations emit timeouts
    """,
    "_client": """
        assembly environment
        booking
        finding
        methods
        once
    """,
    "_limiter": """
        limiter
        lane
        slots
        reserve
        daily learned_limit
        congestion headers pause
    """,
    "_oauth": """
        agency
        endpoint refresh
        codec refresh_steps
    """,
    "_retry": """
        backoff
        decide
        budget retry_after
    """,
    "_sharing": """
        membership
        exchanger
        budget presence
        deliveries exchange leases once sqlite_keys sqlite_tokens token_store
        turns
        clock keys lock_files members sqlite statements
        connection crypto fair mounts slots together url weighted
        state store
    """,
    "_system": """
        files forks sqlite start threads
    """,
    "_tokens": """
        keyring shared
    """,
    "_validation": """
        arguments rrule
        moments settings
        text
    """,
    "cli": """
        __init__
        app
        jobs
        calls demo doctor listing plan reschedule sandbox shared worker
        demo_cluster
        checks control demo_steps notice session
        errors
        findings interrupt job_report
        exit_codes progress
        connect output
        arguments demo_postgres tokens
        terminal
        streams
    """,
    "integrations": """
        fastapi
        fastapi_jobs
        job_routes
        starlette
        inbox refusals
        event_stream problems pydantic signals
        opentelemetry
        opentelemetry_metrics
        opentelemetry_spans
        keyring_entries postgres_keys postgres_tokens procrastinate redis_keys redis_tokens
        postgres_journal
        postgres_session
        postgres redis
        engine_schema postgres_batch postgres_schema
    """,
    "jobs": """
        __init__
        service
        database_runs folder_runs
        folder_run
        job many worker
        folder_jobs
        handle listing polling supervisor
        instructing opening worker_locations
        claim
        previewing service_clients
        clients following locations places registration visit
        unit
        report verify
        way_back
        run
        prepare
        control eta
        journal
        plan
        states tickets worker_events
        hours
    """,
    "jobs.journal": """
        folder serving status
        progress purge
        instructions
        counts load phases reviewing
        leases
        preparing
        rows
        columns writer
        database
        connection facts migrate
        protocol
        groups
        tables
    """,
    "jobs.plan": """
        build render
        files
        workbook
        csv_files sources wanted_change workbook_cells workbook_parts
        heading
        rows selection sheet_xml
        free_slots shift shown_times spelling text_files
    """,
    "jobs.prepare": """
        prepare
        conflicts preview reader
        clocks ordering plan_warnings
        changes
        names taken
        check zones
    """,
    "jobs.report": """
        __init__ preview_file
        html_report
        moves
        charts outcomes
        stats
    """,
    "jobs.run": """
        runner
        location
        progress schedule
        execute
        in_flight lease read_ahead start_ahead
    """,
    "reschedule": """
        __init__
        apply
        requested
        plan
    """,
    "sandbox": """
        __init__
        server
        listener
        admin page
        feed webhook_methods
        app day webhooks
        routes
        agency authorize handlers people
        context snapshots
        oauth
        signing
        calendars responses updates
        contacts free_slots seed
        faults guard rate_limits request_log store
        installs models settings
    """,
}
"""Top first: a module imports from the layers below its own. An `__init__` without imports needs no layer."""
OPENED_LAZILY = {
    ("shared", "integrations.postgres"),
    ("shared", "integrations.redis"),
    ("shared", "integrations.postgres_keys"),
    ("shared", "integrations.redis_keys"),
    ("_tokens.shared", "integrations.postgres_tokens"),
    ("jobs.opening", "integrations.postgres_journal"),
    ("_tokens.shared", "integrations.redis_tokens"),
    ("_tokens.keyring", "integrations.keyring_entries"),
    ("jobs.worker", "integrations.procrastinate"),
    ("_model", "integrations.pydantic"),
}
"""The only upward imports: each driver is an extra, so its store is imported inside the function that opens it."""
SANDBOX_MAY_USE = {"recurrence", "exceptions", "_validation"}
MAY_USE_SANDBOX = {"cli", "testing"}
SELDOM = (
    *("sandbox", "testing", "integrations", "recurrence", "_validation.rrule", "oauth", "_oauth"),
    *("_client.assembly", "_call.pipeline", "_limiter.lane", "_retry.decide"),
    *("reschedule.apply", *(f"_api.{name}" for name in _api.__all__)),
)
"""What an import of the package does not load."""
AWAITING = {
    "cli",
    "jobs",
    "client",
    "_client.booking",
    "_client.finding",
    "_client.methods",
    "_client.once",
    "reschedule.apply",
    "_oauth.agency",
    "_oauth.endpoint",
    "_oauth.refresh",
    "oauth",
    "token_stores",
    "_call.gate",
    "_call.pipeline",
    "_call.retries",
    "_call.search",
    "_call.attempt",
    "_call.fence",
    "_call.transport",
    "_call.timeouts",
    "_limiter.limiter",
    "_limiter.lane",
    "_sharing.connection",
    "_sharing.deliveries",
    "_sharing.exchanger",
    "_sharing.keys",
    "_sharing.membership",
    "_sharing.once",
    "_sharing.sqlite",
    "_sharing.sqlite_keys",
    "_sharing.sqlite_tokens",
    "_sharing.store",
    "_sharing.together",
    "_sharing.token_store",
    "_tokens.keyring",
    "_tokens.shared",
    "auth",
    "integrations",
    "sandbox",
    "response",
    "shared",
    "testing",
}
"""Modules and packages in which something waits; everything else is pure."""


def parse_layers(text: str) -> dict[str, int]:
    return {name: level for level, line in enumerate(text.strip().splitlines()) for name in line.split()}


LEVELS = {package: parse_layers(text) for package, text in LAYERS.items()}


def list_modules(root: Path) -> dict[str, Path]:
    """The modules by their dotted names below the package; a package itself is its `__init__`."""
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in sorted(root.rglob("*.py"))}


def list_imports(module: str, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a module imports, those inside functions included."""
    here = module.split(".")
    for node in ast.walk(ast.parse(modules[module].read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        names = (node.module or "").split(".") if node.module else []
        if node.level:
            base = here[: len(here) - node.level] + names
        elif names and names[0] == PACKAGE.name:
            base = names[1:]
        else:
            continue
        for alias in node.names:
            candidates = ([*base, alias.name], base, [*base, alias.name, "__init__"], [*base, "__init__"])
            yield next(name for name in map(".".join, candidates) if name in modules)


def find_fault(module: str, used: str) -> str | None:
    """Why one module must not import another; `None` if it may."""
    one, other = module.split("."), used.split(".")
    if "sandbox" in (one[0], other[0]) and one[0] != other[0]:
        allowed = other[0] in SANDBOX_MAY_USE if one[0] == "sandbox" else one[0] in MAY_USE_SANDBOX
        return None if allowed else f"{module} imports {used}: the sandbox stands beside the layers"
    depth = next(k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    levels = LEVELS[".".join(one[:depth])]
    if levels[one[depth]] < levels[other[depth]] or (module, used) in OPENED_LAZILY:
        return None
    return f"{module} imports {used}: {other[depth]} is not below {one[depth]}"


def list_faults(root: Path) -> list[str]:
    modules = list_modules(root)
    pairs = {(module, used) for module in modules for used in list_imports(module, modules) if used != module}
    return sorted(filter(None, (find_fault(*pair) for pair in pairs)))


def test_every_module_has_its_layer() -> None:
    """A new module is placed before it is used, and nothing is placed that does not exist."""
    found: dict[str, set[str]] = {}
    for module, path in list_modules(PACKAGE).items():
        *packages, name = module.split(".")
        for depth, part in enumerate([*packages, name]):
            found.setdefault(".".join(packages[:depth]), set()).add(part)
        if name == "__init__" and "import" not in path.read_text():
            found[".".join(packages)].discard("__init__")
    found[""].discard("sandbox")
    assert found == {package: set(levels) for package, levels in LEVELS.items()}


def test_imports_only_point_down() -> None:
    """Never up, never between modules of one layer; the sandbox rests on the pure layers only."""
    assert list_faults(PACKAGE) == []


UPWARD = [
    ("jobs/journal/rows.py", "from ..run.runner import Runner"),
    ("jobs/plan/rows.py", "from ..journal.database import Journal"),
    ("_api/errors.py", "from .appointments import read_appointment"),
    ("_limiter/slots.py", "from .limiter import Limiter"),
    ("sandbox/store.py", "from .server import Sandbox"),
    ("cli/output.py", "from .session import ask"),
]


@pytest.mark.parametrize(("file", "line"), UPWARD, ids=[file for file, _ in UPWARD])
def test_an_upward_import_is_found(file: str, line: str, tmp_path: Path) -> None:
    """On a copy of the package, one import that points up is named."""
    root = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__"))
    path = root / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    (fault,) = list_faults(root)
    assert fault.startswith(file.removesuffix(".py").replace("/", ".") + " imports ")


@pytest.mark.parametrize("module", list_modules(PACKAGE))
def test_pure_modules_do_not_wait(module: str) -> None:
    """Below the transport nothing waits and nothing talks."""
    if not any(module == name or module.startswith(f"{name}.") for name in AWAITING):
        nodes = {type(node) for node in ast.walk(ast.parse(list_modules(PACKAGE)[module].read_text()))}
        assert not {ast.Await, ast.AsyncFunctionDef, ast.AsyncWith, ast.AsyncFor} & nodes


@pytest.mark.parametrize("module", list_modules(PACKAGE))
def test_files_and_functions_stay_small(module: str) -> None:
    """A file is one idea of at most 400 lines; a function fits on a screen."""
    source = list_modules(PACKAGE)[module].read_text()
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            described = (ast.get_docstring(node) or "").count("\n")
            assert node.end_lineno - node.lineno - described < 40, node.name


def test_importing_the_package_loads_nothing_heavy() -> None:
    """No server, no command line, no optional neighbour, and nothing that calls, failures, series or apps need."""
    loaded = list_loaded("")
    assert "aiohttp" in loaded
    heavy = {"aiohttp.web", "cyclopts", "rich", "httpx", "pydantic", "cryptography", "pytest", "pytest_asyncio"}
    heavy |= {"fastapi", "starlette", "opentelemetry", "psycopg", "redis", "sqlite3", "tenacity", "dateutil"}
    heavy |= {f"{PACKAGE.name}.{module}" for module in SELDOM}
    assert not heavy & loaded


def test_no_import_is_left_to_do_once_a_request_has_been_sent() -> None:
    """One can fail, as when no file can be opened; its error would take the place of what became of the call."""
    loaded = list_loaded("leadconnector_async.LeadConnector('t')")
    needed = {f"{PACKAGE.name}.{name}" for name in list_modules(PACKAGE) if name.startswith(("_call.", "_retry."))}
    needed = {name.removesuffix(".__init__") for name in needed}
    needed |= {f"{PACKAGE.name}.{name}" for name in SELDOM if name.startswith(("_api.", "reschedule."))}
    assert needed | {"tenacity", "html.entities"} <= loaded


def list_loaded(statement: str) -> set[str]:
    """The modules that a program has loaded after this."""
    code = f"import sys, leadconnector_async; {statement or 'pass'}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
    return set(done.stdout.split())


def test_upward_imports_are_inside_functions() -> None:
    """Those of stores: importing the module that opens them loads no driver."""
    for module, used in OPENED_LAZILY:
        tree = ast.parse(list_modules(PACKAGE)[module].read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        inside = {node.module for one in functions for node in ast.walk(one) if isinstance(node, ast.ImportFrom)}
        outside = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert used in inside - outside
