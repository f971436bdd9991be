"""The how-to page about Sentry: its program, run as it stands."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/pages/how-to/report-to-sentry.md"


def test_the_program_of_the_page_reports_a_failure_once() -> None:
    """With the steps of the call, and without the token; Sentry patches much, so it has a process of its own."""
    [program] = re.findall(r"```python notest\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "[report] = reports" in program
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own page
    assert done.returncode == 0, done.stderr
