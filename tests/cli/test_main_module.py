"""`python -m leadconnector_async` is the command."""

import subprocess
import sys

from leadconnector_async import __version__
from leadconnector_async._system.start import is_command


def run(*words: str) -> str:
    return subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True).stdout  # noqa: S603


def test_the_module_runs_as_the_command() -> None:
    """Its version is that of the package, and nothing else is printed."""
    assert run("-m", "leadconnector_async", "--version") == f"{__version__}\n"


def test_an_interrupt_during_its_start_is_handled() -> None:
    """The package knows that it is the command; not for other modules, nor programs that mention it."""
    assert is_command(["python", "-m", "leadconnector_async", "demo"])
    assert not is_command(["python", "-m", "leadconnector_async_tools"])
    assert not is_command(["python", "-c", "leadconnector_async"])
    assert not is_command(["python", "leadconnector_async"])
