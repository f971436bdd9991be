"""The tutorial prints what it says: each program of the page, and the output that follows it."""

import re
import sys
from asyncio import create_subprocess_exec, subprocess
from pathlib import Path

import pytest

from leadconnector_async.sandbox import Sandbox

from .cli.shell import build_environment

PAGE = Path(__file__).parent.parent / "docs" / "pages" / "tutorial" / "first-update.md"
STEPS = re.findall(r"```python(?: notest)?\n(.*?)```\n.*?```text\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_every_program_has_its_output() -> None:
    """None is left out below."""
    assert PAGE.read_text().count("```python") == len(STEPS) == 4


@pytest.mark.parametrize("step", range(4))
async def test_a_program_prints_what_the_page_says(step: int) -> None:
    """The last one by the environment, with the sandbox posing as a real account that may only be read."""
    program, output = STEPS[step]
    async with Sandbox() as sandbox:
        process = await create_subprocess_exec(
            *(sys.executable, "-c", program),
            env=build_environment(sandbox, LEADCONNECTOR_ACCESS="read"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        printed, complaint = await process.communicate()
    assert (process.returncode, printed.decode()) == (0, output), complaint.decode()
