"""What tests of commands share: a sandbox whose account is in the environment, and a plan for it."""

import os
from pathlib import Path

import pytest

from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import WEEK
from .commanding import name_account


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No account in the environment."""
    for name in [name for name in os.environ if name.startswith("LEADCONNECTOR_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
async def account(sandbox: Sandbox, bare: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, as the account of the environment."""
    for name, value in name_account(sandbox).items():
        bare.setenv(name, value)
    return sandbox


@pytest.fixture
def plan(account: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A file that moves everybody by a week; the working folder holds nothing else."""
    monkeypatch.chdir(tmp_path)
    events = map(account.appointment, account.appointment_ids)
    lines = [f"{event.id},{(event.start_time + WEEK).isoformat()}" for event in events]
    Path("day.csv").write_text("\n".join(["event_id,start_time", *lines]) + "\n")
    return "day.csv"
