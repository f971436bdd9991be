"""A Postgres whose disk is full for as long as a test wants: its processes may write no file beyond a size."""

import shutil
import subprocess
from pathlib import Path

from ..servers import UNPRIVILEGED, PostgresServer, list_children

NO_LIMIT = "unlimited"


class SmallDisk(PostgresServer):
    """Segments of its log have 1 MB, so that they stay below the limit: a log that cannot grow stops the server."""

    initdb_options = (*PostgresServer.initdb_options, "--wal-segsize=1")

    def limit_sessions(self, size: int | str) -> int:
        """No session can write a file beyond `size` bytes; returns how many were open. Later ones inherit it."""
        assert self._process is not None
        first = self._process.pid
        assert self._limit(first, str(size))
        return sum(self._limit(pid, str(size)) for pid in list_children(first) if self._is_session(pid))

    def _limit(self, pid: int, size: str) -> bool:
        tool = shutil.which("prlimit")  # of util-linux
        assert tool is not None
        command = [tool, f"--pid={pid}", f"--fsize={size}:{NO_LIMIT}"]
        # By their own user: root of a container may not do that. A session may just have ended.
        user = UNPRIVILEGED if self.needs_user() else None
        return subprocess.run(command, check=False, user=user, stderr=subprocess.DEVNULL).returncode == 0  # noqa: S603

    def _is_session(self, pid: int) -> bool:
        try:
            return b"127.0.0.1" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
