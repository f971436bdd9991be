"""The shell lines of the pages and of the README are run, page by page, against the sandbox."""

import ast
import asyncio
import inspect
import os
import re
import sys
from pathlib import Path

import pytest

from leadconnector_async.sandbox import Sandbox

from .cli.shell import build_environment
from .jobs.jobbing import FAST

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ELSEWHERE = {"run-on-several-machines.md"}
"""Its commands need a database and workers: `tests/cluster/test_page.py`."""
PAGES = [
    path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md"))]
    if path.name not in ELSEWHERE and any("leadconnector " in block for block in BLOCK.findall(path.read_text()))
]
NIGHT = "event_id,title\nEWoEjmGE628b0m6zivxZ,Night\n"


def list_lines(path: Path) -> list[str]:
    """The commands of a page; setting up, and what runs until it is stopped, are run elsewhere."""
    blocks = [re.sub(r"\\\n *", "", block) for block in BLOCK.findall(path.read_text())]
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("leadconnector ") and " sandbox" not in line]


def test_pages_with_commands_are_found() -> None:
    """Else nothing would be shown below."""
    assert {"README.md", "move-a-day.md", "run-from-cron.md"} <= {path.name for path in PAGES}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
async def test_the_commands_of_a_page_do_what_it_says(path: Path, tmp_path: Path) -> None:
    """In their order, in an empty folder; each ends with 0."""
    (tmp_path / "night.csv").write_text(NIGHT)
    async with Sandbox(limits=FAST) as sandbox:
        environment = build_environment(sandbox)
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        for line in list_lines(path):
            process = await asyncio.create_subprocess_shell(
                line,
                cwd=tmp_path,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await process.communicate()
            assert process.returncode == 0, f"{line}\n{said.decode()}"


async def test_the_cells_of_the_notebook_page_run_in_one_loop() -> None:
    """As Jupyter runs them: compiled with `await` outside of functions, one after the other."""
    page = ROOT / "docs" / "pages" / "how-to" / "use-in-notebooks-and-scripts.md"
    cells = re.findall(r"```python notest\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(cells) == 3
    names: dict[str, object] = {}
    for cell in cells:
        running = eval(compile(cell, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307 - our own page
        if inspect.isawaitable(running):
            await running
    assert getattr(names["appointment"], "title", None)
