"""Real processes on a real SQLite file, against the sandbox."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from leadconnector_async._sharing.presence import Presence, find_dead, find_folder
from leadconnector_async.sandbox import Limits, Sandbox

from ..shortage import no_descriptors
from .bulk_worker import LIMIT

TIMES = 25


async def start(sandbox: Sandbox, path: Path, times: int = TIMES) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.sharing.bulk_worker", sandbox.url, f"sqlite:///{path}"),
        *(sandbox.location_id, sandbox.token, str(times), *sandbox.appointment_ids[:5]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def finish(process: asyncio.subprocess.Process) -> dict[str, object]:
    out, _ = await process.communicate(b"go\n")
    assert process.returncode == 0
    quota: dict[str, object] = json.loads(out)
    return quota


@pytest.mark.sandbox(limits=Limits(max_requests=LIMIT.max_requests, interval=LIMIT.interval))
async def test_four_processes_are_never_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """They share a limit of 20 per second through an SQLite file; every call succeeds at once."""
    processes = await asyncio.gather(*(start(sandbox, tmp_path / "shared.db") for _ in range(4)))
    quotas = await asyncio.gather(*map(finish, processes))
    assert sandbox.requests.count_statuses() == {200: 4 * TIMES}
    assert {quota["source"] for quota in quotas} == {"shared"}
    assert max(int(str(quota["members"])) for quota in quotas) > 1
    assert {quota["limit"] for quota in quotas} == {LIMIT.max_requests}


@pytest.mark.sandbox(limits=Limits(max_requests=LIMIT.max_requests, interval=LIMIT.interval))
async def test_a_killed_process_leaves_its_part_to_the_others(sandbox: Sandbox, tmp_path: Path) -> None:
    """What it held is free again after `hold` and an interval; nobody is refused before."""
    killed, other = await asyncio.gather(*(start(sandbox, tmp_path / "shared.db") for _ in range(2)))
    assert killed.stdin is not None
    killed.stdin.write(b"go\n")
    while not len(sandbox.requests):
        await asyncio.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    await finish(other)
    statuses = sandbox.requests.count_statuses()
    assert statuses[200] >= TIMES
    assert set(statuses) == {200}


async def test_only_the_lock_of_an_ended_process_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was stopped still holds it, and so does this process; members elsewhere have no file here."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    code = (
        "import sys; from leadconnector_async._sharing.presence import Presence; "
        "Presence('other').show(); print('shown', flush=True); sys.stdin.read()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    mine = Presence("mine")
    mine.show()
    process.send_signal(signal.SIGSTOP)
    assert find_dead(["other", "mine", "elsewhere"]) == []
    process.kill()
    await process.communicate()
    assert find_dead(["other", "mine", "elsewhere"]) == ["other"]
    mine.hide()
    assert list(Path(find_folder()).iterdir()) == []


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else could claim there that a member has ended."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = Path(find_folder())
    folder.mkdir()
    folder.chmod(0o777)
    presence = Presence("mine")
    presence.show()
    assert list(folder.iterdir()) == []
    presence.hide()


def test_a_lock_that_cannot_be_had_for_a_moment_is_had_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the others would never learn that this process has ended."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    presence = Presence("mine")
    with no_descriptors():
        presence.show()
    assert not presence.is_shown
    presence.show()
    assert [one.name for one in Path(find_folder()).iterdir()] == ["mine"]
    presence.hide()
