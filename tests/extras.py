"""Every extra in an environment of its own: CI installs it alone, and runs this file in it.

`python tests/extras.py` lists the extras of users. `python extras.py NAME` imports what the extra NAME is for.
"""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

PACKAGE = "leadconnector_async"
MODULES = {
    "cli": ["cli.app"],
    "cluster": ["integrations.postgres", "integrations.postgres_journal", "integrations.procrastinate"],
    "fastapi": ["integrations.fastapi"],
    "keyring": ["integrations.keyring_entries"],
    "otel": ["integrations.opentelemetry"],
    "redis": ["integrations.redis", "integrations.redis_keys", "integrations.redis_tokens"],
    "testing": ["testing", "webhooks"],
    "webhooks": ["webhooks"],
    "xlsx": ["jobs.plan.workbook"],
}
"""What each extra is for."""
FOR_DEVELOPERS = {"bench", "browser", "dev", "vendors"}
BROUGHT = (
    *(
        "aiohttp.web",
        "cryptography",
        "cyclopts",
        "fastapi",
        "keyring",
        "openpyxl",
        "opentelemetry",
        "procrastinate",
        "psycopg",
        "pydantic",
    ),
    *(
        "pytest",
        "redis",
        "rich",
        "starlette",
        f"{PACKAGE}.sandbox",
        f"{PACKAGE}.testing",
        f"{PACKAGE}.integrations",
    ),
)
"""Must not be loaded by `import leadconnector_async`, installed or not."""


def list_extras() -> list[str]:
    """Those of users that `pyproject.toml` has."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return [name for name in project["optional-dependencies"] if name not in FOR_DEVELOPERS]


def check_bare_import() -> None:
    """In another process, in which nothing else was imported."""
    code = f"import sys, {PACKAGE}; print(*set(sys.modules) & set({BROUGHT!r}))"
    loaded = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
    assert loaded.stdout == "\n", loaded.stdout


if __name__ == "__main__":
    if sys.argv[1:]:
        check_bare_import()
        for name in MODULES[sys.argv[1]]:
            importlib.import_module(f"{PACKAGE}.{name}")
    sys.stdout.write("\n".join(sys.argv[1:] or list_extras()) + "\n")
