"""What tests of single commands share: the variables of an account, and a command as a real process."""

import os
from collections.abc import Mapping
from pathlib import Path

from leadconnector_async.sandbox import Sandbox

from . import shell


def name_account(sandbox: Sandbox, profile: str = "") -> dict[str, str]:
    """The variables of an account in the sandbox."""
    return {
        f"LEADCONNECTOR_{profile}TOKEN": sandbox.token,
        f"LEADCONNECTOR_{profile}LOCATION_ID": sandbox.location_id,
        f"LEADCONNECTOR_{profile}BASE_URL": sandbox.url,
    }


async def run(*arguments: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; of our variables, it sees only these."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
    ended = await shell.run(Path.cwd(), {**clean, **env}, *arguments)
    return ended.code, ended.out, ended.err
