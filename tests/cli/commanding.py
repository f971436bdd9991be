"""What tests of single commands share: a command as a real process, and the variables that it needs."""

import asyncio
import os
import sys
from collections.abc import Mapping

from leadconnector_async.sandbox import Sandbox

COMMAND = [sys.executable, "-c", "from leadconnector_async.cli import main; main()"]


def name_account(sandbox: Sandbox, profile: str = "") -> dict[str, str]:
    """The variables of an account in the sandbox."""
    return {
        f"LEADCONNECTOR_{profile}TOKEN": sandbox.token,
        f"LEADCONNECTOR_{profile}LOCATION_ID": sandbox.location_id,
        f"LEADCONNECTOR_{profile}BASE_URL": sandbox.url,
    }


async def run(*arguments: str, env: Mapping[str, str]) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**clean, **env},
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()
