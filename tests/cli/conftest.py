"""What tests of commands share: a sandbox whose account is in the environment."""

import os

import pytest

from leadconnector_async.sandbox import Sandbox

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
