"""The how-to about own certificates: each of its two ways trusts a server that nobody else does."""

import asyncio
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ..raw_server import answer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/pages/how-to/use-a-proxy-or-your-own-certificates.md"
PEM = ROOT / "tests/samples/self_signed.pem"
READ = """
import asyncio
from leadconnector_async import LeadConnector

async def main():
    async with LeadConnector.from_env() as client:
        print(await client.get_appointment("ev1"))

asyncio.run(main())
"""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server with a certificate of its own."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(PEM)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200, b'{"id":"ev1","title":"Intro"}'))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def run(program: str, url: str, **environment: str) -> str:
    """What it prints, or the last line of its error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEADCONNECTOR_", "SSL_"))}
    account = {"LEADCONNECTOR_TOKEN": "pit-1", "LEADCONNECTOR_BASE_URL": url, "NO_PROXY": "*"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        env=kept | account | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return (out or err).decode().strip().splitlines()[-1]


async def test_the_session_of_the_page_trusts_one_more(url: str) -> None:
    """The usual certificates, and that of the file."""
    [program] = re.findall(r"```python notest\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert "title='Intro'" in await run(program.replace("/etc/ssl/company.pem", str(PEM)), url)


async def test_a_file_in_the_environment_is_trusted(url: str) -> None:
    """By the client itself; without it, the server is refused."""
    assert "title='Intro'" in await run(READ, url, SSL_CERT_FILE=str(PEM))
    assert "The server's certificate was rejected" in await run(READ, url)
