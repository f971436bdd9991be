"""What tests of the command line share: real processes, and a sandbox that they reach."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from leadconnector_async.sandbox import Sandbox

COMMAND = (sys.executable, "-c", "from leadconnector_async.cli import main; main()")


class Ended(Struct):
    """A process that has ended."""

    code: int
    out: str
    err: str


def build_environment(sandbox: Sandbox, **others: str) -> dict[str, str]:
    """As a user would set it, and nothing that the tests' own shell has set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
    account = {
        "LEADCONNECTOR_TOKEN": sandbox.token,
        "LEADCONNECTOR_BASE_URL": sandbox.url,
        "LEADCONNECTOR_LOCATION_ID": sandbox.location_id,
    }
    return {name: value for name, value in (kept | account | others).items() if value}


async def start(
    folder: Path, environment: Mapping[str, str], *arguments: str, stdin: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, cwd=folder, env=dict(environment), stdin=stdin, stdout=pipe, stderr=pipe
    )


async def run(
    folder: Path, environment: Mapping[str, str], *arguments: str, text: str | bytes | None = None
) -> Ended:
    """Run a command to its end."""
    pipe = asyncio.subprocess.PIPE
    process = await start(
        folder, environment, *arguments, stdin=asyncio.subprocess.DEVNULL if text is None else pipe
    )
    out, err = await process.communicate(text.encode() if isinstance(text, str) else text)
    return Ended(
        process.returncode or 0, out.decode(errors="backslashreplace"), err.decode(errors="backslashreplace")
    )
