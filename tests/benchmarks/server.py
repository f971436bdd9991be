"""The server that all candidates talk to, in its own process: nginx where it is installed, else an asyncio one."""

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ID = "Rt5Yu7Io9Pa1Sd3Fg5Hj"
# The location is that of `made.build_location_id(0)`: every answer of another one is logged.
BODY = (
    f'{{"id":"{ID}",'
    '"calendarId":"aB3dE5fG7hJ9kL1mN2pQ","locationId":"location000000000000",'
    '"contactId":"Zx8Cv6Bn4Ml2Kj0Hg9Fd","title":"Intro call","startTime":"2026-09-14T09:00:00-07:00",'
    '"endTime":"2026-09-14T09:30:00-07:00","appointmentStatus":"confirmed","appoinmentStatus":"confirmed",'
    '"assignedUserId":"Lk2Jh4Gf6Ds8Aq0Wz1Xs","address":"","isRecurring":false,'
    '"traceId":"5f1c0a3e-7b2d-4c8e-9a61-0d3e5b7f9a12"}'
)
# The limit is out of the way, and its interval short: no real location has thousands of slots in use.
HEADERS = {
    "x-ratelimit-max": "1000000",
    "x-ratelimit-remaining": "999999",
    "x-ratelimit-interval-milliseconds": "50",
    "x-ratelimit-limit-daily": "2000000000",
    "x-ratelimit-daily-remaining": "1999999999",
    "x-ratelimit-daily-reset": "49013000",
}


@contextmanager
def serve() -> Iterator[tuple[str, str]]:
    """Yields the address and what serves there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    with tempfile.TemporaryDirectory() as folder:
        command = _build_nginx(nginx, port, Path(folder)) if nginx else [sys.executable, __file__, str(port)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            _await_port(port)
            yield f"http://127.0.0.1:{port}", "nginx" if nginx else "asyncio"
        finally:
            process.terminate()
            process.wait()


def _build_nginx(nginx: str, port: int, folder: Path) -> list[str]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)
    headers = "".join(f"add_header {name} {value}; " for name, value in HEADERS.items())
    (folder / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;"
        "events { worker_connections 512; }"
        f"http {{ access_log off; keepalive_requests 100000000; {paths}"
        f"server {{ listen 127.0.0.1:{port}; location ~ /(?<id>[^/]+)$ {{ default_type application/json; {headers}"
        f"return 200 '{BODY.replace(ID, '$id')}'; }} }} }}"
    )
    return [nginx, "-c", str(folder / "nginx.conf")]


def _await_port(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("the server did not start")


class _Answering(asyncio.Protocol):
    """Answers every request alike, but for the id, as soon as its body is there."""

    head = "".join(
        [
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
            *(f"{name}: {value}\r\n" for name, value in HEADERS.items()),
        ]
    ).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            body = BODY.encode().replace(ID.encode(), head.split(b" ")[1].rpartition(b"/")[2])
            answer = b"%bContent-Length: %d\r\n\r\n%b" % (self.head, len(body), body)
            self.transport.write(answer)  # type: ignore[attr-defined]


async def _run(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1])))
