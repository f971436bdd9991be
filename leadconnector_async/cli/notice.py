"""`--on-end`: tells a command or a URL that a job has ended. It belongs to this process, and is never stored.

The command gets the summary as JSON on stdin, and runs without a shell; a URL gets it as the body of a POST. Where
it goes is a secret: an address of a chat holds its key. A notice that fails is a warning, and changes nothing else.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, TypeAlias

import aiohttp
import msgspec
from yarl import URL

from .._call.base_url import find_host
from .._call.proxy import find_proxy
from .._secret import Secret
from .._validation.settings import find_text_fault, is_loopback
from .._validation.text import escape, shorten
from .._version import __version__
from ..exceptions import ConfigurationError, LeadConnectorError, PlanError
from ..jobs.places import parse_place
from .connect import find_settings
from .errors import describe_error
from .interrupt import Interrupted
from .terminal import make_consoles, print_line

SECONDS: Final = 30.0
"""How long the command may take, or the POST."""
_LONGEST_TEXT: Final = 2000
_STDERR: Final = 2
"""What the command prints goes here: stdout has the result of ours, perhaps as JSON."""
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": f"leadconnector-async/{__version__}"}
Document = Mapping[str, object]


class EndNotice:
    """Is told how a job has ended, and passes it on once the command is done with the job."""

    def __init__(self, target: Target | None, job: str) -> None:
        self._target = target
        self._job = job
        self._document: Document | None = None

    def record(self, document: Document) -> None:
        """The job has ended."""
        self._document = document

    async def follow(self, work: Callable[[EndNotice], Awaitable[int]]) -> int:
        """Do the work of a command, then send what was recorded; if the work fails, send why."""
        try:
            code = await work(self)
        except Interrupted:
            raise
        except Exception as error:
            await self._send(self._describe(error))
            raise
        if self._document is not None:
            await self._send(self._document)
        return code

    def _describe(self, error: Exception) -> Document:
        report = describe_error(error)
        return {
            "job": self._job,
            "phase": "refused" if isinstance(error, PlanError) else "stopped",
            "exit_code": report.code,
            "error": {"type": report.kind, "message": shorten(" ".join(report.lines), _LONGEST_TEXT)},
        }

    async def _send(self, document: Document) -> None:
        if self._target is None:
            return
        fault = await self._target.send(msgspec.json.encode(document))
        if fault is not None:
            words = f"Warning: {self._target.name} was not told that the job has ended: {fault}."
            print_line(make_consoles()[1], words)


async def run_with_notice(make: Callable[[], EndNotice], work: Callable[[EndNotice], Awaitable[int]]) -> int:
    """Do the work of a command. A notice that cannot be sent is refused before it begins."""
    return await make().follow(work)


def make_notice(given: str | None, profile: str | None, job: str, *, detach: bool = False) -> EndNotice:
    """The notice of a flag, or of `LEADCONNECTOR_ON_END`. Raises `ConfigurationError` for an unusable one.

    `detach`: the command does not see the end of the job, so the flag is refused, and the variable does not apply.
    """
    settings = find_settings(profile)
    name, text = ("--on-end", given) if given is not None else (settings.name("ON_END"), settings.find("ON_END"))
    del given
    if text is None or (detach and name != "--on-end"):
        return EndNotice(None, job)
    if detach:
        raise ConfigurationError("--on-end needs a command that waits for the end of the job: leave out --detach")
    shown = ""
    with suppress(LeadConnectorError):
        shown = parse_place(job, allow_plaintext=True).name
    return EndNotice(parse_target(name, Secret(text)), shown)


def parse_target(name: str, text: Secret) -> Target:
    """Read a URL or a command. `name`: the flag or variable. Raises `ConfigurationError` without what was given."""
    if not text.strip() or find_text_fault(text):
        raise ConfigurationError(f"{name} is empty, or not a line of text; give a command or a URL")
    if "://" in text.split()[0]:
        return _parse_url(name, text)
    fault, words = "it is empty", list[Secret]()
    try:
        words = [Secret(word) for word in shlex.split(text)]
    except ValueError as error:
        fault = str(error)
    if not words:  # outside of the `except`: shlex holds the text
        raise ConfigurationError(f"{name} is not a valid command: {fault}")
    program = shutil.which(words[0])
    if program is None:
        raise ConfigurationError(f"{name}: the program {escape(str.__str__(words[0]))} was not found")
    return CommandTarget(program, words[1:])


def _parse_url(name: str, text: Secret) -> UrlTarget:
    try:
        url = URL(text)
        host = find_host(url) if url.scheme in ("http", "https") and url.port is not None else None
    except Exception:  # its text may hold a part of the address
        url, host = URL(), None
    if not host:
        raise ConfigurationError(f"{name} is not a valid URL; use one such as https://hooks.example.com/…")
    if url.user is not None or url.password is not None:
        raise ConfigurationError(f"{name} must not hold a user name or a password; use a key in its path or query")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"{name} is http:// to {escape(host)}; use https://, as http:// is for loopback only"
        )
    find_proxy(url.origin(), None)
    return UrlTarget(f"{url.scheme}://{host}", Secret(text))


class CommandTarget:
    """A command, which gets the summary on stdin."""

    def __init__(self, program: str, arguments: list[Secret]) -> None:
        self.name = os.path.basename(program)
        self._program = program
        self._arguments = arguments

    async def send(self, body: bytes) -> str | None:
        """Run the command; returns why that failed."""
        try:
            process = await asyncio.create_subprocess_exec(
                self._program, *self._arguments, stdin=asyncio.subprocess.PIPE, stdout=_STDERR
            )
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or "it cannot be run"
        try:
            async with asyncio.timeout(SECONDS):
                await process.communicate(body)
        except TimeoutError:
            return f"it did not finish within {SECONDS:g} s"
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return f"exit code {process.returncode}" if process.returncode else None


class UrlTarget:
    """A URL, which gets the summary as the body of a POST. Redirects are not followed."""

    def __init__(self, name: str, url: Secret) -> None:
        self.name = name
        self._url = url

    async def send(self, body: bytes) -> str | None:
        """Post the notice; returns why that failed."""
        url, timeout = URL(self._url), aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.post(
                    url, data=body, headers=_HEADERS, allow_redirects=False, **find_proxy(url.origin(), None)
                ) as response,
            ):
                status = response.status
        except TimeoutError:
            return f"there was no response within {SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError, LeadConnectorError) as error:
            return f"it could not be reached ({type(error).__name__})"
        return None if 200 <= status < 300 else f"status code {status}"


Target: TypeAlias = CommandTarget | UrlTarget
"""Who is told. Its `name` holds nothing secret, and `send` returns why it failed, if it did."""
