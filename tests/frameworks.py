"""The pages about libraries that are too large for the extra `dev`: Django, pandas and polars.

Not part of the suite: `pytest tests/frameworks.py`, which `.ci/run` does once it has installed them.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parent.parent / "docs" / "pages" / "how-to"
BLOCK = re.compile(r"```python([^\n]*)\n(.*?)```", re.DOTALL)


def list_programs(name: str) -> list[str]:
    """The programs of a page: a block that continues another one belongs to it."""
    programs: list[str] = []
    for options, block in BLOCK.findall((HOW_TO / name).read_text()):
        if "continuation" in options:
            programs[-1] += block
        else:
            programs.append(block)
    return programs


PROGRAMS = [
    pytest.param(program, id=f"{name}-{number}")
    for name in ("use-with-django-and-flask.md", "use-with-pandas-and-polars.md")
    for number, program in enumerate(list_programs(name), start=1)
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_a_page_does_what_it_says(program: str) -> None:
    """In a process of its own, without a warning."""
    assert "assert " in program
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own page
    assert (done.returncode, done.stderr) == (0, "")
