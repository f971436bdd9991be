"""The page *Run a job on several machines* as it says: its compose file as processes, and its commands."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from ..servers import PostgresServer, take_port

PAGE = Path(__file__).parents[2] / "docs/pages/how-to/run-on-several-machines.md"
URL = "postgresql://postgres@127.0.0.1/leads"
PORT = "8080"
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


def read_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def read_services() -> dict[str, dict[str, Any]]:
    """Those of the compose file."""
    services: dict[str, dict[str, Any]] = yaml.safe_load(read_blocks("yaml")[0])["services"]
    return services


class Machine:
    """What stands for the network namespace: other ports, and nothing else is different."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._port = take_port()
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    def replace(self, text: str) -> str:
        url = self._server.url.rpartition("/")[0]
        return text.replace(URL, f"{url}/leads").replace(PORT, str(self._port))

    def build_environment(self, given: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        return {**kept, "PATH": path, **{name: self.replace(value) for name, value in given.items()}}

    async def start(self, name: str, service: Mapping[str, Any]) -> asyncio.subprocess.Process:
        """A service."""
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                *shlex.split(self.replace(service["command"])),
                env=self.build_environment(service.get("environment", {})),
                cwd=self._folder,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        return self.processes[name]

    async def run(self, line: str, environment: Mapping[str, str]) -> str:
        """A command in the container of a service; returns what it prints."""
        process = await asyncio.create_subprocess_shell(
            self.replace(line),
            env=self.build_environment(environment),
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, f"{line}\n{said.decode()}"
        return said.decode()

    async def end(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def compose(folder: Path) -> AsyncIterator[tuple[Machine, dict[str, dict[str, Any]]]]:
    """All services, in the order of what they depend on."""
    services = read_services()
    async with AsyncExitStack() as stack:
        server = await asyncio.to_thread(PostgresServer)
        stack.callback(server.close)
        await asyncio.to_thread(server.start)
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE leads")
        machine = Machine(server, folder)
        stack.push_async_callback(machine.end)
        sandbox = await machine.start("sandbox", services["sandbox"])
        assert sandbox.stdout is not None
        await sandbox.stdout.readline()
        assert await (await machine.start("migrate", services["migrate"])).wait() == 0
        for name in services:
            if name.startswith("worker"):
                await machine.start(name, services[name])
        yield machine, services


async def test_the_compose_file_moves_a_day_though_a_worker_is_killed(tmp_path: Path) -> None:
    """Every command of the page ends with 0; one worker is killed while the job runs."""
    lines = [line for block in read_blocks("sh") for line in block.splitlines()]
    async with compose(tmp_path) as (machine, services):
        environment = services["worker-1"]["environment"]

        async def kill_one() -> None:
            await asyncio.sleep(3.0)
            machine.processes["worker-2"].kill()

        killing = asyncio.create_task(kill_one())
        said = [await machine.run(line, environment) for line in lines]
        await killing
        assert machine.processes["worker-1"].returncode is None
    assert len(said) >= 5


def test_services_share_one_network_and_get_the_time_to_stop() -> None:
    """Unencrypted connections leave no machine; workers have 10 s to hand back what they hold."""
    services = read_services()
    others = {name: service for name, service in services.items() if name != "postgres"}
    assert {service["network_mode"] for service in others.values()} == {"service:postgres"}
    for name, service in others.items():
        if name.startswith("worker"):
            assert int(service["stop_grace_period"].removesuffix("s")) > 10
    deployment = yaml.safe_load(read_blocks("yaml")[1])
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 10
    assert int(re.findall(r"TimeoutStopSec=(\d+)", read_blocks("ini")[0])[0]) > 10
