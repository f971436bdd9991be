"""A Postgres that is measured: its tables, and the CPU time of all its processes."""

import os
from pathlib import Path

from leadconnector_async import Shared

from ...servers import PostgresServer, list_children

HZ = os.sysconf("SC_CLK_TCK")


def read_database_cpu(server: PostgresServer) -> float:
    """CPU seconds of all processes of a server, those that have ended included."""
    assert server._process is not None
    first = server._process.pid
    return sum(read_cpu(pid, with_ended=pid == first) for pid in (first, *list_children(first)))


def read_cpu(pid: int, *, with_ended: bool = False) -> float:
    """CPU seconds of a process, with or without those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15] if with_ended else fields[11:13])) / HZ


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()
